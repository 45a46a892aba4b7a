// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
module latchkey.strategy.oauth;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.strategy;

namespace latchkey {

Result<AuthToken> OAuthStrategy::get_token(const TokenOptions& options) {
  auto session = keeper_->fresh(
      subject_, {.timeout = options.timeout, .stop = options.stop, .rejected = options.rejected});
  if (!session) return std::move(session).error();
  return auth_token_of(**session);
}

Result<std::shared_ptr<HttpTransport>> OAuthStrategy::bind(std::shared_ptr<HttpTransport> plain,
                                                           const AuthToken& token) {
  SessionContext context = keeper_->context();
  context.transport = std::move(plain);
  return session_transport(context, token.dpop_jkt);
}

}  // namespace latchkey
