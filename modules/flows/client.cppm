// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.flows.client;
export import latchkey.flows.interaction;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.loopback.browser;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.events;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

// A client of any OAuth 2.0 or OpenID Connect provider in one object: log in once, and from then on
// the subject is all it needs. Sessions, stores and refreshes are those of the ATProto client.

export namespace latchkey {

/// Whether tokens are bound to a key of ours (RFC 9449).
enum class ProofRule {
  when_offered,  ///< if the server's metadata names ES256 and there is a vault; else Bearer
  required,      ///< "client.no_dpop" if that is not so
  never,         ///< Bearer
};

struct OAuthClientOptions {
  /// At least authorization_endpoint (for login()) and token_endpoint. An issuer is needed for
  /// OpenID Connect.
  ServerMetadata server;
  std::string client_id;
  std::shared_ptr<ClientAuthenticator> client{};  ///< default: a public client
  /// Without openid, which `validator` stands for.
  std::string scope{};
  /// RFC 8707: whom the tokens are for; named in requests, and their origins get the access token.
  std::vector<std::string> resources{};
  /// Further origins ("https://api.example.com") that request() may send the access token to.
  std::vector<std::string> allowed_origins{};
  /// Judges id tokens; set, openid is asked for. See JwksIdTokenValidator and claims_only_validator.
  std::shared_ptr<IdTokenValidator> validator{};
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<KeyVault> vault{};  ///< null: only Bearer tokens
  ProofRule proof = ProofRule::when_offered;
  FormFields extra_parameters{};      ///< of the authorization request; see check_extra_parameters
  std::optional<std::chrono::seconds> max_age{};
  TokenAnswerMapper map_answer{};     ///< for token answers of an unusual shape
  ReceiverOptions receiver{};         ///< where the browser ends
  /// Shown on the result page of a login.
  std::string application_name = "latchkey";
  /// Told what becomes of sessions; see SessionListener for the rules.
  SessionListener on_event{};

  HttpRule http_rule = HttpRule::https_only;
  // The library reads no environment: programs hand over what they read.
  Proxy proxy{};
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store

  // Seams; the defaults are the real ones.
  std::shared_ptr<HttpTransport> transport{};
  std::shared_ptr<BrowserOpener> browser{};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
};

/// A handle to shared state: copying it is cheap, and all copies may be used from several threads.
class OAuthClient {
 public:
  /// Errors: invalid_argument, "client.store_missing", "client.client_id_missing",
  /// "client.client_mismatch" (`client` is another), "client.openid_in_scope",
  /// "client.issuer_missing" (a validator without an issuer), "client.no_dpop", "scope.malformed",
  /// "client.resource" (no absolute URI, or with a fragment), "client.origin"; those of
  /// check_extra_parameters, parse_endpoint and check_scheme.
  [[nodiscard]] static Result<OAuthClient> create(OAuthClientOptions options);

  /// Logs in through the browser; saved, durable, when it returns. `subject`: the key of the
  /// session, such as a profile name; empty: "issuer|sub", as the id token says; if it is
  /// "issuer|…" itself, no other account is accepted. Errors: invalid_argument,
  /// "login.subject_missing" (empty, and no openid); those of CodeLogin, run_login and
  /// session_from_grant.
  [[nodiscard]] Result<SessionSummary> login(std::string_view subject = {},
                                             const LoginInteraction& interaction = {});

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
