// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.registered_clients;
import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.wire_client;

// Clients with a metadata document, and the ways in which they authenticate themselves. Every
// document and every claim can be made wrong.

export namespace latchkey::test {

inline constexpr std::string_view kWebClient = "https://app.example.com/client.json";
inline constexpr std::string_view kWebRedirect = "https://app.example.com/callback";

/// A public JWK with a kid.
[[nodiscard]] std::string with_kid(const std::string& jwk, std::string_view kid);

/// An ATProto web backend with one ES256 key.
[[nodiscard]] Members confidential_metadata(const ProofKey& key, std::string_view kid = "one");
/// An OpenID Connect client with Bearer tokens and a secret, all grants.
[[nodiscard]] Members openid_metadata();
inline constexpr std::string_view kSecret = "a secret/with+signs";

[[nodiscard]] Members assertion_header(std::string_view kid = "one");
/// A new jti, 60 seconds from `now`.
[[nodiscard]] Members assertion_claims(std::string_view client_id, std::string_view issuer,
                                       std::int64_t now);
/// Puts an assertion into the form.
void add_assertion(Form& form, const std::string& jws);
/// What client_secret_basic sends.
[[nodiscard]] WireHeaders basic(std::string_view client_id, std::string_view secret = kSecret);

/// A sandbox with alice, who approves by herself, and one registered client of each kind.
struct RegisteredWorld {
  /// `data`: the sandbox's file; empty: none.
  explicit RegisteredWorld(Members openid = openid_metadata(), std::filesystem::path data = {});
  /// Another sandbox with the same file and clients, at other ports.
  void restart();

  /// A client that authenticates itself with `key`.
  [[nodiscard]] std::unique_ptr<WireClient> backend();
  /// The OpenID Connect client, by HTTP Basic and without proofs.
  [[nodiscard]] std::unique_ptr<WireClient> openid(std::string scope = "openid profile email");
  [[nodiscard]] std::int64_t now() const;
  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
  /// The outcome of registering this: "" if it worked, else the detail.
  std::string register_client(const Members& metadata, std::string_view secret = {}) const;

  ProofKey key;
  std::shared_ptr<ManualClock> clock;
  std::unique_ptr<sandbox::Sandbox> servers;
  sandbox::Account alice;

 private:
  void start();
  Members openid_;
  std::filesystem::path data_;
};

}  // namespace latchkey::test
