// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.web_login;
import latchkey.core.error;
import latchkey.flows.code_login;
import latchkey.oauth.authorization;
import latchkey.session;

namespace latchkey {

std::string_view to_string(Prompt prompt) noexcept {
  switch (prompt) {
    case Prompt::unsaid:
      return "";
    case Prompt::login:
      return "login";
    case Prompt::consent:
      return "consent";
    case Prompt::select_account:
      return "select_account";
    case Prompt::create:
      return "create";
    case Prompt::none:
      return "none";
  }
  return "";
}

CallbackOutcome callback_outcome(AnsweredCode answered) {
  if (!answered.session) {
    return {.session = std::move(answered.session).error(),
            .app_state = std::move(answered.app_state)};
  }
  return {.session = static_cast<const SessionSummary&>(**answered.session),
          .app_state = std::move(answered.app_state)};
}

Result<void> add_web_options(const AuthorizeOptions& options, ClientAuthMethod method,
                             CodeRequest& request) {
  if (options.prompt == Prompt::none && method == ClientAuthMethod::none) {
    return make_error(ErrorCode::invalid_argument, "login.prompt",
                      "cannot log in without a prompt: servers always ask when the client is a "
                      "public one; leave the prompt unsaid, or use a confidential client");
  }
  if (options.prompt != Prompt::unsaid) {
    request.extra.emplace_back("prompt", to_string(options.prompt));
  }
  request.app_state = options.app_state;
  request.response_mode = options.response_mode;
  request.browser = options.without_browser_binding ? BrowserRule::any : BrowserRule::same_only;
  return {};
}

}  // namespace latchkey
