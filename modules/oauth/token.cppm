// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.oauth.token;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.session;

// The token endpoint: exchanging a code (RFC 6749 §4.1.3) and refreshing (§6), and what its answers
// must look like.

export namespace latchkey {

/// A token answer (RFC 6749 §5.1), checked for shape only.
struct TokenAnswer {
  SecretString access_token;
  std::string token_type;
  std::optional<std::chrono::seconds> expires_in;
  std::optional<SecretString> refresh_token;
  std::optional<SecretString> id_token;
  std::optional<std::string> scope;
  std::string sub;  ///< ATProto; empty if absent
  /// What else the answer says: each further member with its JSON text, which may be a secret.
  std::vector<std::pair<std::string, SecretString>> others{};
};

/// "DPoP" and "Bearer" as their RFCs spell them, for token_type compares without case (RFC 6749
/// §5.1); anything else as it is.
[[nodiscard]] std::string canonical_token_type(std::string_view type);

/// Reads an answer of an unusual shape; Slack, for one, nests the user's token in `authed_user`.
/// What it makes is then checked like any other answer.
using TokenAnswerMapper = std::function<Result<TokenAnswer>(JsonObject& answer)>;

/// Reads a JSON object in the shape of RFC 6749 §5.1, for mappers. `default_type`: the token_type
/// of one that does not say; empty: it must. Errors: those of process_token_response.
[[nodiscard]] Result<TokenAnswer> read_token_answer(JsonObject& object, std::string_view step,
                                                    std::string_view default_type = {});

[[nodiscard]] Result<HttpRequest> build_code_exchange(const PendingLogin& pending,
                                                      const SecretString& code,
                                                      ClientAuthenticator& client);
/// The session's own client, endpoint and kid. `resources`: whom the new token is for (RFC 8707
/// §2.2); empty: the server keeps to what it granted. Errors: login_required,
/// "refresh.no_refresh_token"; client_mismatch, "refresh.auth_method" if the client authenticates
/// otherwise than the session began (C7.3).
[[nodiscard]] Result<HttpRequest> build_refresh_request(
    const OAuthSession& session, ClientAuthenticator& client,
    const std::vector<std::string>& resources = {});

/// 200 with a JSON object (with an `error` instead of an access token it is the server's OAuth
/// error): access_token and token_type required; wrong types, duplicates, empty tokens, tokens over
/// 32 KiB or with characters that can't stand in a header refused. `step` names the error ("token"
/// or "refresh"). A wrong content type alone is no reason to refuse it: the old refresh token is
/// spent, and these will not be given again. Errors: invalid_response ("<step>.content_type",
/// ".not_json", ".duplicate_member", ".wrong_type", ".missing_member", ".bad_token"), or the
/// server's OAuth error. expires_in: a number of seconds; absurd ones (under
/// 1 s, over a day's bound of 366 days) are invalid_response, "<step>.expires_in". With `map`, that
/// reads the object instead; what it refuses is invalid_response, "<step>.not_mapped".
[[nodiscard]] Result<TokenAnswer> process_token_response(std::string_view step,
                                                         const HttpResponse& response,
                                                         TimePoint now,
                                                         const TokenAnswerMapper& map = {});

/// The ATProto rules for a token answer (C5.5 to C5.10): token_type DPoP, sub a DID and equal to
/// `expected_subject` (unless that is empty), scope present with "atproto", expires_in at most a
/// day. Errors: token_invalid
/// ("token.type", "token.sub_missing", "token.sub_malformed", "token.sub_mismatch",
/// "token.scope_missing", "token.scope_without_atproto", "token.expires_in",
/// "token.unexpected_id_token").
[[nodiscard]] Result<void> check_atproto_token(const TokenAnswer& answer,
                                               std::string_view expected_subject);

/// The session after a refresh: new tokens and times; refresh token and scope kept when the answer
/// omits them; identity, login_id and session_started_at kept. The revision is not drawn here.
[[nodiscard]] OAuthSession session_from_refresh(const OAuthSession& before, TokenAnswer answer,
                                                TimePoint requested_at);

}  // namespace latchkey
