// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.strategy_rig;
import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.strategy.token_store;
import latchkey.test.random;

// Tokens out of nowhere, obtained as a test says, and callers by the dozen.

export namespace latchkey::test {

inline constexpr TimePoint kRigNow{std::chrono::milliseconds{1'790'000'000'000}};

/// Gives tokens "t-1", "t-2", …, good for an hour from the clock's time. Thread-safe.
class TokenMint {
 public:
  explicit TokenMint(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}

  /// As a TokenSource; the mint must outlive it.
  [[nodiscard]] TokenSource source();
  /// What the next call comes to instead.
  void fail_next(Error error);
  void throw_next();
  void set_lifetime(std::optional<std::chrono::seconds> lifetime);
  /// Tokens have a refresh token "r-1", … from now on.
  void rotate();
  /// The token of the last call is given again from now on.
  void repeat();
  /// Done by each call at its end.
  void at_end(std::function<void()> action);

  /// From now on calls arrive, and go on only after release().
  void hold();
  void release();
  void wait_for_call(unsigned count) const;

  [[nodiscard]] unsigned calls() const;
  [[nodiscard]] unsigned peak() const;  ///< calls at once, at most
  /// The refresh tokens that were held when a token was obtained; "none", or "no token".
  [[nodiscard]] std::vector<std::string> held() const;

 private:
  Result<OAuthSession> obtain(const OAuthSession* held, const std::stop_token& stop);
  Result<OAuthSession> next_locked();

  std::shared_ptr<Clock> clock_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  bool held_back_ = false, throw_ = false, rotating_ = false, repeating_ = false;
  std::optional<Error> failure_;
  std::optional<std::chrono::seconds> lifetime_{3600};
  std::function<void()> at_end_;
  unsigned calls_ = 0, under_way_ = 0, peak_ = 0, tokens_ = 0;
  std::vector<std::string> seen_;
};

/// A store in memory that fails when it is told to. Thread-safe.
class ScriptedTokenStore final : public TokenStore {
 public:
  Result<std::optional<OAuthSession>> load() override;
  Result<void> save(const OAuthSession& session, Revision expected) override;
  void put(const OAuthSession& session);
  void fail_saves(std::optional<Error> error);
  void fail_loads(std::optional<Error> error);
  [[nodiscard]] std::string stored() const;  ///< the access token; "" without one
  [[nodiscard]] unsigned saves() const;

 private:
  mutable std::mutex mutex_;
  std::optional<OAuthSession> session_;
  std::optional<Error> save_failure_, load_failure_;
  unsigned saves_ = 0;
};

/// A session with this token, good for `lifetime` from kRigNow.
[[nodiscard]] OAuthSession token_session(std::string_view token, std::chrono::seconds lifetime);

/// What `count` threads get that all begin at once: the token, or code and detail.
[[nodiscard]] std::vector<std::string> ask_together(unsigned count,
                                                    const std::function<std::string()>& ask,
                                                    const std::function<void()>& meanwhile = {});

/// A renewal of a mint's tokens, which live an hour: with the jitter they are due between 60 and
/// 30 s before their end, and callers wait from 10 s on.
struct RenewalRig {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kRigNow);
  TokenMint mint{clock};
  std::shared_ptr<ScriptedTokenStore> store = std::make_shared<ScriptedTokenStore>();
  std::vector<std::string> warnings;
  TokenRenewal renewal{{.purpose = "obtain a test token",
                        .source = mint.source(),
                        .store = store,
                        .clock = clock,
                        .random = std::make_shared<FixedRandom>(1),
                        .on_warning = [this](const Error& e) { warnings.push_back(e.detail); }}};

  /// The token, or code and detail.
  std::string get(const TokenOptions& options = {});
  std::vector<std::string> get_together(unsigned count,
                                        const std::function<void()>& meanwhile = {});
  /// Lets a renewal in the background end, and waits for it.
  void land();
};

/// With a token that is due and still good.
struct DueRig : RenewalRig {
  DueRig();
};

/// With one that has ended.
struct EndedRig : RenewalRig {
  EndedRig();
};

/// An unreachable server, "test.cause", with a message to look for: "the cable is cut".
[[nodiscard]] Error cut_cable(ErrorCode code = ErrorCode::unreachable);
[[nodiscard]] bool all_are(const std::vector<std::string>& answers, std::string_view expected);

}  // namespace latchkey::test
