// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <utility>
module latchkey.oidc.claims_only_validator;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oidc.id_token;
import latchkey.oidc.id_token_claims;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;

namespace latchkey {
namespace {

class ClaimsOnlyValidator final : public IdTokenValidator {
 public:
  explicit ClaimsOnlyValidator(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}

  [[nodiscard]] bool checks_signature() const noexcept override { return false; }

  [[nodiscard]] Result<IdTokenClaims> validate(const SecretString& id_token,
                                               const IdTokenExpectations& expectations,
                                               std::stop_token) override {
    const auto token = parse_compact_jws(id_token.expose(), jws_algorithms());
    if (!token) return token.error();
    auto claims = parse_id_token_claims(as_text(token->payload.expose()));
    if (!claims) return claims;
    if (auto good = check_id_token_claims(*claims, expectations, token->algorithm, clock_->now());
        !good) {
      return std::move(good).error();
    }
    return claims;
  }

 private:
  const std::shared_ptr<Clock> clock_;
};

}  // namespace

std::shared_ptr<IdTokenValidator> claims_only_validator(std::shared_ptr<Clock> clock) {
  return std::make_shared<ClaimsOnlyValidator>(std::move(clock));
}

}  // namespace latchkey
