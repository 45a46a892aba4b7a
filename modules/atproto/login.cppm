// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.atproto.login;
export import latchkey.flows.interaction;
import latchkey.atproto.discovery;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.flows.code_login;
import latchkey.flows.web_login;
import latchkey.oauth.client_metadata;
import latchkey.refresh.keeper;
import latchkey.session;

// The two halves of an ATProto login: what latchkey.flows.code_login does for any provider, with
// the scopes, the bindings and the checks that this profile demands.

export namespace latchkey {

struct LoginBeginning {
  std::string redirect_uri;
  std::string scope;  ///< requested; empty: all that the client declares
  std::string app_state;
  std::stop_token stop{};
};

/// Thread-safe. All errors leave nothing behind but a key without a session, which is removed
/// again.
class AtprotoLogin {
 public:
  AtprotoLogin(std::shared_ptr<SessionKeeper> keeper, std::shared_ptr<AtprotoDiscovery> discovery,
               ClientIdentity client);

  /// Errors: those of discovery, invalid_argument ("login.redirect", "login.scope"), of the store,
  /// and of the PAR.
  [[nodiscard]] Result<BegunLogin> begin(const LoginTarget& target,
                                         const LoginBeginning& beginning);
  /// `query`: what follows "?" in the redirect. Errors: callback_invalid (also
  /// "callback.unknown_state": no such login, finished already, or over ten minutes old),
  /// access_denied, provider_error, token_invalid, identity_mismatch. What is refused after it was
  /// issued is revoked (C5.11).
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> finish(std::string_view query,
                                                                   std::stop_token stop = {});
  /// The same two halves for a browser that is not on this machine; see
  /// latchkey.flows.web_login. Errors of authorize(): those of begin(), and invalid_argument
  /// ("login.prompt", "login.app_state"); of callback(): those of finish(), and callback_invalid
  /// ("callback.other_browser").
  [[nodiscard]] Result<BegunLogin> authorize(const LoginTarget& target,
                                             const AuthorizeOptions& options);
  CallbackOutcome callback(std::string_view query, const SecretString& browser_binding,
                           std::stop_token stop = {});
  /// Forgets a login that will not come back.
  void abandon(std::string_view state);

 private:
  std::shared_ptr<AtprotoDiscovery> discovery_;
  ClientIdentity client_;
  CodeLogin login_;
};

}  // namespace latchkey
