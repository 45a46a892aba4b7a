// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.refresh.authorized;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {
namespace {

bool same_letters(std::string_view a, std::string_view lower_case) {
  return std::equal(a.begin(), a.end(), lower_case.begin(), lower_case.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y;
  });
}

struct Sent {
  Result<HttpResponse> answer;
  bool may_repeat = true;  ///< false: the body is used up
};

Sent send_once(SessionKeeper& keeper, const OAuthSession& session, const RequestMaker& make,
               Repeat repeat, const SendOptions& options) {
  auto transport = session_transport(keeper.context(), session.dpop_jkt);
  if (!transport) return {std::move(transport).error()};
  auto request = make(session);
  if (!request) return {std::move(request).error()};
  request->authorization = Authorization{
      session.dpop_jkt.empty() ? Authorization::Scheme::bearer : Authorization::Scheme::dpop,
      session.access_token.clone()};
  return {send_repeatable(**transport, *request, repeat, options), request->is_replayable()};
}

}  // namespace

Error error_of_repetition(const Error& first, Error second) {
  if (second.http_status == 0 && first.delivery == Delivery::maybe_sent)
    second.delivery = Delivery::maybe_sent;
  return second;
}

// A server may close a kept connection just as we use it. The repetition gets a connection of its
// own and, for a bound token, a new proof.
Result<HttpResponse> send_repeatable(HttpTransport& transport, const HttpRequest& request,
                                     Repeat repeat, const SendOptions& options) {
  auto answer = transport.send(request, options);
  const bool broke = !answer && answer.error().code == ErrorCode::connection_lost;
  if (!broke || repeat == Repeat::never || options.connection == Connection::fresh ||
      !request.is_replayable())
    return answer;
  SendOptions fresh = options;
  fresh.connection = Connection::fresh;
  auto again = transport.send(request, fresh);
  if (again) return again;
  return error_of_repetition(answer.error(), std::move(again).error());
}

bool refuses_token(const HttpResponse& response) {
  if (response.status != 401) return false;
  for (const Challenge& challenge : parse_challenges(response.headers)) {
    const bool known =
        same_letters(challenge.scheme, "dpop") || same_letters(challenge.scheme, "bearer");
    const std::string* error = challenge.find("error");
    if (known && error != nullptr && *error == "invalid_token") return true;
  }
  return false;
}

Result<HttpResponse> send_authorized(SessionKeeper& keeper, std::string_view subject,
                                     const RequestMaker& make, Repeat repeat,
                                     const SendOptions& options) {
  FreshOptions fresh{.stop = options.stop};
  auto session = keeper.fresh(subject, fresh);
  if (!session) return std::move(session).error();
  auto sent = send_once(keeper, **session, make, repeat, options);
  if (!sent.answer || !refuses_token(*sent.answer) || !sent.may_repeat)
    return std::move(sent.answer);

  fresh.rejected = token_fingerprint((*session)->access_token);
  session = keeper.fresh(subject, fresh);
  if (!session) return std::move(session).error();
  sent = send_once(keeper, **session, make, repeat, options);
  if (!sent.answer || !refuses_token(*sent.answer)) return std::move(sent.answer);
  Error error = make_error(ErrorCode::token_invalid, "resource.token_refused",
                           "the server " + printable((*session)->resource_server, 200) +
                               " refuses the access token of " + printable(subject, 100) +
                               ", also a renewed one: log in again if this lasts");
  error.http_status = 401;
  return error;
}

}  // namespace latchkey
