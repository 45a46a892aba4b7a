// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.terminal.status_line;
import latchkey.cli.terminal;

namespace latchkey::cli {
namespace {

// To the first column, and what stands there away (ECMA-48: CR, EL).
constexpr std::string_view kWipe = "\r\x1b[K";

}  // namespace

std::string time_left(std::chrono::seconds left) {
  const auto count = left.count() < 0 ? 0 : left.count();
  const std::string rest = std::to_string(count % 60) + " s";
  return count < 60 ? rest : std::to_string(count / 60) + " min " + rest;
}

StatusLine::StatusLine(std::string before, std::string after, const Terminal& terminal,
                       std::function<void(std::string_view)> write)
    : before_(std::move(before)),
      after_(std::move(after)),
      terminal_(terminal),
      write_(std::move(write)) {}

StatusLine::~StatusLine() {
  if (terminal_.moves_cursor && shown_) write_(kWipe);
}

void StatusLine::show(std::chrono::seconds left) {
  const std::string line = before_ + time_left(left) + after_;
  if (terminal_.moves_cursor) {
    if (shown_ == left) return;
    // A line that reaches the last column would be wrapped, and only its end wiped.
    write_(std::string(kWipe) + line.substr(0, terminal_.columns > 0 ? terminal_.columns - 1 : 0));
  } else {
    if (shown_ && *shown_ - left < std::chrono::minutes{1}) return;
    write_(line + "\n");
  }
  shown_ = left;
}

void StatusLine::say(std::string_view line) {
  write_((terminal_.moves_cursor ? std::string(kWipe) : std::string()) + std::string(line) + "\n");
  if (terminal_.moves_cursor && shown_) show(*std::exchange(shown_, std::nullopt));
}

}  // namespace latchkey::cli
