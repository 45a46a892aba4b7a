// SPDX-License-Identifier: MIT
module;
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <functional>
#include <ios>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
module latchkey.cli.input;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxInput = 16 * 1024 * 1024;
constexpr std::size_t kMaxLine = 16 * 1024;

Error unreadable(const std::string& name, const std::string& why) {
  return make_error(ErrorCode::io, "cli.input", "cannot read " + printable(name, 200) + ": " + why);
}

// Signals do not interrupt a read here (a refresh under way must not be cut off), so that waiting
// for a person or a pipe is ended by the stop token.
class StandardInput {
 public:
  explicit StandardInput(std::stop_token stop)
      : wake_(eventfd(0, EFD_CLOEXEC)),
        stopping_(std::move(stop), [this] { eventfd_write(wake_, 1); }) {}
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;
  ~StandardInput() { close(wake_); }

  // Reads what is there, as far as it fits; 0 at the end of the input.
  Result<std::size_t> read_into(std::span<unsigned char> room) {
    std::array<pollfd, 2> waiting{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{wake_, POLLIN, 0}};
    while (poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno != EINTR) return unreadable("standard input", "the system refuses to wait for it");
    }
    if (waiting[1].revents != 0) {
      return make_error(ErrorCode::cancelled, "cli.cancelled",
                        "stopped waiting for standard input");
    }
    const ssize_t count = read(STDIN_FILENO, room.data(), room.size());
    if (count < 0) return unreadable("standard input", "it is not open for reading");
    return static_cast<std::size_t>(count);
  }

  // Appends what is there to `text`; false at the end of the input.
  Result<bool> append_to(std::string& text) {
    std::array<unsigned char, 8192> part{};
    const auto count = read_into(part);
    if (!count) return count.error();
    text.append(as_text(std::span(part).first(*count)));
    return *count > 0;
  }

 private:
  int wake_;
  std::stop_callback<std::function<void()>> stopping_;
};

// What to do with the text that came so far, each time that there is more.
using Keep = std::function<Result<void>(std::string& text)>;

Result<std::string> read_standard_input(const Keep& keep, std::stop_token stop) {
  StandardInput input(std::move(stop));
  std::string text;
  for (;;) {
    const auto more = input.append_to(text);
    if (!more) return more.error();
    if (!*more) return text;
    if (auto kept = keep(text); !kept) return std::move(kept).error();
  }
}

Result<std::string> read_file(const std::string& name, const Keep& keep) {
  std::ifstream file(name, std::ios::binary);
  std::string text;
  std::array<char, 8192> part{};
  while (file.read(part.data(), part.size()) || file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
    if (auto kept = keep(text); !kept) return std::move(kept).error();
  }
  if (!file.eof())
    return unreadable("the file " + name, "there is none, it is a folder, or you may not");
  return text;
}

Keep refuse_more(std::string name) {
  return [name = std::move(name)](const std::string& text) -> Result<void> {
    if (text.size() > kMaxInput) return unreadable(name, "it is over 16 MiB");
    return {};
  };
}

}  // namespace

Result<std::string> read_argument(const std::string& argument, std::stop_token stop) {
  if (argument == "-") return read_standard_input(refuse_more("standard input"), std::move(stop));
  if (!argument.starts_with('@')) return argument;
  const std::string name = argument.substr(1);
  return read_file(name, refuse_more("the file " + name));
}

Result<Tail> read_tail(const std::string& file, std::stop_token stop) {
  bool is_cut = false;
  // Not at every part: what is left moves to the front.
  const Keep keep_end = [&is_cut](std::string& text) -> Result<void> {
    if (text.size() < 2 * kMaxInput) return {};
    text.erase(0, text.size() - kMaxInput);
    is_cut = true;
    return {};
  };
  auto text =
      file == "-" ? read_standard_input(keep_end, std::move(stop)) : read_file(file, keep_end);
  if (!text) return std::move(text).error();
  if (text->size() > kMaxInput) {
    text->erase(0, text->size() - kMaxInput);
    is_cut = true;
  }
  // The first line has lost its beginning.
  if (is_cut) text->erase(0, std::min(text->size(), text->find('\n') + 1));
  return Tail{.text = *std::move(text), .is_cut = is_cut};
}

Result<std::string> read_line(std::stop_token stop) {
  StandardInput input(std::move(stop));
  std::string text;
  for (bool open = true; open && text.find('\n') == std::string::npos;) {
    const auto more = input.append_to(text);
    if (!more) return more.error();
    open = *more;
    if (text.size() > kMaxLine) return unreadable("what was pasted", "it is over 16 KiB");
  }
  std::string line = text.substr(0, text.find('\n'));
  if (!line.empty()) return line;
  return make_error(ErrorCode::io, "cli.no_input",
                    "nothing was pasted: standard input ended; run this where you can type, or "
                    "pipe the address in");
}

Result<SecretBytes> read_secret(std::size_t max, std::stop_token stop) {
  StandardInput input(std::move(stop));
  SecretBytes bytes(max + 1);
  std::size_t used = 0;
  for (bool open = true; open;) {
    if (used == bytes.size())
      return unreadable("standard input", "it is over " + std::to_string(max) + " bytes");
    const auto count = input.read_into(bytes.mutable_span().subspan(used));
    if (!count) return count.error();
    used += *count;
    open = *count > 0;
  }
  bytes.truncate(used);
  return bytes;
}

}  // namespace latchkey::cli
