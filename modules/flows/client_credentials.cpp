// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
module latchkey.flows.client_credentials;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;
import latchkey.session;

namespace latchkey {

Result<HttpRequest> build_client_credentials_request(const ClientCredentialsRequest& request,
                                                     ClientAuthenticator& client) {
  if (client.method() == ClientAuthMethod::none) {
    return make_error(ErrorCode::invalid_argument, "client_credentials.public_client",
                      "cannot get a token for the program itself: a public client does not "
                      "authenticate; give it a client secret or a key");
  }
  auto url = parse_endpoint(request.token_endpoint, "client_credentials");
  if (!url) return std::move(url).error();
  ClientRequest post{.url = *std::move(url)};
  post.form.add("grant_type", "client_credentials");
  if (!request.scope.empty()) post.form.add("scope", request.scope);
  for (const auto& resource : request.resources) post.form.add("resource", resource);
  return finish_request(std::move(post), client, request.issuer, client.kid());
}

Result<ClientCredentialsToken> obtain_client_credentials_token(
    HttpTransport& transport, const ClientCredentialsRequest& request, ClientAuthenticator& client,
    const Clock& clock, std::stop_token stop) {
  const auto post = build_client_credentials_request(request, client);
  if (!post) return post.error();
  const TimePoint asked_at = clock.now();
  const auto response = transport.send(*post, token_limits(std::move(stop)));
  if (!response) return response.error();
  auto answer = process_token_response("client_credentials", *response, clock.now());
  if (!answer) return std::move(answer).error();
  answer->refresh_token.reset();
  ClientCredentialsToken token{.answer = *std::move(answer), .issued_at = asked_at};
  if (token.answer.expires_in) token.expires_at = asked_at + *token.answer.expires_in;
  return token;
}

}  // namespace latchkey
