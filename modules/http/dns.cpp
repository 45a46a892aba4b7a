// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <string_view>
module latchkey.http.dns;

namespace latchkey {
namespace {

constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxLabel = 63;

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace

DnsResolver::~DnsResolver() = default;

bool is_dns_name(std::string_view name) noexcept {
  if (name.size() > kMaxName) return false;
  for (std::size_t start = 0; start <= name.size();) {
    const auto end = std::min(name.find('.', start), name.size());
    const auto label = name.substr(start, end - start);
    if (label.empty() || label.size() > kMaxLabel ||
        !std::all_of(label.begin(), label.end(), is_label_character)) {
      return false;
    }
    start = end + 1;
  }
  return true;
}

}  // namespace latchkey
