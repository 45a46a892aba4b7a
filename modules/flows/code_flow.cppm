// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
export module latchkey.flows.code_flow;
export import latchkey.flows.environment;
export import latchkey.flows.interaction;
export import latchkey.flows.token_set;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.flows.client_options;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;

// An authorization code flow that is complete: run it for tokens in the hand, or make a client of
// it that keeps its sessions. AuthorizationCodeFlow::builder() makes one.

export namespace latchkey {

/// What was said of the id token.
enum class IdTokenChoice {
  none,       ///< openid is not asked for
  undecided,  ///< it is, and validate_id_token_with() or without_jwks_validation() must be said
  validated,
  unvalidated,
};

/// What a builder gathers. Programs use the builder.
struct CodeFlowSettings {
  ServerMetadata server{};
  std::string client_id{};
  std::shared_ptr<ClientAuthenticator> client{};  ///< null: a public client
  std::string scope{};                            ///< without openid
  std::vector<std::string> resources{};
  FormFields extra_parameters{};
  std::optional<std::chrono::seconds> max_age{};
  IdTokenChoice id_token = IdTokenChoice::none;
  std::shared_ptr<IdTokenValidator> validator{};
  ProofRule proof = ProofRule::when_offered;
  TokenAnswerMapper map_answer{};
  ReceiverOptions receiver{};
  ResultPages pages{};
  std::string application_name = "latchkey";
  LoginInteraction interaction{};
};

/// A flow that is complete. A handle to shared, constant state: copies are cheap, and all of them
/// may be run at once, from several threads.
template <class V>
class CodeFlow {
 public:
  explicit CodeFlow(CodeFlowSettings settings)
      : settings_(std::make_shared<const CodeFlowSettings>(std::move(settings))) {}

  /// Logs in and hands out the tokens; nothing is stored but a key in `environment.vault`, if there
  /// is one and the server offers DPoP. Errors: invalid_argument, "flow.validator" (null, or one
  /// that checks no signature); those of check_client_options, make_context, begin_code,
  /// exchange_code, check_token_type, run_login and validate. What is refused after it was issued
  /// is revoked.
  [[nodiscard]] Result<TokenSet<V>> authorize(const FlowEnvironment& environment = {},
                                              std::stop_token stop = {}) const;

  /// The same flow as a client that keeps its sessions: add a store, and a vault for DPoP.
  [[nodiscard]] OAuthClientOptions client_options() const;
  /// Hooks and timeout, for OAuthClient::login.
  [[nodiscard]] const LoginInteraction& interaction() const noexcept {
    return settings_->interaction;
  }

 private:
  std::shared_ptr<const CodeFlowSettings> settings_;
};

template <>
Result<TokenSet<Unvalidated>> CodeFlow<Unvalidated>::authorize(const FlowEnvironment& environment,
                                                               std::stop_token stop) const;
template <>
Result<TokenSet<Validated>> CodeFlow<Validated>::authorize(const FlowEnvironment& environment,
                                                           std::stop_token stop) const;

/// See CodeFlow::client_options.
[[nodiscard]] OAuthClientOptions client_options_of(const CodeFlowSettings& settings);

template <class V>
OAuthClientOptions CodeFlow<V>::client_options() const {
  return client_options_of(*settings_);
}

}  // namespace latchkey
