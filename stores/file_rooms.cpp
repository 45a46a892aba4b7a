// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.file_rooms;
import latchkey.core.os.files;

namespace latchkey {

void HeldRooms::begin_lease(std::string_view subject) {
  const std::lock_guard guard(mutex_);
  rooms_.insert_or_assign(std::string(subject), Room{});
}

void HeldRooms::end_lease(std::string_view subject) noexcept {
  auto room = extract(subject);
}

bool HeldRooms::put(std::string_view subject, std::unique_ptr<StagedFile> file, std::size_t size) {
  const std::lock_guard guard(mutex_);
  const auto found = rooms_.find(subject);
  if (found == rooms_.end()) return false;
  found->second = Room{std::move(file), size};
  return true;
}

bool HeldRooms::is_leased(std::string_view subject) {
  const std::lock_guard guard(mutex_);
  return rooms_.contains(subject);
}

std::unique_ptr<StagedFile> HeldRooms::take(std::string_view subject, std::size_t size) {
  const std::lock_guard guard(mutex_);
  const auto found = rooms_.find(subject);
  if (found == rooms_.end()) return nullptr;
  auto room = std::exchange(found->second, Room{});
  return room.size >= size ? std::move(room.file) : nullptr;
}

HeldRooms::Room HeldRooms::extract(std::string_view subject) noexcept {
  const std::lock_guard guard(mutex_);
  const auto found = rooms_.find(subject);
  if (found == rooms_.end()) return {};
  auto room = std::move(found->second);
  rooms_.erase(found);
  return room;
}

}  // namespace latchkey
