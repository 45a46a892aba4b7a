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
export module latchkey.loopback.desk;
import latchkey.core.error;
import latchkey.loopback.callback;

// Where the thread that waits for a login and the one that serves browsers meet. For the receiver
// only.

export namespace latchkey {

/// Thread-safe.
class Desk {
 public:
  enum class Verdict {
    taken,      ///< it is the right one, and was handed over
    stray,      ///< of another login
    spent,      ///< the right one is there already
    undecided,  ///< nobody waits yet
  };
  using Hold = std::function<std::unique_ptr<HeldCallback>()>;

  /// For a callback that arrived. `hold` is called only for the right one.
  Verdict judge(std::string_view query, const Hold& hold);
  /// From now on a callback with this state is the right one. An empty state matches nothing.
  void expect(std::string_view state);
  /// Waits for the right one; `on_stray` is called for each stray, without a lock held. Errors:
  /// timeout, "loopback.timeout"; cancelled, "loopback.cancelled".
  [[nodiscard]] Result<std::unique_ptr<HeldCallback>> collect(
      std::chrono::steady_clock::time_point deadline, const std::stop_token& stop,
      const std::function<void()>& on_stray);
  /// Nobody waits any more. What was taken and not collected gets its neutral page.
  void forget();

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<std::string> expected_;
  bool taken_ = false;
  unsigned strays_ = 0;
  std::unique_ptr<HeldCallback> held_;
};

}  // namespace latchkey
