// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.tracing;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.flows.interaction;
import latchkey.flows.web_login;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.refresh.events;

namespace latchkey {
namespace {

TracedStep step(TraceWord name, TraceRole from, TraceRole to) {
  return {.from = from, .to = to, .name = name};
}

TracedStep failed_step(TraceWord name, TraceRole from, TraceRole to, const Error& error) {
  TracedStep failed = step(name, from, to);
  failed.code = error.code;
  failed.detail = TraceDetail(error.detail);
  return failed;
}

constexpr auto kClient = TraceRole::client;
constexpr auto kBrowser = TraceRole::browser;

// What a login comes to: the step, or that it failed.
TracedStep own_step(TraceWord name, const Error* failure) {
  return failure == nullptr ? step(name, kClient, kClient)
                            : failed_step("login_failed", kClient, kClient, *failure);
}

class TracingBrowser final : public BrowserOpener {
 public:
  TracingBrowser(std::shared_ptr<BrowserOpener> inner, std::shared_ptr<Tracer> tracer)
      : inner_(std::move(inner)), tracer_(std::move(tracer)) {}

  Result<void> open(const Url& url) override {
    auto opened = inner_->open(url);
    tracer_->record(opened ? step("browser_opened", kClient, kBrowser)
                           : failed_step("browser_not_opened", kClient, kBrowser, opened.error()));
    return opened;
  }
  [[nodiscard]] const std::shared_ptr<Tracer>& tracer() const noexcept { return tracer_; }

 private:
  const std::shared_ptr<BrowserOpener> inner_;
  const std::shared_ptr<Tracer> tracer_;
};

TraceWord word_of(SessionEventCause cause) {
  switch (cause) {
    case SessionEventCause::logged_in:
      return "session_logged_in";
    case SessionEventCause::refreshed:
      return "session_refreshed";
    case SessionEventCause::logged_out:
      return "session_logged_out";
    case SessionEventCause::refused:
      return "session_refused";
    case SessionEventCause::interrupted:
      return "session_interrupted";
    case SessionEventCause::replaced:
      return "session_replaced";
    case SessionEventCause::not_durable:
      return "session_not_durable";
    case SessionEventCause::refresh_failed:
      return "session_refresh_failed";
    case SessionEventCause::logout_unconfirmed:
      break;
  }
  return "session_logout_unconfirmed";
}

}  // namespace

std::shared_ptr<BrowserOpener> traced(std::shared_ptr<BrowserOpener> browser,
                                      const std::shared_ptr<Tracer>& tracer) {
  if (!tracer) return browser;
  const auto* tracing = dynamic_cast<const TracingBrowser*>(browser.get());
  if (tracing != nullptr && tracing->tracer() == tracer) return browser;
  return std::make_shared<TracingBrowser>(std::move(browser), tracer);
}

Result<BegunLogin> traced_beginning(const std::shared_ptr<Tracer>& tracer,
                                    const std::function<Result<BegunLogin>()>& begin) {
  auto begun = begin();
  if (tracer) tracer->record(own_step("login_begun", begun ? nullptr : &begun.error()));
  return begun;
}

CallbackOutcome traced_callback(const std::shared_ptr<Tracer>& tracer,
                                const std::function<CallbackOutcome()>& finish) {
  if (!tracer) return finish();
  tracer->record(step("callback", kBrowser, kClient));
  auto outcome = finish();
  tracer->record(own_step("logged_in", outcome.session ? nullptr : &outcome.session.error()));
  return outcome;
}

LoginSteps traced(LoginSteps steps, std::shared_ptr<Tracer> tracer) {
  if (!tracer) return steps;
  LoginSteps out;
  out.begin = [begin = std::move(steps.begin), tracer](const std::string& redirect_uri) {
    return traced_beginning(tracer, [&] { return begin(redirect_uri); });
  };
  out.finish = [finish = std::move(steps.finish), tracer](std::string_view query) {
    tracer->record(step("callback", kBrowser, kClient));
    auto finished = finish(query);
    tracer->record(own_step("logged_in", finished ? nullptr : &finished.error()));
    return finished;
  };
  out.abandon = [abandon = std::move(steps.abandon), tracer](std::string_view state) {
    tracer->record(step("login_abandoned", kClient, kClient));
    abandon(state);
  };
  return out;
}

SessionListener traced(SessionListener listener, std::shared_ptr<Tracer> tracer) {
  if (!tracer) return listener;
  return [listener = std::move(listener), tracer](const SessionEvent& event) {
    const TraceWord name = word_of(event.cause);
    tracer->record(event.error ? failed_step(name, kClient, kClient, *event.error)
                               : step(name, kClient, kClient));
    if (listener) listener(event);
  };
}

}  // namespace latchkey
