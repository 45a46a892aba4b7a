// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.passphrase;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxPassphrase = 1024;

Error no_terminal() {
  return make_error(ErrorCode::locked, "cli.no_terminal",
                    "cannot ask for the vault's passphrase: there is no terminal; run this in one, "
                    "or put the vault under another master key there (latchkey vault rewrap --to "
                    "key-file, keychain or command:PROGRAM)");
}

// The controlling terminal without echo, until destroyed.
class QuietTerminal {
 public:
  explicit QuietTerminal(std::stop_token stop)
      : fd_(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)),
        wake_(eventfd(0, EFD_CLOEXEC)),
        stopping_(std::move(stop), [this] { eventfd_write(wake_, 1); }) {
    usable_ = fd_ >= 0 && tcgetattr(fd_, &before_) == 0;
    if (!usable_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL;
    usable_ = tcsetattr(fd_, TCSADRAIN, &quiet) == 0;
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;
  ~QuietTerminal() {
    if (usable_) tcsetattr(fd_, TCSADRAIN, &before_);
    if (fd_ >= 0) close(fd_);
    close(wake_);
  }

  [[nodiscard]] bool usable() const { return usable_; }

  void show(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t count = write(fd_, text.data(), text.size());
      if (count <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  // The number of bytes read; 0 at the end of the input.
  Result<std::size_t> read_into(std::span<unsigned char> room) const {
    std::array<pollfd, 2> waiting{pollfd{fd_, POLLIN, 0}, pollfd{wake_, POLLIN, 0}};
    while (poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno != EINTR) return no_terminal();
    }
    if (waiting[1].revents != 0) {
      show("\n");
      return make_error(ErrorCode::cancelled, "cli.cancelled",
                        "stopped waiting for the passphrase");
    }
    const ssize_t count = read(fd_, room.data(), room.size());
    if (count < 0) return no_terminal();
    return static_cast<std::size_t>(count);
  }

 private:
  int fd_, wake_;
  std::stop_callback<std::function<void()>> stopping_;
  termios before_{};
  bool usable_ = false;
};

Result<SecretString> read_line(const QuietTerminal& terminal, std::string_view prompt) {
  terminal.show("latchkey: " + std::string(prompt) + ": ");
  SecretBytes line(kMaxPassphrase + 1);
  std::size_t used = 0;
  for (bool open = true; open;) {
    // One byte at a time: what comes after the line is for the next question.
    if (used == line.size()) {
      return make_error(ErrorCode::invalid_argument, "cli.passphrase_too_long",
                        "the passphrase is longer than 1024 bytes; use a shorter one");
    }
    const auto count = terminal.read_into(line.mutable_span().subspan(used, 1));
    if (!count) return count.error();
    used += *count;
    open = *count > 0 && line.expose()[used - 1] != '\n';
  }
  if (used > 0 && line.expose()[used - 1] == '\n') --used;
  line.truncate(used);
  return SecretString(std::move(line));
}

}  // namespace

Result<SecretString> ask_passphrase(std::string_view prompt, std::stop_token stop) {
  const QuietTerminal terminal(std::move(stop));
  if (!terminal.usable()) return no_terminal();
  return read_line(terminal, prompt);
}

Result<SecretString> ask_new_passphrase(std::stop_token stop) {
  const QuietTerminal terminal(std::move(stop));
  if (!terminal.usable()) return no_terminal();
  auto first = read_line(terminal, "new passphrase for the vault");
  if (!first) return first;
  const auto second = read_line(terminal, "the same again");
  if (!second) return second.error();
  if (*first == *second) return first;
  return make_error(ErrorCode::invalid_argument, "cli.passphrases_differ",
                    "the two passphrases differ; try again");
}

}  // namespace latchkey::cli
