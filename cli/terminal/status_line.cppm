// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.cli.terminal.status_line;
import latchkey.cli.terminal;

// The time that is left for a person, said while the program waits for him.

export namespace latchkey::cli {

/// "9 min 58 s", "58 s", "0 s".
[[nodiscard]] std::string time_left(std::chrono::seconds left);

/// Where the cursor can be moved, one line that is drawn anew and wiped in the end; elsewhere a
/// line at the start, and one for each minute. For one thread.
class StatusLine {
 public:
  /// Shows `before`, the time, and `after`.
  StatusLine(std::string before, std::string after, const Terminal& terminal,
             std::function<void(std::string_view)> write);
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine();

  void show(std::chrono::seconds left);
  /// A whole line above it, for what must stay.
  void say(std::string_view line);

 private:
  std::string before_, after_;
  Terminal terminal_;
  std::function<void(std::string_view)> write_;
  std::optional<std::chrono::seconds> shown_;
};

}  // namespace latchkey::cli
