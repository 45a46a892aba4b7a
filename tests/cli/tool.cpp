// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.tool;

namespace latchkey::test {
namespace {

struct Pipe {
  int read = -1, write = -1;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipes");
  return {ends[0], ends[1]};
}

// What is written to `write` is what a terminal shows.
Pipe make_terminal(const Screen& screen) {
  Pipe ends{.read = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  std::array<char, 64> name{};
  if (ends.read < 0 || grantpt(ends.read) != 0 || unlockpt(ends.read) != 0 ||
      ptsname_r(ends.read, name.data(), name.size()) != 0) {
    throw std::runtime_error("no terminals");
  }
  ends.write = open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  const winsize size{
      .ws_row = screen.rows, .ws_col = screen.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (ends.write < 0 || ioctl(ends.write, TIOCSWINSZ, &size) != 0)
    throw std::runtime_error("no terminal of that size");
  return ends;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_words(const Environment& environment) {
  std::vector<std::string> out;
  for (const auto& [name, value] : environment) out.push_back(name + "=" + value);
  // The tool forbids others to look into it, which the leak check at its end needs.
  const char* asan = std::getenv("ASAN_OPTIONS");
  out.push_back("ASAN_OPTIONS=" + std::string(asan == nullptr ? "" : asan) + ":detect_leaks=0");
  if (const char* tsan = std::getenv("TSAN_OPTIONS"))
    out.push_back("TSAN_OPTIONS=" + std::string(tsan));
  return out;
}

class Spawn {
 public:
  Spawn() { posix_spawn_file_actions_init(&actions_); }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn() { posix_spawn_file_actions_destroy(&actions_); }
  void use(int from, int as) { posix_spawn_file_actions_adddup2(&actions_, from, as); }
  void leave_closed(int fd) { posix_spawn_file_actions_addclose(&actions_, fd); }
  void use_file(const char* path, int as) {
    posix_spawn_file_actions_addopen(&actions_, as, path, O_RDWR, 0);
  }
  pid_t run(std::vector<std::string> words, std::vector<std::string> environment) {
    pid_t id = -1;
    const auto arguments = pointers(words), variables = pointers(environment);
    if (posix_spawn(&id, arguments[0], &actions_, nullptr, arguments.data(), variables.data()) !=
        0) {
      throw std::runtime_error("cannot start " + words[0]);
    }
    return id;
  }

 private:
  posix_spawn_file_actions_t actions_{};
};

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count <= 0) return;  // it has ended, or does not want it
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

Input typed(std::string text) {
  return {.kind = Input::Kind::text, .text = std::move(text)};
}

Tool::Tool(ToolStart start) {
  const Pipe in = make_pipe(), out = make_pipe(),
             err = start.screen ? make_terminal(*start.screen) : make_pipe();
  Spawn spawn;
  switch (start.input.kind) {
    case Input::Kind::nothing:
      spawn.use_file("/dev/null", 0);
      break;
    case Input::Kind::closed:
      spawn.leave_closed(0);
      break;
    case Input::Kind::silent:
    case Input::Kind::text:
      spawn.use(in.read, 0);
      break;
  }
  spawn.use(out.write, 1);
  if (!start.out_path.empty()) spawn.use_file(start.out_path.c_str(), 1);
  spawn.use(err.write, 2);
  for (const int fd : start.closed) spawn.leave_closed(fd);
  id_ = spawn.run(std::move(start.words), environment_words(start.environment));
  for (const int fd : {in.read, out.write, err.write}) close(fd);
  input_ = in.write;
  if (start.input.kind == Input::Kind::text) {
    struct sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, nullptr);  // it need not read all of it
    threads_.emplace_back([fd = std::exchange(input_, -1), text = std::move(start.input.text)] {
      write_all(fd, text);
      close(fd);
    });
  }
  threads_.emplace_back([this, fd = out.read] { collect(fd, out_); });
  threads_.emplace_back([this, fd = err.read] { collect(fd, err_); });
}

Tool::~Tool() {
  if (status_ < 0) {
    signal(SIGKILL);
    static_cast<void>(finish());
  }
}

void Tool::collect(int descriptor, Stream& stream) {
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t count = read(descriptor, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    const std::scoped_lock lock(mutex_);
    stream.ended = count <= 0;
    if (count > 0) stream.text.append(part.data(), static_cast<std::size_t>(count));
    changed_.notify_all();
    if (stream.ended) break;
  }
  close(descriptor);
}

bool Tool::says(std::string_view text) {
  std::unique_lock lock(mutex_);
  const auto found = [&] { return err_.text.find(text) != std::string::npos; };
  changed_.wait(lock, [&] { return found() || err_.ended; });
  return found();
}

std::string Tool::said() const {
  const std::scoped_lock lock(mutex_);
  return err_.text;
}

void Tool::signal(int number) const {
  ::kill(id_, number);
}

void Tool::type(std::string_view line) const {
  write_all(input_, std::string(line) + '\n');
}

void Tool::press(std::string_view keys) const {
  write_all(input_, std::string(keys));
}

ToolRun Tool::finish() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return out_.ended && err_.ended; });
  }
  int status = 0;
  while (status_ < 0 && waitpid(id_, &status, 0) < 0) {
    if (errno != EINTR) throw std::runtime_error("the program was reaped by someone else");
  }
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (input_ >= 0) close(std::exchange(input_, -1));
  threads_.clear();
  return {.status = status_, .out = out_.text, .err = err_.text};
}

}  // namespace latchkey::test
