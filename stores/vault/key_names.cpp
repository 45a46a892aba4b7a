// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
module latchkey.store.vault.key_names;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kKeySuffix = ".key";

}  // namespace

std::string key_file_name(std::string_view id) {
  std::string name;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : id) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 5; count -= 5) name += kBase32[bits >> (count - 5) & 31];
    bits &= (1u << count) - 1;
  }
  if (count > 0) name += kBase32[bits << (5 - count) & 31];
  return name.append(kKeySuffix);
}

std::optional<std::string> id_of_key_file(std::string_view name) {
  if (!name.ends_with(kKeySuffix)) return std::nullopt;
  std::string id;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : name.substr(0, name.size() - kKeySuffix.size())) {
    const auto value = kBase32.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 5 | static_cast<std::uint32_t>(value);
    if ((count += 5) >= 8) {
      count -= 8;
      id += static_cast<char>(bits >> count);
      bits &= (1u << count) - 1;
    }
  }
  // One id has one name: what encodes to another is not ours.
  if (!check_key_id(id) || key_file_name(id) != name) return std::nullopt;
  return id;
}

}  // namespace latchkey
