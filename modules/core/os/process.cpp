// SPDX-License-Identifier: MIT
module;
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
module latchkey.core.os.process;
import latchkey.core.error;
import latchkey.core.os.spawn;

namespace latchkey {
namespace {

// The exit status as a shell gives it; nullopt if the host program reaps its children itself.
std::optional<int> wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  return exit_status_of(status);
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
  if (auto good = check_words(words); !good) return std::move(good).error();
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
      const int error = Spawn(Spawn::Group::session).run(std::move(command), child);
      start.set_value(error);
      if (error == 0) end.set_value(wait_for(child));
    }).detach();
  } catch (const std::system_error&) {
    return start_error(words[0], EAGAIN);
  }
  if (const int error = started.get(); error != 0) return start_error(words[0], error);
  if (ended.wait_for(grace) != std::future_status::ready) return std::optional<int>();
  return ended.get();
}

std::thread start_thread_without_signals(std::function<void()> run) {
  const SignalsBlocked blocked;
  return std::thread(std::move(run));
}

void forbid_core_dumps() noexcept {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

}  // namespace latchkey
