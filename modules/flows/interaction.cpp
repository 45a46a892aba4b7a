// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.interaction;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.flows.tracing;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.authorization;

namespace latchkey {
namespace {

Error pasted_elsewhere() {
  return make_error(
      ErrorCode::callback_invalid, "callback.pasted",
      "cannot use what was pasted: it is not a URL with a query; copy the whole address from the "
      "browser's address bar, also if the page there says that it can't be reached");
}

Error pasted_from_another_login() {
  return make_error(ErrorCode::callback_invalid, "callback.pasted_other",
                    "cannot use what was pasted: it belongs to another login, perhaps of an older "
                    "tab; log in again and "
                    "copy the address that this login ends on");
}

// What stands between "?" and "#" of a URL that a person pasted, white space around it and all.
Result<std::string> query_of_pasted_url(std::string_view text, std::string_view redirect_uri) {
  const auto begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  if (begin == std::string::npos) return pasted_elsewhere();
  text = text.substr(begin, end - begin + 1);
  // A redirect of a private-use scheme has no host, and so is none of our Urls (RFC 8252 §7.1).
  if (!Url::parse(redirect_uri) && text.starts_with(std::string(redirect_uri) + '?')) {
    text.remove_prefix(redirect_uri.size() + 1);
    return std::string(text.substr(0, text.find('#')));
  }
  const auto url = Url::parse(text);
  if (!url || !url->has_query()) return pasted_elsewhere();
  return url->query();
}

// Where the receiver would listen, if there were one.
std::string unattended_redirect(const ReceiverOptions& options) {
  const std::string scheme = options.certificate ? "https://" : "http://";
  const std::string port = options.port == 0 ? "" : ":" + std::to_string(options.port);
  switch (options.host) {
    case LoopbackHost::ipv4:
      return scheme + "127.0.0.1" + port + options.path;
    case LoopbackHost::ipv6:
      return scheme + "[::1]" + port + options.path;
    case LoopbackHost::localhost:
      return scheme + "localhost" + port + options.path;
  }
  return {};
}

class LoginRun {
 public:
  LoginRun(const LoginPlace& place, const LoginInteraction& interaction, const LoginSteps& steps)
      : place_(place), interaction_(interaction), steps_(steps) {}

  Result<void> by_receiver() {
    auto receiver = LoopbackReceiver::open(place_.receiver);
    if (!receiver) return std::move(receiver).error();
    redirect_uri_ = (*receiver)->redirect_uri();
    if (interaction_.on_receiver) interaction_.on_receiver(redirect_uri_);
    auto begun = steps_.begin(redirect_uri_);
    if (!begun) return std::move(begun).error();
    show(begun->url);
    auto callback = (*receiver)->wait(begun->state, interaction_.timeout, interaction_.stop, [&] {
      if (interaction_.on_stray) interaction_.on_stray();
    });
    if (!callback) {
      steps_.abandon(begun->state);
      return std::move(callback).error();
    }
    if (interaction_.on_callback) interaction_.on_callback();
    return answer(**callback, steps_.finish((*callback)->query()));
  }

  // The browser ends on an address where nobody listens; the person carries it over.
  Result<void> by_paste() {
    redirect_uri_ = place_.pasted_redirect.empty() ? unattended_redirect(place_.receiver)
                                                   : place_.pasted_redirect;
    auto begun = steps_.begin(redirect_uri_);
    if (!begun) return std::move(begun).error();
    show(begun->url);
    auto query = interaction_.paste().and_then(
        [this](const std::string& text) { return query_of_pasted_url(text, redirect_uri_); });
    if (query && !constant_time_equal(callback_state(*query), begun->state)) {
      query = pasted_from_another_login();
    }
    if (!query) {
      steps_.abandon(begun->state);
      return std::move(query).error();
    }
    if (interaction_.on_callback) interaction_.on_callback();
    auto finished = steps_.finish(*query);
    return finished ? Result<void>() : std::move(finished).error();
  }

 private:
  void show(const Url& url) {
    if (interaction_.on_url) interaction_.on_url(url);
    if (!interaction_.open_browser) return;
    const auto opened = place_.browser->open(url);
    if (!opened && interaction_.on_browser_failure) interaction_.on_browser_failure(opened.error());
  }

  Result<void> answer(HeldCallback& callback, Result<SuccessContext> finished) {
    if (finished) {
      finished->application = place_.application_name;
      finished->client_id = place_.client_id;
      finished->redirect_uri = redirect_uri_;
      callback.answer(200, render_success(place_.pages, *finished));
      return {};
    }
    callback.answer(400, render_failure(place_.pages, {.error = finished.error(),
                                                       .application = place_.application_name,
                                                       .client_id = place_.client_id,
                                                       .redirect_uri = redirect_uri_}));
    return std::move(finished).error();
  }

  const LoginPlace& place_;
  const LoginInteraction& interaction_;
  const LoginSteps& steps_;
  std::string redirect_uri_;
};

}  // namespace

Result<void> run_login(const LoginPlace& place, const LoginInteraction& interaction,
                       const LoginSteps& steps) {
  const LoginSteps told = traced(steps, place.tracer);
  LoginRun run(place, interaction, told);
  return interaction.paste ? run.by_paste() : run.by_receiver();
}

}  // namespace latchkey
