// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>
export module latchkey.store.pending_files;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store;

// The file store's pending logins: a folder of one file each, whose name says when it expires.

export namespace latchkey {

/// Thread-safe, and safe between processes.
class PendingFiles {
 public:
  PendingFiles(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
               std::shared_ptr<LockFile> locks, std::filesystem::path folder);
  /// OAuthTokenStore::save_pending and take_pending.
  [[nodiscard]] Result<void> save(const PendingRecord& pending, TimePoint now) const;
  [[nodiscard]] Result<std::optional<PendingRecord>> take(std::string_view key,
                                                          TimePoint now) const;
  /// Those that have expired; gives their number.
  [[nodiscard]] Result<std::size_t> sweep(TimePoint now) const;
  /// Those of OAuthTokenStore::side_records.
  [[nodiscard]] Result<std::vector<ListedPending>> list() const;

 private:
  /// Of a file that is there; empty if it is gone.
  [[nodiscard]] Result<std::optional<PendingRecord>> read(const std::filesystem::path& path) const;
  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LockFile> locks_;
  std::filesystem::path folder_;
};

}  // namespace latchkey
