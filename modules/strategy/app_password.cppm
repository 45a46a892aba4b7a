// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
export module latchkey.strategy.app_password;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.strategy.token_store;

// An ATProto account's app password, for bots on machines where nobody can log in.

export namespace latchkey {

struct AppPasswordOptions {
  std::string pds;         ///< origin of the account's PDS, e.g. "https://pds.example.com"
  std::string identifier;  ///< handle, DID or e-mail address
  SecretString password;   ///< an app password, not the account's own
  std::shared_ptr<HttpTransport> transport;
  /// Keep the session here: PDSs allow few logins (createSession) an hour, and many refreshes.
  std::shared_ptr<TokenStore> store{};
  std::shared_ptr<Clock> clock{};                  ///< null: the machine's
  std::shared_ptr<Random> random{};                ///< null: the system's
  std::function<void(const Error&)> on_warning{};  ///< see RenewalOptions::on_warning
};

/// Thread-safe; one request at a time, whatever the number of callers (see TokenRenewal). The
/// session is refreshed while that works, and saved before it is handed out, for its refresh token
/// rotates; when it is over the app password logs in again. What is rate-limited waits as long as
/// the PDS says, and a refused password at least ten minutes, so that the account is not locked.
class AppPasswordStrategy final : public AuthStrategy {
 public:
  /// Errors, invalid_argument: those of build_create_session_request.
  [[nodiscard]] static Result<std::shared_ptr<AppPasswordStrategy>> create(
      AppPasswordOptions options);
  /// Errors: access_denied, rate_limited, backing_off; those of TokenRenewal::get and of
  /// process_create_session_response; identity_mismatch, "app_password.other_account" (the answer
  /// is for another DID than `identifier`).
  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override;
  /// PDSs say ExpiredToken or InvalidToken with 400 or 401 in the JSON of XRPC errors.
  [[nodiscard]] bool refuses(const HttpResponse& response) const override;

 private:
  struct Login;
  explicit AppPasswordStrategy(std::shared_ptr<const Login> login);
  TokenRenewal renewal_;
};

}  // namespace latchkey
