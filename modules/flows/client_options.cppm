// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.flows.client_options;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.flows.code_login;
import latchkey.http;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.context;
import latchkey.refresh.events;
import latchkey.store;
import latchkey.store.vault;

// What makes a client of a generic provider, whether it keeps sessions (OAuthClient) or hands out
// tokens (CodeFlow), and the authorization request that follows from it.

export namespace latchkey {

/// Whether tokens are bound to a key of ours (RFC 9449).
enum class ProofRule {
  when_offered,  ///< if the server's metadata names ES256 and there is a vault; else Bearer
  required,      ///< there must be a vault; the server may say nothing of it
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
  /// Judges id tokens; set, openid is asked for. See JwksIdTokenValidator and
  /// claims_only_validator.
  std::shared_ptr<IdTokenValidator> validator{};
  /// `validator` must be set, and check signatures.
  bool requires_validated_id_token = false;
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<KeyVault> vault{};  ///< null: only Bearer tokens
  ProofRule proof = ProofRule::when_offered;
  FormFields extra_parameters{};  ///< of the authorization request; see check_extra_parameters
  std::optional<std::chrono::seconds> max_age{};
  TokenAnswerMapper map_answer{};             ///< for token answers of an unusual shape
  ReceiverOptions receiver{};                 ///< where the browser ends
  ResultPages pages{};                        ///< in place of the built-in ones
  std::string application_name = "latchkey";  ///< shown on them
  /// Told what becomes of sessions; see SessionListener for the rules.
  SessionListener on_event{};

  HttpRule http_rule = HttpRule::https_only;
  /// The provider is the developer's choice, so it may be private, and so may whatever its metadata
  /// names: an OpenID provider inside a company has no public address. A program that takes
  /// providers from strangers sets public_only.
  AddressRule address_rule = AddressRule::any;
  // The library reads no environment: programs hand over what they read.
  Proxy proxy{};
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store

  // Seams; the defaults are the real ones.
  std::shared_ptr<HttpTransport> transport{};
  std::shared_ptr<BrowserOpener> browser{};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
  std::shared_ptr<Tracer> tracer{};  ///< told what happens, in words that hold no secret
};

/// Everything about them but the store. Errors: invalid_argument, "client.client_id_missing",
/// "client.openid_in_scope" (that is what `validator` is for), "client.issuer_missing" (a
/// validator, but no issuer to compare with), "client.no_vault" (proofs are required),
/// "client.resource" (no absolute URI, or one with a fragment, RFC 8707 §2), "client.max_age"
/// (negative, or without a validator), "client.validator" (see requires_validated_id_token),
/// "scope.malformed"; those of check_extra_parameters, parse_endpoint and check_scheme, and of
/// parse_origin for allowed_origins.
[[nodiscard]] Result<void> check_client_options(const OAuthClientOptions& options);

/// The request of a login. `scope`: in place of the options', if not empty; it may not hold openid.
/// Errors: invalid_argument, "client.openid_in_scope", "scope.malformed".
[[nodiscard]] Result<CodeRequest> make_code_request(const OAuthClientOptions& options,
                                                    std::string_view scope,
                                                    std::string redirect_uri);

/// What work on sessions of this client needs; the defaults of `options` are filled in. The store
/// may be null, for flows that keep nothing. Errors: those of fill_defaults.
[[nodiscard]] Result<SessionContext> make_context(OAuthClientOptions& options);
/// How a person gets to the login and back.
[[nodiscard]] LoginPlace place_of(const OAuthClientOptions& options);
/// For the result page: what is known of id tokens that the client let through.
[[nodiscard]] IdentityCheck identity_check(const OAuthClientOptions& options) noexcept;

}  // namespace latchkey
