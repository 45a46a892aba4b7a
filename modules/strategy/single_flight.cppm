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
#include <utility>
export module latchkey.strategy.single_flight;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.crew;
import latchkey.strategy;

// Work that many callers want done and that is done once. It runs on a thread of its own, so that a
// caller who goes away strands nobody. Internal to strategy; the hub does not export it.

export namespace latchkey {

/// Thread-safe. The destructor does what finish() does.
class SingleFlight {
 public:
  /// Looks for itself whether there is still something to do: a flight may have landed between a
  /// caller's look and its begin(). An exception is the error invalid_argument,
  /// "strategy.function_threw".
  using Work = std::function<Result<void>(std::stop_token)>;
  /// `purpose` stands in messages: "cannot <purpose>". `clock` times the back-off.
  SingleFlight(std::string purpose, std::shared_ptr<Clock> clock, Work work)
      : purpose_(std::move(purpose)), clock_(std::move(clock)), work_(std::move(work)) {}
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;
  ~SingleFlight() { finish(); }

  /// Starts the work unless it is under way. Errors: backing_off, "strategy.backing_off", while a
  /// failure is too fresh (1 s doubling to 60 s, and at least what the server asked for; its cause
  /// in the message); io, "strategy.no_thread".
  [[nodiscard]] Result<void> begin();
  /// begin(), and waits for what the flight comes to: its error goes to all who waited for it.
  /// Errors also: timeout, "strategy.timeout"; cancelled, "strategy.cancelled" (nothing is begun
  /// for a caller who has given up already). `options.rejected` is not looked at.
  [[nodiscard]] Result<void> join(const TokenOptions& options);
  [[nodiscard]] bool under_way() const;
  /// Asks the work to stop and waits for it. Not to be begun again.
  void finish();

 private:
  struct Flight {
    bool landed = false;
    std::optional<Error> error;
  };
  [[nodiscard]] Result<void> begin_locked();
  [[nodiscard]] Result<void> run() noexcept;
  void fly(Flight& flight);
  [[nodiscard]] Error backing_off(std::chrono::steady_clock::time_point now) const;

  const std::string purpose_;
  const std::shared_ptr<Clock> clock_;
  const Work work_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::shared_ptr<Flight> current_;  // null: nothing is under way
  std::optional<Error> last_error_;
  unsigned failures_ = 0;  // in a row
  std::chrono::steady_clock::time_point next_attempt_{};
  std::stop_source stopping_;
  Crew crew_;  // last: joined before the rest goes
};

}  // namespace latchkey
