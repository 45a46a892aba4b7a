// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.sandbox.authorization_request;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.sign_in;

// What a client asks of an account's owner, and what may be asked.

export namespace latchkey::sandbox {

/// A request that waits for the account's owner, pushed (RFC 9126) or not.
struct AuthorizationRequest {
  Caller caller;  ///< jkt and key are empty where the request proved none
  std::string redirect_uri;
  std::string scope;  ///< what of it is known here
  std::string state;
  std::string code_challenge;
  std::string login_hint{};
  std::string prompt{};
  std::string nonce{};
  std::string request_uri{};
  TimePoint expires_at{};
  PageState page{};
};

/// One of the client's. Errors: invalid_request, "<step>.redirect_uri",
/// "<step>.redirect_uri_missing".
[[nodiscard]] Result<std::string> read_redirect(const FormFields& form, const Caller& caller,
                                                std::string_view step);

/// The scope that a client asks for, as far as it is known here. Errors: invalid_request,
/// "<step>.scope_missing"; invalid_scope, "<step>.scope", "<step>.scope_without_atproto",
/// "<step>.scope_not_declared".
[[nodiscard]] Result<std::string> read_scope(const FormFields& form, const Client& client,
                                             std::string_view step);

/// The parameters of a request to whose redirect URI answers may go. Errors: unauthorized_client,
/// "<step>.grant_type"; unsupported_response_type, "<step>.response_type"; those of read_scope;
/// invalid_request, "<step>.<what>" for each of request_uri, response_mode, prompt, code_challenge,
/// code_challenge_method, state, login_hint, nonce, max_age and dpop_jkt, and
/// "<step>.<name>_missing".
[[nodiscard]] Result<AuthorizationRequest> read_request(const FormFields& form, Caller caller,
                                                        std::string redirect_uri,
                                                        std::string_view step);

}  // namespace latchkey::sandbox
