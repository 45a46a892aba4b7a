// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.flows.web_login;
import latchkey.core.error;
import latchkey.flows.code_login;
import latchkey.oauth.authorization;
import latchkey.session;

// A login in two halves, for programs behind a web server: the first gives an address for the
// browser, the second takes what the browser brings back, perhaps in another process. What lies
// between them is in the store, sealed, for ten minutes and for one use.
//
// The login is bound to the browser that began it: an attacker who sends another person's browser
// to the end of a login of the attacker's own would else have that person work in the attacker's
// account (RFC 6749 §10.12, RFC 9700 §4.7).

export namespace latchkey {

/// What the server is to ask of the person (OpenID Connect Core §3.1.2.1, Initiating User
/// Registration 1.0).
enum class Prompt {
  unsaid,          ///< the server decides
  login,           ///< sign in again
  consent,         ///< say yes again
  select_account,  ///< choose one
  create,          ///< make a new one
  none,            ///< nothing: fail instead. Not for public clients
};
/// The parameter's value; empty for `unsaid`.
[[nodiscard]] std::string_view to_string(Prompt prompt) noexcept;

struct AuthorizeOptions {
  /// Where the browser comes back; one that the client declares. Empty: the only one that it
  /// declares.
  std::string redirect_uri{};
  std::string scope{};      ///< empty: what the client declares
  std::string app_state{};  ///< given back by callback(); at most kMaxAppState. Sealed in the store
  Prompt prompt = Prompt::unsaid;
  /// form_post: what the redirect carries is in no history and no log. The browser posts it from
  /// another site, and sends a cookie along only if that is SameSite=None and Secure.
  ResponseMode response_mode = ResponseMode::query;
  /// Lets any browser end this login: whoever begins one can have others finish it unknowingly. For
  /// programs that know in another way who comes back.
  bool without_browser_binding = false;
  std::stop_token stop{};
};

/// How a login ended.
struct [[nodiscard]] CallbackOutcome {
  Result<SessionSummary> session;  ///< saved, durable
  /// AuthorizeOptions::app_state, also if the person or the server refused. Empty if it is unknown
  /// which login this was, or if another browser or client began it.
  std::string app_state{};
};
[[nodiscard]] CallbackOutcome callback_outcome(AnsweredCode answered);

/// Puts all of the options but redirect_uri and scope into a request. `method`: how the client
/// authenticates. Error: invalid_argument, "login.prompt" (`none`, by a public client: whoever can
/// start a program would get a session without anybody seeing it).
[[nodiscard]] Result<void> add_web_options(const AuthorizeOptions& options, ClientAuthMethod method,
                                           CodeRequest& request);

}  // namespace latchkey
