// SPDX-License-Identifier: MIT
module;
#include <sys/types.h>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.child;

// A program that a test starts (exec, not fork alone) and talks to over pipes. Failures throw
// std::runtime_error.

export namespace latchkey::test {

/// Killed and reaped when dropped.
class ChildProcess {
 public:
  /// `words[0]` is the path of the program.
  explicit ChildProcess(std::vector<std::string> words);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  /// The next line of its standard output, without the line end; empty when it has closed it.
  /// Waits.
  [[nodiscard]] std::string read_line();
  /// Sends a line to its standard input.
  void write_line(std::string_view line);
  /// Ends it at once (SIGKILL) and waits until it is gone.
  void kill();
  /// Closes its standard input, and waits until it ends. The exit status, or 128 + the signal's
  /// number.
  int wait();
  [[nodiscard]] pid_t id() const noexcept { return id_; }

 private:
  void close_input() noexcept;
  pid_t id_ = -1;
  int input_ = -1, output_ = -1;
  int status_ = -1;
  std::string buffer_;
};

}  // namespace latchkey::test
