// SPDX-License-Identifier: MIT
module;
#include <sys/types.h>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
export module latchkey.test.tool;

// A program as somebody at a shell starts it: with an environment of its own, standard input of
// every kind, and what it says on each of its two streams kept apart.

export namespace latchkey::test {

using Environment = std::map<std::string, std::string>;

/// What its standard input is.
struct Input {
  enum class Kind {
    nothing,  ///< /dev/null
    closed,   ///< no such descriptor
    silent,   ///< open, and nobody types
    text,
  } kind = Kind::nothing;
  std::string text{};
};
[[nodiscard]] Input typed(std::string text);

/// A terminal of this size.
struct Screen {
  unsigned short columns = 100, rows = 50;
};

struct ToolStart {
  std::vector<std::string> words;  ///< the first is the program's path
  Environment environment{};       ///< nothing else is inherited, but for sanitizers' options
  Input input{};
  std::vector<int> closed{};       ///< of 1 and 2: closed from the start
  std::string out_path{};          ///< standard output goes to this file instead of to us
  std::optional<Screen> screen{};  ///< standard error is a terminal
};

struct ToolRun {
  int status = 0;  ///< 128 + n when signal n ended it
  std::string out, err;
};

/// Killed and reaped when dropped. Failures throw std::runtime_error.
class Tool {
 public:
  explicit Tool(ToolStart start);
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;
  ~Tool();

  /// Waits until the text stands on standard error; false if that ended without it.
  [[nodiscard]] bool says(std::string_view text);
  /// What stands on standard error so far.
  [[nodiscard]] std::string said() const;
  void signal(int number) const;
  /// Types a line, with Input::Kind::silent.
  void type(std::string_view line) const;
  /// Without an end of line.
  void press(std::string_view keys) const;
  /// Waits for its end.
  [[nodiscard]] ToolRun finish();

 private:
  struct Stream {
    std::string text;
    bool ended = false;
  };
  void collect(int descriptor, Stream& stream);

  pid_t id_ = -1;
  int status_ = -1;
  int input_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Stream out_, err_;
  std::vector<std::jthread> threads_;
};

}  // namespace latchkey::test
