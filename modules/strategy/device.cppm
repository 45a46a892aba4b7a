// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
export module latchkey.strategy.device;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.device;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.strategy;
import latchkey.strategy.oauth;
import latchkey.strategy.single_flight;

// Logs in by itself when there is no session: somebody is shown a code, and answers with another
// machine. Afterwards it is an OAuthStrategy.

export namespace latchkey {

/// Brings a session of the strategy's subject into its keeper, and returns when it is saved. Runs
/// on a thread of its own; ends soon when it is asked to stop.
using LogIn = std::function<Result<void>(std::stop_token)>;

/// A login by `flow` that tells `show` the code and the address, and waits for the person. One that
/// was begun in an earlier run and has not expired is gone on with.
[[nodiscard]] LogIn device_login(DeviceFlow flow, std::string subject,
                                 std::function<void(const DeviceCodes&)> show);

/// Thread-safe. However many callers there are, one person is asked once.
class DeviceCodeStrategy final : public AuthStrategy {
 public:
  /// `subject` is the session that `log_in` makes. `clock` (null: the machine's) times the back-off
  /// after a login that failed.
  DeviceCodeStrategy(std::shared_ptr<SessionKeeper> keeper, std::string subject, LogIn log_in,
                     std::shared_ptr<Clock> clock = nullptr);

  /// Logs in if the session is absent, dead, or of no more use. A person takes minutes: a caller
  /// who does not want to wait that long gets timeout, "strategy.timeout", and the login goes on.
  /// Errors: those of SessionKeeper::fresh, of the login, and of SingleFlight.
  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override;
  [[nodiscard]] Result<std::shared_ptr<HttpTransport>> bind(std::shared_ptr<HttpTransport> plain,
                                                            const AuthToken& token) override;
  /// True while somebody is being asked.
  [[nodiscard]] bool logging_in() const { return flight_.under_way(); }

 private:
  [[nodiscard]] Result<void> log_in(std::stop_token stop);

  OAuthStrategy session_;
  const LogIn log_in_;
  std::mutex mutex_;
  std::string rejected_;  // guarded by mutex_: fingerprint of the last token that was refused
  SingleFlight flight_;   // last: its thread uses the rest
};

}  // namespace latchkey
