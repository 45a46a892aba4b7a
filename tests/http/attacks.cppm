// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.attacks;
import latchkey.test.certificate;
import latchkey.test.raw_server;

// What hostile servers, names and addresses do to an HTTP client: a table of named attacks, each
// with the ending that it must have. attacks_test.cpp runs every one over every adapter.

export namespace latchkey::test {

/// A server that writes whatever it can is stopped here, so that a test ends even when the client
/// does not.
inline constexpr std::size_t kFlood = std::size_t{64} * 1024 * 1024;
/// The limits that the attacks run into.
inline constexpr std::size_t kMaxBody = std::size_t{64} * 1024;
inline constexpr std::size_t kMaxHeaders = std::size_t{16} * 1024;
/// What a server may get rid of before an adapter stops reading: the limits, and what the buffers
/// of the sockets on both sides hold.
inline constexpr std::size_t kReadAtMost = std::size_t{8} * 1024 * 1024;

/// An ending reads "200" (an answer with this status was handed over) or "code detail delivery".
struct Attack {
  std::string name;
  std::string ending;
  /// The ending over cpprestsdk where it is another one, and why that is good enough.
  std::string cpprest_ending{};
  std::string cpprest_reason{};
};

/// A URL that a stranger supplies. Public addresses only.
struct AddressAttack : Attack {
  std::string url;
};
/// What a stranger's name leads to. Public addresses only.
struct NameAttack : Attack {
  std::vector<std::string> addresses;
};
/// What a server does with a connection.
struct AnswerAttack : Attack {
  enum class Layer {
    above_tls,    ///< after a good handshake
    instead_tls,  ///< where the handshake should be
    plain_http,   ///< to this machine
  };
  RawServer::Script script;
  Layer layer = Layer::above_tls;
  /// Short where the attack is to take its time.
  std::chrono::milliseconds timeout{10'000};
};

/// Who a server says that it is, as the name kAttacker.
struct IdentityAttack : Attack {
  RawServerOptions server;
};
inline constexpr std::string_view kAttacker = "attacker.example";

[[nodiscard]] std::vector<AddressAttack> spelling_attacks();
[[nodiscard]] std::vector<AddressAttack> literal_attacks();
[[nodiscard]] std::vector<AddressAttack> local_name_attacks();
[[nodiscard]] std::vector<NameAttack> name_attacks();
[[nodiscard]] std::vector<IdentityAttack> identity_attacks(const Authority& authority);
[[nodiscard]] std::vector<AnswerAttack> handshake_attacks();
[[nodiscard]] std::vector<AnswerAttack> head_attacks();
[[nodiscard]] std::vector<AnswerAttack> framing_attacks();
[[nodiscard]] std::vector<AnswerAttack> body_attacks();
[[nodiscard]] std::vector<AnswerAttack> redirect_attacks();

// Endings that many attacks have.
inline constexpr std::string_view kNotUrl = "invalid_url url.malformed not_sent";
inline constexpr std::string_view kNotPublic = "insecure_address address.not_public not_sent";
inline constexpr std::string_view kMalformed = "invalid_response http.malformed maybe_sent";
inline constexpr std::string_view kLost = "connection_lost http.connection_lost maybe_sent";
inline constexpr std::string_view kTimeout = "timeout http.timeout maybe_sent";
inline constexpr std::string_view kFlooded = "response_too_large http.flood maybe_sent";
inline constexpr std::string_view kBodyTooLarge =
    "response_too_large http.body_too_large maybe_sent";
inline constexpr std::string_view kHeadTooLarge =
    "response_too_large http.headers_too_large maybe_sent";
inline constexpr std::chrono::milliseconds kShort{300};

/// Reads the request, writes, and waits for the client to go.
[[nodiscard]] RawServer::Script says(std::string bytes);
/// Reads the request, writes, and goes.
[[nodiscard]] RawServer::Script says_and_goes(std::string bytes);
/// Reads the request, writes `start`, and then `part` as fast as it can, up to kFlood.
[[nodiscard]] RawServer::Script floods(std::string start, std::string part);
/// Reads the request, writes `start`, and then `part` again and again, with pauses.
[[nodiscard]] RawServer::Script drips(std::string start, std::string part);

}  // namespace latchkey::test
