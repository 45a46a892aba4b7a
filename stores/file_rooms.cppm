// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
export module latchkey.store.file_rooms;
import latchkey.core.os.files;

// The room that a file store holds for coming saves. It lives no longer than its lease: its file's
// name belongs to whoever holds that.

export namespace latchkey {

/// Thread-safe.
class HeldRooms {
 public:
  void begin_lease(std::string_view subject);
  void end_lease(std::string_view subject) noexcept;
  /// False if this subject is not leased through this store.
  bool put(std::string_view subject, std::unique_ptr<StagedFile> file, std::size_t size);
  [[nodiscard]] bool is_leased(std::string_view subject);
  /// The room, if it is there; one that is too small is given up.
  std::unique_ptr<StagedFile> take(std::string_view subject, std::size_t size);

 private:
  struct Room {
    std::unique_ptr<StagedFile> file;
    std::size_t size = 0;
  };
  Room extract(std::string_view subject) noexcept;
  std::mutex mutex_;
  std::map<std::string, Room, std::less<>> rooms_;
};

}  // namespace latchkey
