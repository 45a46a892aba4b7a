// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
module latchkey.core.os.process;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

// What a program inherits: /dev/null three times, no other descriptor, no signal settings of ours,
// a session of its own (so that Ctrl-C in the terminal does not end the browser).
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      note(posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0));
    }
    note(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigemptyset(&signals);
    note(posix_spawnattr_setsigmask(&attributes_, &signals));
    sigfillset(&signals);
    sigdelset(&signals, SIGKILL);
    sigdelset(&signals, SIGSTOP);
    note(posix_spawnattr_setsigdefault(&attributes_, &signals));
    note(posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID)));
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  // The error number, 0 on success.
  int spawn(std::vector<std::string>& words, pid_t& child) {
    if (error_ != 0) return error_;
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    return posix_spawnp(&child, arguments[0], &actions_, &attributes_, arguments.data(), environ);
  }

 private:
  void note(int error) {
    if (error_ == 0) error_ = error;
  }
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  int error_ = 0;
};

// The exit status as a shell gives it; nullopt if the host program reaps its children itself.
std::optional<int> wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Keeps the host program's signal handlers off a thread that is started while this lives.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

Error not_started(std::string_view program, std::string_view why) {
  return make_error(ErrorCode::io, "process.not_started",
                    "cannot start " + printable(program, 200) + ": " + std::string(why));
}

}  // namespace

int process_id() noexcept {
  return getpid();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::optional<std::string> environment_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<std::string> find_program(const std::string& name) {
  const auto runs = [](const std::filesystem::path& path) {
    std::error_code fault;
    return std::filesystem::is_regular_file(path, fault) && access(path.c_str(), X_OK) == 0;
  };
  if (name.empty()) return std::nullopt;
  if (name.find('/') != std::string::npos) {
    return runs(name) ? std::optional(name) : std::nullopt;
  }
  std::istringstream folders(environment_variable("PATH").value_or(""));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto path = std::filesystem::path(folder.empty() ? "." : folder) / name;
    if (runs(path)) return path.native();
  }
  return std::nullopt;
}

Result<std::optional<int>> start_program(const std::vector<std::string>& words,
                                         std::chrono::milliseconds grace) {
  if (words.empty() || words[0].empty()) return not_started("a program", "no name was given");
  for (const auto& word : words) {
    if (word.find('\0') != std::string::npos)
      return not_started(words[0], "an argument has a NUL character in it");
  }
  // One thread starts the program, waits for it and reaps it, however long it runs: no zombie is
  // left, and if the thread cannot be had, nothing has been started.
  std::promise<int> start_promise;
  std::promise<std::optional<int>> end_promise;
  auto started = start_promise.get_future();
  auto ended = end_promise.get_future();
  try {
    const SignalsBlocked blocked;
    std::thread([command = words, start = std::move(start_promise),
                 end = std::move(end_promise)]() mutable {
      pid_t child = 0;
      const int error = SpawnSettings().spawn(command, child);
      start.set_value(error);
      if (error == 0) end.set_value(wait_for(child));
    }).detach();
  } catch (const std::system_error&) {
    return not_started(words[0], "there are no threads left; close other programs");
  }
  if (const int error = started.get(); error != 0) {
    return not_started(words[0], error == ENOENT ? "it is not installed, or not in PATH"
                                                 : std::generic_category().message(error));
  }
  if (ended.wait_for(grace) != std::future_status::ready) return std::optional<int>();
  return ended.get();
}

void forbid_core_dumps() noexcept {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

}  // namespace latchkey
