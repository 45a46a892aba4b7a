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

/// How far the provider's clock and ours may be apart.
inline constexpr std::chrono::seconds kIdTokenLeeway{60};

struct Email {
  std::string address;
  bool verified = false;  ///< only when email_verified is literally true
};

/// The claims of an id token. Only a validator's answer is to be believed: see TokenSet.
struct IdTokenClaims {
  std::string issuer;
  std::string subject;
  std::vector<std::string> audience;
  std::string authorized_party;   ///< azp; empty: absent
  std::string nonce;              ///< empty: absent
  std::string access_token_hash;  ///< at_hash; empty: absent
  TimePoint issued_at{};
  TimePoint expires_at{};
  std::optional<TimePoint> not_before{};
  std::optional<TimePoint> authenticated_at{};  ///< auth_time
  std::string name;                             ///< for display; empty: absent
  std::string preferred_username;               ///< for display; empty: absent
  std::optional<Email> email{};
  std::string picture;  ///< an https URL; empty: absent, or not one
  std::string json;     ///< all claims as they came, compact JSON text

  /// True more than kIdTokenLeeway after expires_at. An access token has no such leeway: see
  /// OAuthSession::is_expired.
  [[nodiscard]] bool is_expired(TimePoint now) const { return now > expires_at + kIdTokenLeeway; }
};

/// What the client knows and the id token must agree with.
struct IdTokenExpectations {
  std::string issuer;     ///< as the provider's metadata has it; must not be empty
  std::string client_id;  ///< must not be empty
  std::string nonce;      ///< sent with the authorization request; empty: none was
  std::string subject;    ///< of the session being refreshed; empty: any
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
  /// False if it makes every check but that of the signature: its answer is a reading, and makes no
  /// token set a validated one.
  [[nodiscard]] virtual bool checks_signature() const noexcept;
  /// Errors: token_invalid, with a detail "id_token.…" for each rule: those of parse_compact_jws,
  /// of JwkSet::verify and of parse_id_token_claims; then, with kIdTokenLeeway in all times,
  /// "….expired", "….not_yet_valid" (nbf), "….issued_in_future", "….issued_too_long_ago" (more than
  /// a day), "….lifetime" (exp not after iat), "….audience" (client_id is not in it),
  /// "….azp_missing" (several audiences), "….azp", "….issuer", "….nonce_missing", "….nonce",
  /// "….subject" (not that of the session, Core §12.2), "….at_hash", "….auth_time_missing" (max_age
  /// was sent), "….auth_time_in_future", "….auth_too_long_ago". Also invalid_argument,
  /// "id_token.expectations"; and the errors of fetching keys.
  [[nodiscard]] virtual Result<IdTokenClaims> validate(const SecretString& id_token,
                                                       const IdTokenExpectations& expectations,
                                                       std::stop_token stop) = 0;
  /// Fetches what validate() will need, so that it need not wait then. Best effort.
  virtual void prepare(std::stop_token stop);
};

}  // namespace latchkey
