// SPDX-License-Identifier: MIT
module;
#include <string_view>
module latchkey.core.trim;

namespace latchkey {

std::string_view trimmed(std::string_view text, std::string_view around) noexcept {
  const auto first = text.find_first_not_of(around);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(around) - first + 1);
}

}  // namespace latchkey
