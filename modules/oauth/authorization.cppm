// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.authorization;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.pkce;
import latchkey.oauth.server_metadata;
import latchkey.session;

// Beginning and ending an authorization code login: the pushed request (RFC 9126), the URL for the
// browser, and the redirect that comes back (RFC 6749 §4.1.2, RFC 9207).

export namespace latchkey {

/// What a login must remember between its beginning and its callback. Sealed whenever it is kept.
struct PendingLogin {
  std::string state;  ///< 32 random bytes
  SecretString code_verifier;
  std::string issuer;
  std::string token_endpoint;
  std::string revocation_endpoint;
  std::string par_endpoint;
  std::string client_id;
  ClientAuthMethod client_auth_method = ClientAuthMethod::none;
  std::string client_auth_kid;
  std::string redirect_uri;
  std::string scope;  ///< requested
  /// The key under which a store will have the session: the DID or profile name that the login
  /// began with; empty: the answer says whose it is.
  std::string expected_subject;
  std::string handle;
  std::string resource_server;
  std::string dpop_jkt;
  std::string app_state;  ///< the caller's own, carried through
  TimePoint created_at{};
  std::string nonce;  ///< for the id token (OpenID Connect Core §3.1.2.1); empty: none asked for
  std::vector<std::string> resources;           ///< RFC 8707
  std::optional<std::chrono::seconds> max_age;  ///< OpenID Connect Core §3.1.2.1
  /// The callback must carry `iss` (RFC 9207 §2.4). One that is there must be right in any case.
  bool iss_required = true;
  /// base64url(SHA-256) of the binding that the browser holds; empty: any browser may come back.
  std::string browser_binding_hash;
};

/// How the answer comes back: in the redirect's query, or as a form that the browser posts
/// (OAuth 2.0 Form Post Response Mode).
enum class ResponseMode {
  query,  ///< what servers do by themselves; nothing is said
  form_post,
};

/// Binary, versioned, length-prefixed (docs/formats.md); for sealing. Errors: corrupt,
/// "pending.malformed"; schema_too_new, "pending.version".
[[nodiscard]] SecretBytes serialize_pending(const PendingLogin& pending);
[[nodiscard]] Result<PendingLogin> parse_pending(const SecretBytes& bytes);

/// Further parameters of an authorization request, which may be any but those that a login sets
/// itself: response_type, response_mode, client_id, redirect_uri, state, scope, nonce, max_age,
/// resource, code_challenge(_method), dpop_jkt, request, request_uri, and what authenticates a
/// client. Errors: invalid_argument, "authorization.reserved_parameter",
/// "authorization.duplicate_parameter", "authorization.parameter_name" (empty, or not a plain
/// word).
[[nodiscard]] Result<void> check_extra_parameters(const FormFields& extra);

/// POST to the PAR endpoint (RFC 9126 §2.1): response_type, code_challenge(_method), state,
/// redirect_uri, and those of scope, nonce, max_age, resource (once each), login_hint and
/// response_mode that say something; then `extra`. Error: invalid_argument, "par.no_endpoint";
/// those of parse_endpoint() and check_extra_parameters().
[[nodiscard]] Result<HttpRequest> build_par_request(const PendingLogin& pending,
                                                    std::string_view code_challenge,
                                                    std::string_view login_hint,
                                                    ClientAuthenticator& client,
                                                    const FormFields& extra = {},
                                                    ResponseMode mode = ResponseMode::query);
struct ParAnswer {
  std::string request_uri;
  std::optional<std::chrono::seconds> expires_in;
};
/// 201 (or 200) with request_uri. Errors: invalid_response ("par.content_type", ".not_json",
/// ".duplicate_member",
/// ".wrong_type", ".missing_member", ".request_uri", ".expires_in"), or the server's OAuth error
/// (oauth_error()).
[[nodiscard]] Result<ParAnswer> process_par_response(const HttpResponse& response, TimePoint now);
/// After a pushed request: authorization_endpoint with client_id and request_uri, nothing else
/// (C4.9); an existing query is kept. Errors: those of parse_endpoint(), step "authorization": a
/// browser is never sent to another scheme.
[[nodiscard]] Result<Url> authorization_url(std::string_view authorization_endpoint,
                                            std::string_view client_id,
                                            std::string_view request_uri);
/// For servers without PAR: authorization_endpoint with the parameters that would have been pushed,
/// and with dpop_jkt if the code is to be bound to a key (RFC 9449 §10); an existing query is kept.
/// Errors: as above, and those of check_extra_parameters().
[[nodiscard]] Result<Url> plain_authorization_url(std::string_view authorization_endpoint,
                                                  const PendingLogin& pending,
                                                  std::string_view code_challenge,
                                                  std::string_view login_hint,
                                                  const FormFields& extra = {},
                                                  ResponseMode mode = ResponseMode::query);

/// What the redirect carries, once it has been found to belong to a pending login.
struct CallbackParameters {
  std::string state;
  SecretString code;
  std::string iss;
};
/// The `state` of a callback query, without judging the rest; empty if there is none, it is
/// duplicated, or it is over 512 characters.
[[nodiscard]] std::string callback_state(std::string_view query);
/// Whether this is the browser that began the login: `binding` is what it holds, in constant time.
/// Always, if the login is bound to none. Error: callback_invalid, "callback.other_browser".
[[nodiscard]] Result<void> check_browser(const PendingLogin& pending, const SecretString& binding);
/// `query`: what follows "?" in the redirect, or the body of the form that was posted there.
/// Checks in this order: no `response` (JARM), no duplicates, state equal (constant time), iss
/// exact, and there if the login requires it (C5.2; of a server whose issuer is not known it is not
/// looked at), then `error`, then `code`. Errors: callback_invalid ("callback.jarm",
/// "callback.malformed", "callback.state_mismatch", "callback.iss_missing",
/// "callback.iss_mismatch", "callback.code_missing"), access_denied
/// ("callback.access_denied"), provider_error ("callback.error"). A state over 512 characters, a
/// code over 4 KiB or outside printable ASCII, and a query over 16 KiB are malformed.
[[nodiscard]] Result<CallbackParameters> process_callback(std::string_view query,
                                                          const PendingLogin& pending);

/// An OAuth error answer as an Error. The status decides first: 5xx is provider_error,
/// "<step>.server_error", and 429 rate_limited, "<step>.rate_limited", whatever the body says. Then
/// the error: invalid_grant, invalid_client, access_denied, dpop_refused (invalid_dpop_proof,
/// use_dpop_nonce), else provider_error; details "<step>.<error>", or
/// "<step>.unknown_error" if it is not a plain word. No readable OAuth error: invalid_response,
/// "<step>.status". Retry-After is read. What looks like a token in the server's texts is left out.
[[nodiscard]] Error oauth_error(std::string_view step, const HttpResponse& response, TimePoint now);

}  // namespace latchkey

namespace latchkey {

// The server's error texts made fit to be shown: printable, cut, without anything that looks like a
// token.
[[nodiscard]] OAuthErrorBody shown_error(std::string_view error, std::string_view description,
                                         std::string_view uri);

}  // namespace latchkey
