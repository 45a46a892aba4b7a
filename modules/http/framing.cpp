// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>
module latchkey.http.framing;
import latchkey.http;

namespace latchkey {
namespace {

// Anything longer could overflow in one library and not in another.
constexpr std::size_t kMostDigits = 18;

bool is_length(std::string_view text) {
  return !text.empty() && text.size() <= kMostDigits &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_chunked(std::string_view text) {
  return std::ranges::equal(text, std::string_view("chunked"), [](char one, char other) {
    return (one >= 'A' && one <= 'Z' ? one + ('a' - 'A') : one) == other;
  });
}

}  // namespace

bool has_clear_framing(const Headers& headers) {
  const auto lengths = headers.all("Content-Length");
  const auto codings = headers.all("Transfer-Encoding");
  if (codings.empty()) return lengths.empty() || (lengths.size() == 1 && is_length(lengths[0]));
  return lengths.empty() && codings.size() == 1 && is_chunked(codings[0]);
}

bool is_final_status(int status) noexcept {
  return status >= 200 && status <= 999;
}

std::size_t byte_budget(const SendOptions& options) noexcept {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max() / 8;
  return 2 * (std::min(options.max_body, kMost) + std::min(options.max_headers, kMost)) + 64 * 1024;
}

}  // namespace latchkey
