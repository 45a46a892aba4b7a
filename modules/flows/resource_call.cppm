// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.flows.resource_call;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;

// Any request of a program to a resource server, with the session's token and proof.

export namespace latchkey {

struct ResourceCall {
  std::string method = "GET";
  std::string content_type{};  ///< empty: none is sent
  std::string_view body{};     ///< must outlive the call
  std::stop_token stop{};
};

/// Where it goes: the session's resource server may have moved since. Called once for each attempt.
using TargetFinder = std::function<Result<Url>(const SessionSummary&)>;

/// GET and HEAD are repeated on a kept connection that turns out dead; anything else has a
/// connection of its own and is sent once. Errors: those of `target`, Headers::set and
/// send_authorized.
[[nodiscard]] Result<HttpResponse> call_resource(SessionKeeper& keeper, std::string_view subject,
                                                 const ResourceCall& call,
                                                 const TargetFinder& target);

}  // namespace latchkey
