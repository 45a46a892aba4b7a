// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.flows.app_password;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;

// ATProto's sessions from before OAuth, for bots: com.atproto.server.createSession with an app
// password, refreshSession and deleteSession with the refresh token, which rotates. Tokens are
// Bearer tokens: whoever has one can use it. Where a person can log in, OAuth is the better choice.
// Pure pairs; AppPasswordStrategy sends them.

export namespace latchkey {

/// What both calls answer.
struct AppSession {
  std::string did;
  std::string handle;  ///< as the server says; for display
  SecretString access_token;
  SecretString refresh_token;
};

// `pds`: the origin of the account's PDS. Errors of all three: those of parse_origin.

/// `identifier`: the handle, DID or e-mail address. Errors, invalid_argument:
/// "app_password.identifier" and "app_password.password" (empty, over 2048 bytes, or not UTF-8).
[[nodiscard]] Result<HttpRequest> build_create_session_request(std::string_view pds,
                                                               std::string_view identifier,
                                                               const SecretString& password);
[[nodiscard]] Result<HttpRequest> build_refresh_session_request(std::string_view pds,
                                                                const SecretString& refresh_token);
/// Ends the session; any 2xx is success.
[[nodiscard]] Result<HttpRequest> build_delete_session_request(std::string_view pds,
                                                               const SecretString& refresh_token);

/// Errors: access_denied, "app_password.refused" (identifier or password), "app_password.factor"
/// (this is the account's main password, and the account wants a code by e-mail: use an app
/// password), "app_password.takedown"; rate_limited, with retry_after; the rest of xrpc_error;
/// invalid_response, "app_password.…" (an answer that breaks the lexicon).
[[nodiscard]] Result<AppSession> process_create_session_response(const HttpResponse& response,
                                                                 TimePoint now);
/// Errors: invalid_grant, "app_password.session_over" (the refresh token is spent, has expired, or
/// its app password was revoked); access_denied, "app_password.takedown"; and the rest as above.
[[nodiscard]] Result<AppSession> process_refresh_session_response(const HttpResponse& response,
                                                                  TimePoint now);

/// As a session with Bearer tokens, so that stores keep it sealed. The expiry is the difference of
/// the token's own times, counted from `requested_at`: `exp` is a moment by the server's clock, not
/// a duration. A token that says nothing of it has no expiry. Error: invalid_response,
/// "app_password.expiry" (under a second or over 366 days).
[[nodiscard]] Result<OAuthSession> session_from_app_session(AppSession session,
                                                            std::string_view pds,
                                                            TimePoint requested_at);

}  // namespace latchkey
