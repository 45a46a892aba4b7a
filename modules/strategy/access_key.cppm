// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.strategy.access_key;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.flows.client_credentials;
import latchkey.flows.key_exchange;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.strategy.token_store;

// Tokens for a program that has credentials of its own: a client id and secret, or an access key
// that an endpoint gives short-lived tokens for. No person is involved.

export namespace latchkey {

/// An access key of the common form: prefix, id, ".", secret.
struct AccessKey {
  std::string id;  ///< no secret: it names the key in lists and logs
  SecretString secret;

  /// The secret is what follows the first dot; `prefix` may be empty. Errors, all invalid_argument:
  /// "access_key.missing_prefix", "access_key.missing_dot", "access_key.empty_key_id",
  /// "access_key.empty_secret", "access_key.characters" (not printable ASCII), looked at in this
  /// order.
  [[nodiscard]] static Result<AccessKey> parse(const SecretString& text, std::string_view prefix);
};

/// What both kinds need besides their credentials.
struct ObtainingOptions {
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<TokenStore> store{};             ///< null: NoStore
  std::shared_ptr<Clock> clock{};                  ///< null: the machine's
  std::shared_ptr<Random> random{};                ///< null: the system's
  std::function<void(const Error&)> on_warning{};  ///< see RenewalOptions::on_warning
};

/// Thread-safe; one request at a time, whatever the number of callers (see TokenRenewal).
class AccessKeyStrategy final : public AuthStrategy {
 public:
  /// RFC 6749 §4.4. A stored token of another `client_id` or endpoint is not used. Errors of
  /// get_token: those of obtain_client_credentials_token and TokenRenewal::get; token_invalid,
  /// "token.type" (the token is bound to a key, or is no Bearer token).
  [[nodiscard]] static std::shared_ptr<AccessKeyStrategy> with_client_credentials(
      std::string client_id, ClientCredentialsRequest request,
      std::shared_ptr<ClientAuthenticator> client, ObtainingOptions options);
  /// A static key that is exchanged. A stored token of another key or endpoint is not used. Errors
  /// of get_token: those of build_key_exchange_request, of process_token_response as
  /// "key_exchange.…", of TokenRenewal::get; "token.type" as above.
  [[nodiscard]] static std::shared_ptr<AccessKeyStrategy> with_key_exchange(
      KeyExchange exchange, ObtainingOptions options);

  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override;

 private:
  explicit AccessKeyStrategy(RenewalOptions options) : renewal_(std::move(options)) {}
  TokenRenewal renewal_;
};

}  // namespace latchkey
