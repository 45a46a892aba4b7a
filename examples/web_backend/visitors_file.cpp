// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.examples.web_backend.visitors_file;
import latchkey.core;
import latchkey.examples.web_backend.visitors;

namespace web_backend {
namespace {

// The oldest gives way to a new one, so that the file can always be read again.
constexpr std::size_t kMaxVisitors = 20'000;
constexpr std::size_t kMaxFile = std::size_t{16} * 1024 * 1024;

latchkey::TimePoint now() {
  return latchkey::SystemClock{}.now();
}

}  // namespace

FileVisitors::FileVisitors(std::filesystem::path file) : file_(std::move(file)) {
  read();
}

void FileVisitors::read() {
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

void FileVisitors::write() const {
  auto list = nlohmann::json::array();
  for (const auto& [digest, entry] : entries_) {
    list.push_back({{"id", digest},
                    {"did", entry.visitor.did},
                    {"handle", entry.visitor.handle},
                    {"until", latchkey::format_rfc3339(entry.until)}});
  }
  latchkey::replace_file(latchkey::posix_file_system(), file_, latchkey::as_bytes(list.dump()))
      .value();
}

void FileVisitors::add(const std::string& digest, const Visitor& visitor) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& one) { return one.second.until <= now(); });
  if (entries_.size() >= kMaxVisitors) {
    entries_.erase(std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  }
  entries_[digest] = {.visitor = visitor, .until = now() + kVisitLifetime};
  write();
}

std::optional<Visitor> FileVisitors::look_up(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(digest);
  if (found == entries_.end() || found->second.until <= now()) return std::nullopt;
  return found->second.visitor;
}

void FileVisitors::remove(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  if (entries_.erase(digest) > 0) write();
}

void FileVisitors::forget_account(std::string_view did) {
  remove_where([&](const Entry& entry) { return entry.visitor.did == did; });
}

void FileVisitors::sweep() {
  remove_where([](const Entry& entry) { return entry.until <= now(); });
}

void FileVisitors::remove_where(const std::function<bool(const Entry&)>& is_to_go) {
  const std::lock_guard lock(mutex_);
  const auto gone = std::erase_if(entries_, [&](const auto& one) { return is_to_go(one.second); });
  if (gone > 0) write();
}

}  // namespace web_backend
