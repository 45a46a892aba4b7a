// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>
module latchkey.core.os.spawn;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

Error not_started(std::string_view program, std::string_view why) {
  return make_error(ErrorCode::io, "process.not_started",
                    "cannot start " + printable(program, 200) + ": " + std::string(why));
}

}  // namespace

Result<void> check_words(const std::vector<std::string>& words) {
  if (words.empty() || words[0].empty()) return not_started("a program", "no name was given");
  for (const auto& word : words) {
    if (word.find('\0') != std::string::npos)
      return not_started(words[0], "an argument has a NUL character in it");
  }
  return {};
}

Error start_error(const std::string& program, int error) {
  switch (error) {
    case ENOENT:
      return not_started(program, "it is not installed, or not in PATH");
    case EAGAIN:
      return not_started(program, "there are no threads or processes left; close other programs");
    default:
      return not_started(program, std::generic_category().message(error));
  }
}

Spawn::Spawn(Group group) {
  posix_spawn_file_actions_init(&actions_);
  posix_spawnattr_init(&attributes_);
  sigset_t signals;
  sigemptyset(&signals);
  note(posix_spawnattr_setsigmask(&attributes_, &signals));
  sigfillset(&signals);
  sigdelset(&signals, SIGKILL);
  sigdelset(&signals, SIGSTOP);
  note(posix_spawnattr_setsigdefault(&attributes_, &signals));
  const int own = group == Group::session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
  note(posix_spawnattr_setflags(
      &attributes_, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | own)));
}

Spawn::~Spawn() {
  posix_spawn_file_actions_destroy(&actions_);
  posix_spawnattr_destroy(&attributes_);
}

void Spawn::use(int from, int as) {
  note(posix_spawn_file_actions_adddup2(&actions_, from, as));
  used_[static_cast<std::size_t>(as)] = true;
}

int Spawn::run(std::vector<std::string> words, pid_t& child) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (used_[static_cast<std::size_t>(fd)]) continue;
    note(posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0));
  }
  note(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
  if (error_ != 0) return error_;
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  return posix_spawnp(&child, arguments[0], &actions_, &attributes_, arguments.data(), environ);
}

void Spawn::note(int error) {
  if (error_ == 0) error_ = error;
}

int exit_status_of(int wait_status) noexcept {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace latchkey
