// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.flows.client;
export import latchkey.flows.client_options;
export import latchkey.flows.interaction;
export import latchkey.flows.web_login;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;

// A client of any OAuth 2.0 or OpenID Connect provider in one object: log in once, and from then on
// the subject is all it needs. Sessions, stores and refreshes are those of the ATProto client.

export namespace latchkey {

/// A handle to shared state: copying it is cheap, and all copies may be used from several threads.
class OAuthClient {
 public:
  /// Errors: invalid_argument, "client.store_missing"; those of check_client_options and of
  /// CpprestTransport::open.
  [[nodiscard]] static Result<OAuthClient> create(OAuthClientOptions options);

  /// Logs in through the browser; saved, durable, when it returns. `subject`: the key of the
  /// session, such as a profile name; empty: "issuer|sub", as the id token says; if it is
  /// "issuer|…" itself, no other account is accepted. Errors: invalid_argument,
  /// "login.subject_missing" (empty, and no openid); those of CodeLogin, run_login and
  /// session_from_grant.
  [[nodiscard]] Result<SessionSummary> login(std::string_view subject = {},
                                             const LoginInteraction& interaction = {});

  /// The first half of a login through a browser elsewhere, for web backends; `subject` as for
  /// login(). Send the browser to `url`, and give it `browser_binding` in a cookie (HttpOnly,
  /// SameSite=Lax, Secure over https, at most ten minutes). Errors: invalid_argument
  /// ("login.subject_missing", "login.redirect_missing", "login.prompt", "login.app_state"); those
  /// of make_code_request and CodeLogin::begin.
  [[nodiscard]] Result<BegunLogin> authorize(std::string_view subject,
                                             const AuthorizeOptions& options);
  /// The second half, in this or another process over the same store and vault; see
  /// AtprotoClient::callback. Errors: those of CodeLogin::answer and session_from_grant.
  CallbackOutcome callback(std::string_view query, const SecretString& browser_binding,
                           std::stop_token stop = {});

  /// Sends a request with the session's token and proof. `url` is of one of the origins in
  /// `resources` or `allowed_origins`: a Bearer token is worth the same to whoever sees it. Errors:
  /// insecure_address, "resource.other_origin"; those of send_authorized.
  [[nodiscard]] Result<HttpResponse> request(std::string_view subject, std::string method,
                                             std::string_view url, std::string content_type = {},
                                             std::string_view body = {},
                                             std::stop_token stop = {}) const;
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> fresh(
      std::string_view subject, const FreshOptions& options = {}) const;
  /// Ends the session here and at the server (RFC 7009).
  [[nodiscard]] Result<LogoutOutcome> logout(std::string_view subject,
                                             const LogoutOptions& options = {}) const;
  [[nodiscard]] SessionKeeper& keeper() const noexcept;
  /// For those that work on the same sessions, such as strategies.
  [[nodiscard]] std::shared_ptr<SessionKeeper> shared_keeper() const noexcept;
  /// Defaults filled in.
  [[nodiscard]] const OAuthClientOptions& options() const noexcept;

 private:
  struct Impl;
  explicit OAuthClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace latchkey
