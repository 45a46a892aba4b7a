// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
module latchkey.cli.terminal.countdown;
import latchkey.cli.terminal;
import latchkey.core.time;

namespace latchkey::cli {
namespace {

using std::chrono::seconds;

// To the first column, and what stands there away (ECMA-48: CR, EL).
constexpr std::string_view kWipe = "\r\x1b[K";

// A line that reaches the last column would be wrapped, and only its end wiped.
std::string fitting(std::string line, const Terminal& terminal) {
  if (line.size() >= terminal.columns) line.resize(terminal.columns > 0 ? terminal.columns - 1 : 0);
  return line;
}

void count_down(const CountdownOptions& options, std::stop_token stop) {
  const auto deadline = options.clock->steady_now() + options.left;
  const seconds step{options.terminal.moves_cursor ? 1 : 60};
  for (auto left = options.left; left >= seconds{0};
       left = std::chrono::round<seconds>(deadline - options.clock->steady_now())) {
    const std::string line = options.before + time_left(left) + options.after;
    options.write(options.terminal.moves_cursor
                      ? std::string(kWipe) + fitting(line, options.terminal)
                      : line + "\n");
    if (!options.clock->sleep_for(step, stop)) return;
  }
}

}  // namespace

std::string time_left(seconds left) {
  const auto count = left.count() < 0 ? 0 : left.count();
  const std::string rest = std::to_string(count % 60) + " s";
  return count < 60 ? rest : std::to_string(count / 60) + " min " + rest;
}

Countdown::Countdown(CountdownOptions options)
    : write_(options.write),
      moves_cursor_(options.terminal.moves_cursor),
      thread_([options = std::move(options)](std::stop_token stop) {
        count_down(options, std::move(stop));
      }) {}

Countdown::~Countdown() {
  thread_.request_stop();
  thread_.join();
  if (moves_cursor_) write_(kWipe);
}

}  // namespace latchkey::cli
