// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.child;

namespace latchkey::test {

ChildProcess::ChildProcess(std::vector<std::string> words) {
  std::array<int, 2> in{}, out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipes");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int error = posix_spawn(&id_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  input_ = in[1];
  output_ = out[0];
  if (error != 0) throw std::runtime_error("cannot start " + words[0]);
}

ChildProcess::~ChildProcess() {
  kill();
  close(output_);
}

void ChildProcess::close_input() noexcept {
  if (input_ >= 0) close(std::exchange(input_, -1));
}

std::string ChildProcess::read_line() {
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      auto line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> chunk{};
    const ssize_t count = read(output_, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::exchange(buffer_, {});
    buffer_.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

void ChildProcess::write_line(std::string_view line) {
  const auto text = std::string(line) + '\n';
  if (write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("the child does not read");
  }
}

void ChildProcess::kill() {
  if (status_ < 0 && id_ > 0) ::kill(id_, SIGKILL);
  wait();
}

int ChildProcess::wait() {
  close_input();
  if (status_ >= 0 || id_ <= 0) return status_;
  int status = 0;
  while (waitpid(id_, &status, 0) < 0) {
    if (errno != EINTR) throw std::runtime_error("the child was reaped by someone else");
  }
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return status_;
}

}  // namespace latchkey::test
