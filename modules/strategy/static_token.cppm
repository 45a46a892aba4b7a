// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
export module latchkey.strategy.static_token;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.strategy;

// A fixed API key or token: nothing renews it, and nobody knows when it ends.

export namespace latchkey {

/// Thread-safe. Never uses the network; a token that was refused comes back all the same, for there
/// is no other.
class StaticTokenStrategy final : public AuthStrategy {
 public:
  /// Errors, invalid_argument: "static_token.empty"; "static_token.characters" (spaces, control or
  /// non-ASCII characters, which no header may carry); "static_token.too_long" (over 32 KiB).
  [[nodiscard]] static Result<std::shared_ptr<StaticTokenStrategy>> create(SecretString token);
  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override;

 private:
  explicit StaticTokenStrategy(AuthToken token) : token_(std::move(token)) {}
  const AuthToken token_;
};

/// The same as a session, so that a store keeps it sealed and OAuthStrategy or SessionKeeper hands
/// it out: an access token, no refresh token, no expiry. `subject`: the profile's name.
/// `client_id`: of the keeper that will use it. Errors as of StaticTokenStrategy::create.
[[nodiscard]] Result<OAuthSession> static_token_session(std::string subject, std::string client_id,
                                                        SecretString token);

}  // namespace latchkey
