// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.core.os.command;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.spawn;
import latchkey.core.secret;

namespace latchkey {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// Ends the whole group before the leader is reaped: until then its number can't be another's.
class RunningCommand {
 public:
  explicit RunningCommand(pid_t child) : child_(child) {}
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;
  ~RunningCommand() { static_cast<void>(end()); }

  // The exit status; nullopt if the host program reaps its children itself.
  std::optional<int> end() {
    if (child_ < 0) return status_;
    ::kill(-child_, SIGKILL);
    const pid_t child = std::exchange(child_, -1);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
      if (errno != EINTR) return status_;
    }
    return status_ = exit_status_of(status);
  }

 private:
  pid_t child_;
  std::optional<int> status_;
};

int milliseconds_until(Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 1 << 30));
}

// Reads what is there. False at the end of the stream.
bool read_some(int fd, SecretBytes& out, std::size_t& used) {
  while (used < out.size()) {
    const auto room = out.mutable_span().subspan(used);
    const ssize_t count = read(fd, room.data(), room.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    used += static_cast<std::size_t>(count);
  }
  return true;
}

Error timed_out(std::string_view program) {
  return make_error(ErrorCode::timeout, "process.timeout",
                    "stopped waiting for " + printable(program, 200) +
                        ": it did not end in time; run it by hand to see what it waits for");
}

// Until the program itself has ended; what it has started may hold the pipe open for longer.
Result<SecretBytes> collect(int output, int process, std::string_view program,
                            const CommandLimits& limits, Deadline deadline) {
  SecretBytes out(limits.max_output + 1);
  std::size_t used = 0;
  std::array<pollfd, 2> waiting{pollfd{process, POLLIN, 0}, pollfd{output, POLLIN, 0}};
  for (bool ended = false; !ended;) {
    const int ready = poll(waiting.data(), waiting.size(), milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return timed_out(program);
    ended = waiting[0].revents != 0;
    // A negative descriptor is left out by poll: this one has nothing more to say.
    if (!read_some(output, out, used)) waiting[1].fd = -1;
    if (used > limits.max_output) {
      return make_error(ErrorCode::corrupt, "process.output_too_large",
                        "stopped " + printable(program, 200) + ": it prints more than " +
                            std::to_string(limits.max_output) + " bytes");
    }
  }
  out.truncate(used);
  return out;
}

}  // namespace

Result<CommandOutput> run_command(const std::vector<std::string>& words,
                                  const CommandLimits& limits) {
  if (auto good = check_words(words); !good) return std::move(good).error();
  const Deadline deadline = std::chrono::steady_clock::now() + limits.timeout;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return start_error(words[0], errno);
  const Descriptor output(ends[0]);
  Descriptor input(ends[1]);
  // Only our end: the program expects to be able to wait.
  fcntl(output.get(), F_SETFL, O_NONBLOCK);
  Spawn spawn(Spawn::Group::process);
  spawn.use(input.get(), STDOUT_FILENO);
  spawn.use(limits.errors == CommandErrors::with_output ? input.get() : STDERR_FILENO,
            STDERR_FILENO);
  pid_t child = 0;
  if (const int error = spawn.run(words, child); error != 0) return start_error(words[0], error);
  RunningCommand running(child);
  input.reset();
  // glibc 2.36 declares pidfd_open without extern "C".
  const Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (process.get() < 0) return start_error(words[0], errno);
  auto out = collect(output.get(), process.get(), words[0], limits, deadline);
  if (!out) return std::move(out).error();
  const auto status = running.end();
  if (!status) return start_error(words[0], ECHILD);
  return CommandOutput{.status = *status, .out = *std::move(out)};
}

}  // namespace latchkey
