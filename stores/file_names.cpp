// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.store.file_names;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::size_t kPrefixSize = 40;
constexpr std::size_t kDigestSize = 64;
constexpr std::string_view kSuffix = ".json";

bool is_hex(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// "-<digest>.json" at the end of a name.
std::optional<std::string_view> digest_in(std::string_view name) noexcept {
  if (name.size() < 1 + kDigestSize + kSuffix.size() || !name.ends_with(kSuffix)) return {};
  name.remove_suffix(kSuffix.size());
  const auto digest = name.substr(name.size() - kDigestSize);
  const bool fine = std::all_of(digest.begin(), digest.end(), is_hex) &&
                    name[name.size() - kDigestSize - 1] == '-';
  return fine ? std::optional(digest) : std::nullopt;
}

std::string readable_prefix(std::string_view subject) {
  std::string prefix;
  for (const char c : subject.substr(0, kPrefixSize)) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool kept = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') ||
                      lower == '.' || lower == '-';
    // A name that begins with a dot is hidden, and a temporary one.
    if (kept && !(prefix.empty() && lower == '.')) prefix.push_back(lower);
  }
  return prefix;
}

}  // namespace

std::string session_file_name(std::string_view subject) {
  return readable_prefix(subject) + '-' + hex_encode(sha256(subject)) + std::string(kSuffix);
}

bool is_session_file_name(std::string_view name) noexcept {
  return digest_in(name).has_value() &&
         name.size() <= kPrefixSize + 1 + kDigestSize + kSuffix.size();
}

std::string staging_name(std::string_view subject, StagingPlace place) {
  return std::string(kTemporaryPrefix) + hex_encode(sha256(subject)) +
         (place == StagingPlace::room ? "-room" : "-write");
}

std::string pending_file_name(const PendingName& name) {
  const auto time = std::max<std::int64_t>(0, name.expires_at.time_since_epoch().count());
  return std::to_string(time) + '-' + name.digest + std::string(kSuffix);
}

std::optional<PendingName> parse_pending_file_name(std::string_view name) {
  const auto digest = digest_in(name);
  if (!digest) return std::nullopt;
  const auto number = name.substr(0, name.size() - 1 - kDigestSize - kSuffix.size());
  std::int64_t time = 0;
  const auto* const end = number.data() + number.size();
  const auto [rest, fault] = std::from_chars(number.data(), end, time);
  if (fault != std::errc() || rest != end || time < 0) return std::nullopt;
  return PendingName{std::string(*digest), TimePoint(Duration(time))};
}

}  // namespace latchkey
