// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
export module latchkey.strategy.oauth;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.strategy;

// The tokens of a session that somebody logged in to, or of a key that was stored like one.

export namespace latchkey {

/// Thread-safe. A stored session without an expiry (an API key) is handed out without any request.
class OAuthStrategy final : public AuthStrategy {
 public:
  /// Whoever logs in later, through this keeper or in another process, is seen.
  OAuthStrategy(std::shared_ptr<SessionKeeper> keeper, std::string subject)
      : keeper_(std::move(keeper)), subject_(std::move(subject)) {}

  /// Errors: those of SessionKeeper::fresh; login_required, "session.absent" if nobody has logged
  /// in yet.
  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override;
  /// Errors: those of ProverCache::find.
  [[nodiscard]] Result<std::shared_ptr<HttpTransport>> bind(std::shared_ptr<HttpTransport> plain,
                                                            const AuthToken& token) override;
  [[nodiscard]] const std::string& subject() const noexcept { return subject_; }

 private:
  const std::shared_ptr<SessionKeeper> keeper_;
  const std::string subject_;
};

}  // namespace latchkey
