// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.oidc_tokens;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks;
import latchkey.oidc.jws;
import latchkey.test.jws_key;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

// A provider's keys and id tokens, right or wrong in any way a test wants.

export namespace latchkey::test {

inline constexpr std::string_view kIssuer = "https://id.example.com";
inline constexpr std::string_view kClient = "client-1";
inline constexpr std::string_view kJwksUri = "https://id.example.com/jwks";
inline constexpr std::string_view kNonce = "n-0S6_WzA2Mj";
/// 2026-11-26T09:00:00Z.
inline constexpr TimePoint kNow{std::chrono::seconds{1'795'683'600}};

[[nodiscard]] std::string seconds_text(TimePoint time);

/// One key of each kind for the whole program: making an RSA key takes its time. For one thread.
[[nodiscard]] const JwsKey& shared_key(std::string_view alg);

/// alg, typ and kid.
[[nodiscard]] Members good_header(std::string_view alg = "RS256", std::string_view kid = "k1");
/// Of a token that was just issued.
[[nodiscard]] Members good_claims(TimePoint now = kNow);
[[nodiscard]] IdTokenExpectations good_expectations();
/// The members of `base` with these changed; an empty text takes one away.
[[nodiscard]] Members with(Members base, const Members& changes);

/// {"keys":[…]}
[[nodiscard]] std::string jwks_text(const std::vector<std::string>& keys);
/// The shared key for `alg`, under this kid.
[[nodiscard]] std::string published(std::string_view alg = "RS256", std::string_view kid = "k1");
[[nodiscard]] std::string good_token(std::string_view alg = "RS256", const Members& changes = {});

/// With all algorithms; the text must outlive it.
[[nodiscard]] Result<CompactJws> parse_token(std::string_view text);

/// "token_invalid id_token.x" without the code, which must be token_invalid; "" for a good one.
template <class T>
[[nodiscard]] std::string fault(const Result<T>& result) {
  if (result) return "";
  const Error& error = result.error();
  return error.code == ErrorCode::token_invalid
             ? error.detail
             : std::string(to_string(error.code)) + ' ' + error.detail;
}

/// A validator of these keys over a scripted network and a clock that stands still at kNow.
struct Checked {
  explicit Checked(std::string jwks = jwks_text({published()}));
  [[nodiscard]] Result<IdTokenClaims> check(std::string_view token);
  [[nodiscard]] Result<IdTokenClaims> check(std::string_view token,
                                            const IdTokenExpectations& expectations);

  std::shared_ptr<ManualClock> clock;
  std::shared_ptr<ScriptedTransport> transport;
  std::string jwks;  ///< what the server answers; change it when no fetch is under way
  std::shared_ptr<IdTokenValidator> validator;
};

}  // namespace latchkey::test
