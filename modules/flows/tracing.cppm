// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
export module latchkey.flows.tracing;
import latchkey.core.error;
import latchkey.flows.interaction;
import latchkey.flows.web_login;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.refresh.events;

// What a trace tells beside requests: the person's way through the browser, and what becomes of
// sessions. Each function gives what it was given if there is no tracer. For the clients of this
// library; the hub does not export it.

export namespace latchkey {

/// Steps "browser_opened" and "browser_not_opened", from the client to the browser.
[[nodiscard]] std::shared_ptr<BrowserOpener> traced(std::shared_ptr<BrowserOpener> browser,
                                                    const std::shared_ptr<Tracer>& tracer);

/// Steps "login_begun", "callback" (from the browser to the client), "logged_in", "login_failed"
/// and "login_abandoned". What the callback carries is not told.
[[nodiscard]] LoginSteps traced(LoginSteps steps, std::shared_ptr<Tracer> tracer);

/// The same steps of a login in two halves, of which the second may happen in another process: what
/// `begin` and `finish` come to, as they are called here.
[[nodiscard]] Result<BegunLogin> traced_beginning(const std::shared_ptr<Tracer>& tracer,
                                                  const std::function<Result<BegunLogin>()>& begin);
[[nodiscard]] CallbackOutcome traced_callback(const std::shared_ptr<Tracer>& tracer,
                                              const std::function<CallbackOutcome()>& finish);

/// A step "session_" and the cause's name for each event; whose session it is, is not told.
[[nodiscard]] SessionListener traced(SessionListener listener, std::shared_ptr<Tracer> tracer);

}  // namespace latchkey
