// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.resource_call;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {

Result<HttpResponse> call_resource(SessionKeeper& keeper, std::string_view subject,
                                   const ResourceCall& call, const TargetFinder& target) {
  const RequestMaker make = [&](const SessionSummary& session) -> Result<HttpRequest> {
    auto url = target(session);
    if (!url) return std::move(url).error();
    HttpRequest request{.method = call.method, .url = *std::move(url)};
    if (!call.content_type.empty()) {
      if (auto set = request.headers.set("Content-Type", call.content_type); !set)
        return std::move(set).error();
    }
    request.body = SecretString(call.body);
    return request;
  };
  const Repeat repeat =
      call.method == "GET" || call.method == "HEAD" ? Repeat::safe : Repeat::never;
  SendOptions options = resource_limits(call.stop);
  if (repeat == Repeat::never) options.connection = Connection::fresh;
  return send_authorized(keeper, subject, make, repeat, options);
}

}  // namespace latchkey
