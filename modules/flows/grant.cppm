// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.flows.grant;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.context;
import latchkey.session;

// From a token answer to a session, the same for every grant: what the answer must be like, whose
// it is, and the end of what is refused.

export namespace latchkey {

/// What was asked for, and of whom.
struct GrantTerms {
  ServerMetadata server;
  std::string client_id;
  ClientAuthMethod client_auth_method = ClientAuthMethod::none;
  std::string client_auth_kid;
  std::string scope;     ///< requested
  std::string subject;   ///< key of the session; empty: "issuer|sub" of the id token
  std::string handle;    ///< for display; empty: what the id token says
  std::string dpop_jkt;  ///< key that the request was proven with; empty: none
  std::string redirect_uri;
  std::string resource_server;
  std::shared_ptr<IdTokenValidator> validator;  ///< null: no openid, and no id token is looked at
  std::string nonce;
  std::optional<std::chrono::seconds> max_age{};
};

/// The session of an answer that is acceptable: subject and handle as the terms have them, expiry
/// counted from `requested_at` (before the request was sent), the scope that was asked for if the
/// answer names none (RFC 6749 §5.1). Revision and login id are not drawn here. The tokens are
/// copied, for the caller may still need them to revoke the answer.
[[nodiscard]] OAuthSession new_session(const TokenAnswer& answer, const GrantTerms& terms,
                                       TimePoint requested_at);

/// Checks the answer of a generic provider and makes the session of it. The tokens are copied, for
/// the caller still needs them to revoke what is refused here. Errors: token_invalid, "token.type"
/// (not DPoP though a key was proven, or DPoP without one, or neither DPoP nor Bearer),
/// "token.id_token_missing", "token.sub_mismatch"
/// (`subject` is "issuer|…" of another), "token.no_subject" (neither a subject nor an id token);
/// those of IdTokenValidator::validate.
[[nodiscard]] Result<OAuthSession> session_from_grant(const TokenAnswer& answer,
                                                      const GrantTerms& terms,
                                                      TimePoint requested_at,
                                                      std::stop_token stop = {});

/// "issuer|sub", the subject of sessions that an id token names.
[[nodiscard]] std::string openid_subject(std::string_view issuer, std::string_view sub);

/// What an id token says, without asking whether it is true: for one that was validated before.
/// Empty if it can't be read.
[[nodiscard]] std::optional<IdTokenClaims> read_id_token(const SecretString& id_token);

/// What a person is called: preferred_username, else the e-mail address, else the name.
[[nodiscard]] std::string display_name(const IdTokenClaims& claims);

/// Best effort to end what the server issued and we refused (C5.11): the refresh token, or the
/// access token if there is none.
void revoke_answer(const SessionContext& context, const GrantTerms& terms,
                   const TokenAnswer& answer);
/// The same of an answer that could not be read: a 200 may have issued tokens all the same.
void revoke_unread(const SessionContext& context, const GrantTerms& terms,
                   const HttpResponse& response);

/// token_type must be DPoP if a key was proven, and Bearer if not. Error: token_invalid,
/// "token.type".
[[nodiscard]] Result<void> check_token_type(const TokenAnswer& answer, std::string_view dpop_jkt);

/// What every session of a generic provider demands of its refreshes: the token_type of the login;
/// an id token, if one comes, genuine and of the same sub (`validator` null: not looked at). One
/// that can't be judged now (no keys, a clock that is off) is left out, and the session goes on. A
/// narrower or wider scope is taken as the server says (docs/decisions.md). Errors: token_invalid,
/// "token.type"; those of IdTokenValidator::validate. `map` reads the answers, if it is set.
[[nodiscard]] SessionProfile generic_profile(std::shared_ptr<IdTokenValidator> validator,
                                             TokenAnswerMapper map = {});

}  // namespace latchkey
