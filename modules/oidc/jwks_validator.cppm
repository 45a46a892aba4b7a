// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
export module latchkey.oidc.jwks_validator;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_cache;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;

// Id tokens checked against the keys that their issuer publishes.

export namespace latchkey {

struct JwksValidatorOptions {
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<Clock> clock;
  std::string jwks_uri;
  /// The provider's id_token_signing_alg_values_supported. Those that we do not know, none and HMAC
  /// among them, are left out; empty: all that we know.
  std::vector<std::string> algorithms{};
  HttpRule http_rule = HttpRule::https_only;
};

/// Thread-safe. Keeps the keys from one token to the next: one for each provider, for the life of
/// the program.
class JwksIdTokenValidator final : public IdTokenValidator {
 public:
  /// Asks nothing of the network. Errors: invalid_argument, "jwks.incomplete" (no transport or
  /// clock); invalid_url and insecure_address for jwks_uri; invalid_metadata, "jwks.no_algorithm"
  /// (the provider has no algorithm that we accept).
  [[nodiscard]] static Result<std::shared_ptr<IdTokenValidator>> create(
      JwksValidatorOptions options);

  [[nodiscard]] Result<IdTokenClaims> validate(const SecretString& id_token,
                                               const IdTokenExpectations& expectations,
                                               std::stop_token stop) override;
  /// Fetches the keys, if those it has are not fresh.
  void prepare(std::stop_token stop) override;

 private:
  JwksIdTokenValidator(JwksValidatorOptions options, Url jwks_uri,
                       std::vector<JwsAlgorithm> allowed);
  [[nodiscard]] Result<void> verify(const CompactJws& token, const std::stop_token& stop);

  const std::shared_ptr<Clock> clock_;
  const std::vector<JwsAlgorithm> allowed_;
  JwksCache cache_;
};

}  // namespace latchkey
