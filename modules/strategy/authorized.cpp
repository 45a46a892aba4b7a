// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <utility>
module latchkey.strategy.authorized;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.strategy;

namespace latchkey {
namespace {

Result<HttpResponse> send_with(AuthStrategy& strategy, const AuthToken& token,
                               const std::shared_ptr<HttpTransport>& transport,
                               const HttpRequest& request, Repeat repeat,
                               const SendOptions& options) {
  auto bound = strategy.bind(transport, token);
  if (!bound) return std::move(bound).error();
  HttpRequest authorized = request.clone();
  authorized.authorization = Authorization{
      token.dpop_jkt.empty() ? Authorization::Scheme::bearer : Authorization::Scheme::dpop,
      token.access_token.clone()};
  return send_repeatable(**bound, authorized, repeat, options);
}

Error refused_again(const HttpRequest& request) {
  Error error = make_error(ErrorCode::token_invalid, "resource.token_refused",
                           "the server " + printable(request.url.origin(), 200) +
                               " refuses the access token, also a renewed one: check that these "
                               "credentials are meant for it");
  error.http_status = 401;
  return error;
}

}  // namespace

Result<HttpResponse> send_authorized(AuthStrategy& strategy,
                                     const std::shared_ptr<HttpTransport>& transport,
                                     const HttpRequest& request, Repeat repeat,
                                     const SendOptions& options) {
  TokenOptions wanted{.stop = options.stop};
  auto token = strategy.get_token(wanted);
  if (!token) return std::move(token).error();
  auto answer = send_with(strategy, *token, transport, request, repeat, options);
  if (!answer || !strategy.refuses(*answer)) return answer;

  wanted.rejected = token->fingerprint;
  token = strategy.get_token(wanted);
  if (!token) return std::move(token).error();
  // A fixed token comes back as it was: to send it again would be to ask the same question.
  if (token->fingerprint == wanted.rejected) return refused_again(request);
  answer = send_with(strategy, *token, transport, request, repeat, options);
  if (answer && strategy.refuses(*answer)) return refused_again(request);
  return answer;
}

}  // namespace latchkey
