// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.flows.tracing;
import latchkey.flows.interaction;
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

/// A step "session_" and the cause's name for each event; whose session it is, is not told.
[[nodiscard]] SessionListener traced(SessionListener listener, std::shared_ptr<Tracer> tracer);

}  // namespace latchkey
