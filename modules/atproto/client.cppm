// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.atproto.client;
export import latchkey.atproto.client_identity;
export import latchkey.flows.interaction;
export import latchkey.flows.web_login;
import latchkey.atproto.identity;
import latchkey.atproto.pds;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.dns;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.refresh.authorized;
import latchkey.refresh.events;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

// The AT Protocol client in one object: log in once, and from then on a DID is all it needs.

export namespace latchkey {

struct AtprotoClientOptions {
  AtprotoClientIdentity client;
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<KeyVault> vault;
  /// True: no other store uses the vault, so that logins may remove keys that no session of this
  /// one needs (see latchkey.refresh.key_collection): those of logins that were cut off, a slice at
  /// a time. A store that shares the vault would lose its sessions by this.
  bool vault_serves_this_store_alone = false;
  /// Shown on the result page of a login.
  std::string application_name = "latchkey";
  /// Told what becomes of sessions; see SessionListener for the rules.
  SessionListener on_event{};

  /// Strict: a login whose token answer has no DPoP-Nonce is refused, and what was issued revoked
  /// (C6.8). The specification wants it of every answer to a proof; refreshes are not judged by it,
  /// so that no session ends for it.
  bool require_dpop_nonce = false;

  // Development servers.
  std::string plc_url = "https://plc.directory";
  std::string resolve_handles_at{};  ///< see IdentityOptions
  /// With allow_http_for_loopback, addresses that strangers supply may be private too: those that
  /// are looked up during a login, and the PDS and the authorization server that it leads to.
  HttpRule http_rule = HttpRule::https_only;

  // The network. The library reads no environment: programs hand over what they read.
  Proxy proxy{};
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store

  // Seams; the defaults are the real ones.
  std::shared_ptr<HttpTransport> transport{};  ///< to endpoints that were checked: cpprestsdk
  std::shared_ptr<HttpTransport> strangers{};  ///< to addresses that strangers supply: libcurl
  /// To plc_url and resolve_handles_at, which may be private: libcurl; `strangers` if that is
  /// given.
  std::shared_ptr<HttpTransport> configured{};
  std::shared_ptr<DnsResolver> dns{};  ///< c-ares; none if `strangers` is given
  std::shared_ptr<BrowserOpener> browser{};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
  std::shared_ptr<Tracer> tracer{};  ///< told what happens, in words that hold no secret
};

/// A handle to shared state: copying it is cheap, and all copies may be used from several threads.
class AtprotoClient {
 public:
  /// Errors: invalid_argument ("client.store_missing", "client.vault_missing", "client.…",
  /// "scope.malformed"), invalid_metadata ("client.…", see latchkey.atproto.client_identity),
  /// invalid_key ("client.key_in_vault": one of the client's own keys is kept as a session's key,
  /// C1.12), invalid_url for plc_url and resolve_handles_at; those of the vault, if the client has
  /// keys.
  [[nodiscard]] static Result<AtprotoClient> create(AtprotoClientOptions options);

  /// Logs in with a handle, a DID or the URL of a server, through the browser; saved, durable, when
  /// it returns. The browser ends at the client's first redirect to this machine; a client without
  /// one can only have the address copied (LoginInteraction::paste) from where its first redirect
  /// leads. Error, besides those of the steps: invalid_argument, "login.no_loopback_redirect".
  [[nodiscard]] Result<SessionSummary> login(std::string_view handle_did_or_url,
                                             const LoginInteraction& interaction = {});
  /// The first half of a login through a browser elsewhere, for web backends: send the browser to
  /// `url`, and give it `browser_binding` in a cookie (HttpOnly, SameSite=Lax, Secure over https,
  /// at most ten minutes). Errors: those of discovery and of the store; invalid_argument
  /// ("login.redirect", "login.scope", "login.prompt", "login.app_state"); those of the pushed
  /// request. They leave nothing behind.
  [[nodiscard]] Result<BegunLogin> authorize(std::string_view handle_did_or_url,
                                             const AuthorizeOptions& options);
  /// The second half, in this or another process over the same store and vault. `query`: what
  /// follows "?" in the redirect, or the body of the form that was posted there (form_post);
  /// `browser_binding`: the cookie's value, empty if there is none. A callback can be answered
  /// once, within ten minutes, whatever comes of it. Errors: see AtprotoLogin::callback. What is
  /// refused after it was issued is revoked, and so is the session that the new one replaces.
  CallbackOutcome callback(std::string_view query, const SecretString& browser_binding,
                           std::stop_token stop = {});
  /// Writes to and reads from the PDS of `did`. Nothing is checked or fetched yet.
  [[nodiscard]] PdsClient pds(std::string did, PdsOptions options = {}) const;
  /// Sends any request with the session's token and proof. `target`: a path on the session's
  /// resource server, or an absolute URL there. Error: insecure_address, "resource.other_origin"
  /// for another origin.
  [[nodiscard]] Result<HttpResponse> request(std::string_view did, std::string method,
                                             std::string target, std::string content_type,
                                             std::string_view body,
                                             std::stop_token stop = {}) const;

  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> fresh(
      std::string_view did, const FreshOptions& options = {}) const;
  [[nodiscard]] Result<LogoutOutcome> logout(std::string_view did,
                                             const LogoutOptions& options = {}) const;
  [[nodiscard]] SessionKeeper& keeper() const noexcept;

 private:
  struct Impl;
  explicit AtprotoClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace latchkey
