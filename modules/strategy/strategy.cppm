// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
export module latchkey.strategy;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;

// One contract for every way to come by an access token: a session that somebody logged in to, the
// credentials of a program, a fixed key. Code that calls an API takes an AuthStrategy and need not
// know which.

export namespace latchkey {

/// An access token, and how requests are to carry it.
struct AuthToken {
  SecretString access_token;
  std::string token_type = "Bearer";      ///< or "DPoP"
  std::optional<TimePoint> expires_at{};  ///< absent: unknown
  std::string dpop_jkt{};                 ///< thumbprint of the key it is bound to; empty: none
  std::string resource_server{};          ///< where it is good, if that is known
  std::string fingerprint{};              ///< token_fingerprint(access_token)
  [[nodiscard]] AuthToken clone() const;
};
[[nodiscard]] AuthToken auth_token_of(const OAuthSession& session);

struct TokenOptions {
  /// How long this caller waits; a request for a token that is under way goes on without it.
  std::chrono::milliseconds timeout{45'000};
  std::stop_token stop{};
  /// Fingerprint of a token that a server has just refused: it is not handed out again, if another
  /// can be had.
  std::string rejected{};
};

/// Implementations are thread-safe.
class AuthStrategy {
 public:
  AuthStrategy() = default;
  AuthStrategy(const AuthStrategy&) = delete;
  AuthStrategy& operator=(const AuthStrategy&) = delete;
  virtual ~AuthStrategy();

  /// A token that is good now. Errors, of all kinds: login_required (nobody has logged in, or only
  /// a person can mend it), backing_off, timeout, cancelled, and what getting a token met.
  [[nodiscard]] virtual Result<AuthToken> get_token(const TokenOptions& options = {}) = 0;
  /// The transport for requests that carry `token`: `plain` for a Bearer token; for a bound one a
  /// transport over it that proves possession of the key. Error: key_missing, "strategy.no_key" if
  /// this kind has no keys.
  [[nodiscard]] virtual Result<std::shared_ptr<HttpTransport>> bind(
      std::shared_ptr<HttpTransport> plain, const AuthToken& token);
  /// Does this answer refuse the token that the request carried? 401 with error="invalid_token"
  /// in a challenge (RFC 6750 §3.1), unless this kind's servers say it otherwise.
  [[nodiscard]] virtual bool refuses(const HttpResponse& response) const;
};

/// A strategy that is a function, for what this library does not know. The function must be
/// thread-safe.
class AuthStrategyFn final : public AuthStrategy {
 public:
  using Function = std::function<Result<AuthToken>(const TokenOptions&)>;
  explicit AuthStrategyFn(Function function) : function_(std::move(function)) {}
  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override {
    return function_(options);
  }

 private:
  const Function function_;
};

}  // namespace latchkey
