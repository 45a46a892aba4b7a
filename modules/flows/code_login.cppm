// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.flows.code_login;
export import latchkey.flows.interaction;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.flows.grant;
import latchkey.oauth.authorization;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

// The authorization code grant from the first request to the token answer (RFC 6749 §4.1, RFC 7636,
// RFC 9126): the two halves as functions, and CodeLogin, which keeps what lies between them sealed
// in the store and saves the session. What makes an answer acceptable is the caller's to say.

export namespace latchkey {

/// Which key the tokens will be bound to.
enum class TokenBinding {
  bearer,  ///< none
  dpop,    ///< a new one, made for this login (RFC 9449)
};

/// Which browser may end a login.
enum class BrowserRule {
  any,        ///< for a login that comes back to the program that began it
  same_only,  ///< the one that holds BegunLogin::browser_binding
};

/// The longest CodeRequest::app_state, in bytes.
inline constexpr std::size_t kMaxAppState = 4096;

/// What an authorization request asks for, and of which server.
struct CodeRequest {
  ServerMetadata server;
  std::string redirect_uri;
  std::string scope;
  std::vector<std::string> resources{};  ///< RFC 8707
  FormFields extra{};                    ///< see check_extra_parameters
  TokenBinding binding = TokenBinding::bearer;
  bool openid = false;  ///< send a nonce for the id token
  std::optional<std::chrono::seconds> max_age{};
  bool iss_required = false;  ///< required anyway if the metadata says so
  std::string login_hint{};
  std::string subject{};  ///< PendingLogin::expected_subject
  std::string handle{};
  std::string resource_server{};
  std::string app_state{};  ///< the caller's own, given back at the end; at most kMaxAppState
  ResponseMode response_mode = ResponseMode::query;
  BrowserRule browser = BrowserRule::any;
};

/// A login that was begun: what the browser gets, and what the end of it needs.
struct BegunCode {
  Url url;
  PendingLogin pending;
  SecretString browser_binding{};  ///< see BegunLogin
};

/// Makes the key, PKCE, state and nonce; pushes the request if the server has an endpoint for that,
/// and else puts it into the URL. On an error the key is removed again. Uses all of `context` but
/// its store. Errors: invalid_argument, "login.app_state" (too long); invalid_metadata,
/// "metadata.par_endpoint_missing" (required, but nowhere); those of ProverCache::create,
/// build_par_request, process_par_response, authorization_url, plain_authorization_url and of the
/// transport.
[[nodiscard]] Result<BegunCode> begin_code(const SessionContext& context,
                                           const CodeRequest& request, std::stop_token stop = {});

struct ExchangedCode {
  TokenAnswer answer;
  TimePoint requested_at;  ///< before the request was sent
};
/// Judges the redirect and exchanges its code. An answer that can't be read is revoked as far as
/// that is possible; the key stays. Uses all of `context` but its store. Errors: token_invalid,
/// "token.dpop_nonce_missing" (SessionProfile::require_dpop_nonce; what was issued is revoked);
/// those of process_callback, build_code_exchange, process_token_response and of the transport.
[[nodiscard]] Result<ExchangedCode> exchange_code(const SessionContext& context,
                                                  const PendingLogin& pending,
                                                  std::string_view query,
                                                  const TokenAnswerMapper& map = {});

/// Forgets the key of a login that came to nothing.
void drop_login_key(const SessionContext& context, const PendingLogin& pending);

/// What the login was about, as the grant sees it.
[[nodiscard]] GrantTerms terms_of(const PendingLogin& pending);

/// The one server that all logins of a client go to.
struct OwnServer {
  std::string issuer;
  std::string token_endpoint;
};

/// Says whether an answer is acceptable and makes the session of it; what it refuses is revoked.
using AnswerJudge = std::function<Result<OAuthSession>(const TokenAnswer&, const PendingLogin&,
                                                       TimePoint requested_at, std::stop_token)>;

/// How a login ended, and what its beginning had left for this moment.
struct [[nodiscard]] AnsweredCode {
  Result<std::shared_ptr<const OAuthSession>> session;
  /// CodeRequest::app_state; also there if the server refused, so that the person can be brought
  /// back to where they were. Empty if it is unknown which login this was, or of another browser or
  /// client.
  std::string app_state{};
};

/// The two halves over a store: begin() remembers the login, sealed, for ten minutes; finish()
/// takes it out, once, and saves the session before anybody sees it. They may run in different
/// processes. Thread-safe. All errors leave nothing behind but a key without a session, which is
/// removed again.
class CodeLogin {
 public:
  /// `server` empty: each login says itself where it goes (ATProto).
  CodeLogin(std::shared_ptr<SessionKeeper> keeper, AnswerJudge judge, TokenAnswerMapper map = {},
            std::optional<OwnServer> server = std::nullopt);

  /// Errors: those of begin_code and of the store; what is stored under `request.subject` must be
  /// readable.
  [[nodiscard]] Result<BegunLogin> begin(const CodeRequest& request, std::stop_token stop = {});
  /// `query`: what follows "?" in the redirect, or the form that was posted there. `binding`: what
  /// the browser holds. Errors: callback_invalid, "callback.unknown_state" (no such login, finished
  /// already, or over ten minutes old), "callback.other_browser", "callback.other_client" (a client
  /// with another client_id, method or server began it over the same store; the login is spent by
  /// either, and nothing is sent); those of exchange_code, of the judge, and of
  /// SessionKeeper::save_login.
  AnsweredCode answer(std::string_view query, const SecretString& binding,
                      std::stop_token stop = {});
  /// The same for a login that is bound to no browser and left nothing for this moment.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> finish(std::string_view query,
                                                                   std::stop_token stop = {});
  /// Forgets a login that will not come back.
  void abandon(std::string_view state);

 private:
  [[nodiscard]] Result<PendingLogin> take(std::string_view state);
  [[nodiscard]] Result<void> check_client(const PendingLogin& pending) const;
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> complete(const PendingLogin& pending,
                                                                     std::string_view query,
                                                                     std::stop_token stop);
  std::shared_ptr<SessionKeeper> keeper_;
  AnswerJudge judge_;
  TokenAnswerMapper map_;
  std::optional<OwnServer> server_;
};

}  // namespace latchkey
