// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.core.time;
import latchkey.core.error;

// Time as the library sees it: wall-clock instants in milliseconds, RFC 3339 text, and a Clock that
// is always passed in, so that tests decide what time it is.

export namespace latchkey {

using TimePoint = std::chrono::sys_time<std::chrono::milliseconds>;
using Duration = std::chrono::milliseconds;

/// Stands for a time in a stored record that does not parse. It lies before every real time, so
/// that whatever carries it counts as expired.
inline constexpr TimePoint kMalformedTime{std::chrono::milliseconds{-62'135'596'800'000}};

/// RFC 3339 in UTC with milliseconds only when they are not zero: "2026-11-20T09:30:00Z",
/// "…00.250Z". kMalformedTime becomes "malformed".
[[nodiscard]] std::string format_rfc3339(TimePoint time);

/// Strict RFC 3339 (any offset, `T` and `Z` in either case, up to nine fraction digits, a leap
/// second read as the next second's start). Error: invalid_argument, "time.malformed".
[[nodiscard]] Result<TimePoint> parse_rfc3339(std::string_view text);

/// An HTTP date (RFC 9110 §5.6.7, the IMF-fixdate form only), as in `Date` and `Retry-After`;
/// nullopt if it is not one.
[[nodiscard]] std::optional<TimePoint> parse_http_date(std::string_view text);

/// Source of time. Implementations are thread-safe.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock();

  [[nodiscard]] virtual TimePoint now() const = 0;
  /// Never goes backwards and does not follow changes of the wall clock; for deadlines within one
  /// process.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point steady_now() const = 0;
  /// Waits; false if `stop` was requested before the time was over.
  virtual bool sleep_for(Duration duration, std::stop_token stop) = 0;
};

/// The machine's clock.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const override;
  bool sleep_for(Duration duration, std::stop_token stop) override;
};

/// A clock for tests: it stands still until advance(), and a sleep advances it by the time asked
/// for at once.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimePoint now) : now_(now) {}
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const override;
  bool sleep_for(Duration duration, std::stop_token stop) override;
  void advance(Duration duration);
  /// The sum of all sleeps so far.
  [[nodiscard]] Duration slept() const;

 private:
  mutable std::mutex mutex_;
  TimePoint now_;
  Duration steady_{0};
  Duration slept_{0};
};

}  // namespace latchkey
