// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.private_key_jwt;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.transport;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_keys;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::string_view kAssertionType =
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
constexpr std::size_t kJtiBytes = 16;
constexpr std::chrono::seconds kLifetime{60};
constexpr std::chrono::seconds kBackdated{3};

// Shared, because a request's later attempts outlive the call that built it.
struct Signatory {
  std::string client_id;
  std::shared_ptr<const ClientKeys> keys;
  AssertionContext context;

  Result<SecretString> assertion(const std::string& origin, std::string_view issuer,
                                 std::string_view kid) const {
    const Duration offset = context.skew ? context.skew->offset(origin) : Duration::zero();
    const auto iat =
        std::chrono::floor<std::chrono::seconds>(context.clock->now() + offset).time_since_epoch() -
        kBackdated;
    const std::string id = json_quote(client_id);
    return keys->sign(kid, R"({"iss":)" + id + R"(,"sub":)" + id + R"(,"aud":)" +
                               json_quote(issuer) + R"(,"jti":")" +
                               random_token(*context.random, kJtiBytes) + R"(","iat":)" +
                               std::to_string(iat.count()) + R"(,"exp":)" +
                               std::to_string((iat + kLifetime).count()) + "}");
  }
};

class PrivateKeyJwt final : public ClientAuthenticator {
 public:
  explicit PrivateKeyJwt(std::shared_ptr<const Signatory> signatory)
      : signatory_(std::move(signatory)) {}

  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::private_key_jwt; }
  std::string kid() const override { return signatory_->keys->newest(); }

  Result<void> apply(ClientRequest& request, std::string_view issuer,
                     std::string_view kid) override {
    request.form.add("client_id", signatory_->client_id)
        .add("client_assertion_type", kAssertionType);
    request.add_single_use =
        [signatory = signatory_, origin = request.url.origin(), issuer = std::string(issuer),
         kid = kid.empty() ? this->kid() : std::string(kid)](SecretForm& form) -> Result<void> {
      auto assertion = signatory->assertion(origin, issuer, kid);
      if (!assertion) return std::move(assertion).error();
      form.add("client_assertion", assertion->expose());
      return {};
    };
    return {};
  }

  bool owns_key(std::string_view jkt) const override {
    const auto own = signatory_->keys->thumbprints();
    return std::find(own.begin(), own.end(), jkt) != own.end();
  }

 private:
  std::shared_ptr<const Signatory> signatory_;
};

}  // namespace

std::shared_ptr<ClientAuthenticator> private_key_jwt(std::string client_id,
                                                     std::shared_ptr<const ClientKeys> keys,
                                                     AssertionContext context) {
  return std::make_shared<PrivateKeyJwt>(std::make_shared<const Signatory>(
      Signatory{std::move(client_id), std::move(keys), std::move(context)}));
}

}  // namespace latchkey
