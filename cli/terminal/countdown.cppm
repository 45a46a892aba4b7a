// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
export module latchkey.cli.terminal.countdown;
import latchkey.cli.terminal;
import latchkey.core.time;

// The time that is left for a person, said while the program waits for him.

export namespace latchkey::cli {

/// "9 min 58 s", "58 s", "0 s".
[[nodiscard]] std::string time_left(std::chrono::seconds left);

struct CountdownOptions {
  std::string before;  ///< "latchkey: waiting for you, "
  std::string after;   ///< " left; Ctrl-C to stop waiting"
  Terminal terminal{};
  std::shared_ptr<Clock> clock;
  std::chrono::seconds left{};
  std::function<void(std::string_view)> write;  ///< called from a thread of the countdown's
};

/// Where the cursor can be moved one line, drawn anew every second and wiped in the end; elsewhere
/// a line at the start, and one a minute. Ends when it is destroyed.
class Countdown {
 public:
  explicit Countdown(CountdownOptions options);
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;
  ~Countdown();

 private:
  std::function<void(std::string_view)> write_;
  bool moves_cursor_;
  std::jthread thread_;
};

}  // namespace latchkey::cli
