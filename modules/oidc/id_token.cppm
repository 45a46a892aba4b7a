// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.oidc.id_token;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

// What an id token says (OpenID Connect Core 1.0 §2), and the contract of those who say whether it
// is true.

export namespace latchkey {

struct Email {
  std::string address;
  bool verified = false;  ///< only when email_verified is literally true
};

/// The claims of an id token. Only a validator's answer is to be believed: see TokenSet.
struct IdTokenClaims {
  std::string issuer;
  std::string subject;
  std::vector<std::string> audience;
  std::string authorized_party;  ///< azp; empty: absent
  std::string nonce;             ///< empty: absent
  TimePoint issued_at{};
  TimePoint expires_at{};
  std::optional<TimePoint> not_before{};
  std::optional<TimePoint> authenticated_at{};  ///< auth_time
  std::string name;                             ///< for display; empty: absent
  std::string preferred_username;               ///< for display; empty: absent
  std::optional<Email> email{};
  std::string picture;  ///< an https URL; empty: absent, or not one
  std::string json;     ///< all claims as they came, compact JSON text
};

/// What the client knows and the id token must agree with.
struct IdTokenExpectations {
  std::string issuer;
  std::string client_id;
  std::string nonce;    ///< sent with the authorization request; empty: none was
  std::string subject;  ///< of the session being refreshed; empty: any
  /// That came along: compared with at_hash, if the id token has that.
  const SecretString* access_token = nullptr;
  std::optional<std::chrono::seconds> max_age{};  ///< sent with the authorization request
};

/// Says whether an id token is genuine. Thread-safe.
class IdTokenValidator {
 public:
  IdTokenValidator() = default;
  IdTokenValidator(const IdTokenValidator&) = delete;
  IdTokenValidator& operator=(const IdTokenValidator&) = delete;
  virtual ~IdTokenValidator();
  /// Errors: token_invalid, with a detail "id_token.…" for each rule; those of fetching keys.
  [[nodiscard]] virtual Result<IdTokenClaims> validate(const SecretString& id_token,
                                                       const IdTokenExpectations& expectations,
                                                       std::stop_token stop) = 0;
};

}  // namespace latchkey
