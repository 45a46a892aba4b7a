// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <string_view>
export module latchkey.cli.progress;

// How far long work is, for people.

export namespace latchkey::cli {

/// Says "WHAT: 3 of 7" on standard error: once a second at most, and when all is done.
class ProgressLine {
 public:
  void operator()(std::string_view what, std::size_t done, std::size_t total);

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace latchkey::cli
