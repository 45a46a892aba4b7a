// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
module latchkey.http.timing;

namespace latchkey {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeastShare{2'000};

}  // namespace

milliseconds time_left(std::chrono::steady_clock::time_point deadline,
                       std::chrono::steady_clock::time_point now) noexcept {
  return std::max(std::chrono::ceil<milliseconds>(deadline - now), milliseconds::zero());
}

milliseconds share_of(milliseconds left, std::size_t addresses) noexcept {
  const auto equal = left / static_cast<milliseconds::rep>(std::max<std::size_t>(addresses, 1));
  return std::min(left, std::max(equal, kLeastShare));
}

}  // namespace latchkey
