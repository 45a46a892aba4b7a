// SPDX-License-Identifier: MIT
module;
#include <string>
#include <utility>
module latchkey.oauth.revocation;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.session;

namespace latchkey {

Result<HttpRequest> build_revocation_request(const SessionSummary& session,
                                             const SecretString& token, TokenKind kind,
                                             ClientAuthenticator& client) {
  auto url = parse_endpoint(session.revocation_endpoint, "revocation");
  if (!url) return std::move(url).error();
  ClientRequest request{.url = *std::move(url)};
  request.form.add("token", token.expose())
      .add("token_type_hint", kind == TokenKind::access_token ? "access_token" : "refresh_token");
  return finish_request(std::move(request), client, session.issuer, session.client_auth_kid);
}

Result<void> process_revocation_response(const HttpResponse& response, TimePoint now) {
  if (response.status >= 200 && response.status <= 299) return {};
  return oauth_error("revocation", response, now);
}

}  // namespace latchkey
