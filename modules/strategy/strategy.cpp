// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
module latchkey.strategy;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.session;

namespace latchkey {

AuthStrategy::~AuthStrategy() = default;

Result<std::shared_ptr<HttpTransport>> AuthStrategy::bind(std::shared_ptr<HttpTransport> plain,
                                                          const AuthToken& token) {
  if (token.dpop_jkt.empty()) return plain;
  return make_error(ErrorCode::key_missing, "strategy.no_key",
                    "cannot use the token: it is bound to a key, and this strategy has none; use "
                    "one that does, such as OAuthStrategy");
}

bool AuthStrategy::refuses(const HttpResponse& response) const {
  return refuses_token(response);
}

AuthToken AuthToken::clone() const {
  return {.access_token = access_token.clone(),
          .token_type = token_type,
          .expires_at = expires_at,
          .dpop_jkt = dpop_jkt,
          .resource_server = resource_server,
          .fingerprint = fingerprint};
}

AuthToken auth_token_of(const OAuthSession& session) {
  return {.access_token = session.access_token.clone(),
          .token_type = session.token_type,
          .expires_at = session.expires_at,
          .dpop_jkt = session.dpop_jkt,
          .resource_server = session.resource_server,
          .fingerprint = token_fingerprint(session.access_token)};
}

}  // namespace latchkey
