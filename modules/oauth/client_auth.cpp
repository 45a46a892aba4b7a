// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.client_auth;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.session;

namespace latchkey {
namespace {

class PublicClient final : public ClientAuthenticator {
 public:
  explicit PublicClient(std::string client_id) : client_id_(std::move(client_id)) {}
  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::none; }
  std::string kid() const override { return {}; }
  Result<void> apply(ClientRequest& request, std::string_view, std::string_view) override {
    request.form.add("client_id", client_id_);
    return {};
  }

 private:
  const std::string client_id_;
};

// The lasting fields, and behind them those of this attempt.
Result<SecretString> body_of_attempt(const SecretString& lasting,
                                     const std::function<Result<void>(SecretForm&)>& add) {
  SecretForm single_use;
  if (auto added = add(single_use); !added) return std::move(added).error();
  SecretBuilder body;
  body.append(lasting.expose());
  if (!lasting.empty()) body.append('&');
  body.append(std::move(single_use).finish().expose());
  return std::move(body).finish();
}

}  // namespace

ClientAuthenticator::~ClientAuthenticator() = default;

bool ClientAuthenticator::owns_key(std::string_view) const {
  return false;
}

std::shared_ptr<ClientAuthenticator> public_client(std::string client_id) {
  return std::make_shared<PublicClient>(std::move(client_id));
}

Result<HttpRequest> finish_request(ClientRequest request, ClientAuthenticator& client,
                                   std::string_view issuer, std::string_view kid) {
  if (auto applied = client.apply(request, issuer, kid); !applied) {
    return std::move(applied).error();
  }
  HttpRequest post = form_post(request.url, std::move(request.form).finish());
  post.authorization = std::move(request.authorization);
  if (!request.add_single_use) return post;
  post.renew_body = [lasting = std::make_shared<const SecretString>(std::move(post.body)),
                     add = std::move(request.add_single_use)] {
    return body_of_attempt(*lasting, add);
  };
  auto body = post.renew_body();
  if (!body) return std::move(body).error();
  post.body = *std::move(body);
  return post;
}

Result<Url> parse_endpoint(std::string_view endpoint, std::string_view step) {
  if (endpoint.empty()) {
    return make_error(ErrorCode::invalid_argument, std::string(step) + ".no_endpoint",
                      std::string(step) + " not possible: the server has no endpoint for it");
  }
  auto url = Url::parse(endpoint);
  if (!url) return url;
  // Whether http is wanted at all was decided when the endpoint was found; here nothing may leave
  // the machine in clear.
  if (auto allowed = check_scheme(*url, HttpRule::allow_http_for_loopback); !allowed) {
    return std::move(allowed).error();
  }
  if (url->has_fragment()) {
    return make_error(ErrorCode::invalid_url, std::string(step) + ".endpoint_fragment",
                      "cannot use the endpoint " + printable(url->htu(), 200) +
                          ": endpoints must not have a fragment (RFC 6749 section 3)");
  }
  return url;
}

}  // namespace latchkey
