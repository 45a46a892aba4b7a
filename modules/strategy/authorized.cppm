// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.strategy.authorized;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.strategy;

// A request to an API with a strategy's token, whatever kind that is.

export namespace latchkey {

/// Sends with a token that is good now, and with a proof if it is bound to a key; once more with
/// another token if the server refuses the first (AuthStrategy::refuses).
/// Any answer is a result, but for a second such refusal: token_invalid, "resource.token_refused".
/// Errors also: those of the strategy and of `transport`. `request` has no authorization of its
/// own; it may be sent again as `repeat` says. Thread-safe.
[[nodiscard]] Result<HttpResponse> send_authorized(AuthStrategy& strategy,
                                                   const std::shared_ptr<HttpTransport>& transport,
                                                   const HttpRequest& request, Repeat repeat,
                                                   const SendOptions& options);

}  // namespace latchkey
