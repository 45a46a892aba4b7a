// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
module latchkey.cli.progress;
import latchkey.cli.report;

namespace latchkey::cli {

void ProgressLine::operator()(std::string_view what, std::size_t done, std::size_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (done < total && now - last_ < std::chrono::seconds{1}) return;
  last_ = now;
  say(std::string(what) + ": " + std::to_string(done) + " of " + std::to_string(total));
}

}  // namespace latchkey::cli
