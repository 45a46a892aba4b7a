// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.examples.web_backend.visitors;
import latchkey;

namespace web_backend {
namespace {

constexpr std::size_t kIdBytes = 32;
constexpr std::chrono::hours kLifetime{30 * 24};
// The oldest gives way to a new one, so that the file can always be read again.
constexpr std::size_t kMaxVisitors = 20'000;
constexpr std::size_t kMaxFile = std::size_t{16} * 1024 * 1024;

latchkey::TimePoint now() {
  return latchkey::SystemClock{}.now();
}

}  // namespace

Visitors::Visitors(std::filesystem::path file) : file_(std::move(file)) {
  read();
}

void Visitors::read() {
  const auto bytes = latchkey::posix_file_system()->read(file_, kMaxFile).value();
  if (!bytes) return;
  for (const auto& one : nlohmann::json::parse(latchkey::as_text(bytes->expose()))) {
    const auto until = latchkey::parse_rfc3339(one.at("until").get<std::string>());
    if (!until || *until <= now()) continue;
    const auto text = [&](const char* name) { return one.at(name).get<std::string>(); };
    entries_[text("id")] = {.visitor = {.did = text("did"), .handle = text("handle")},
                            .until = *until};
  }
}

void Visitors::write() const {
  auto list = nlohmann::json::array();
  for (const auto& [id, entry] : entries_) {
    list.push_back({{"id", id},
                    {"did", entry.visitor.did},
                    {"handle", entry.visitor.handle},
                    {"until", latchkey::format_rfc3339(entry.until)}});
  }
  latchkey::replace_file(latchkey::posix_file_system(), file_, latchkey::as_bytes(list.dump()))
      .value();
}

latchkey::SecretString Visitors::welcome(const Visitor& visitor) {
  latchkey::SecretString id = latchkey::random_secret_token(random_, kIdBytes);
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& one) { return one.second.until <= now(); });
  if (entries_.size() >= kMaxVisitors) {
    entries_.erase(std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  }
  entries_[latchkey::sha256_base64url(id.expose())] = {.visitor = visitor,
                                                       .until = now() + kLifetime};
  write();
  return id;
}

std::optional<Visitor> Visitors::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(latchkey::sha256_base64url(id));
  if (found == entries_.end() || found->second.until <= now()) return std::nullopt;
  return found->second.visitor;
}

void Visitors::forget(std::string_view id) {
  const std::lock_guard lock(mutex_);
  if (entries_.erase(latchkey::sha256_base64url(id)) > 0) write();
}

void Visitors::forget_account(std::string_view did) {
  const std::lock_guard lock(mutex_);
  if (std::erase_if(entries_, [&](const auto& one) { return one.second.visitor.did == did; }) > 0) {
    write();
  }
}

}  // namespace web_backend
