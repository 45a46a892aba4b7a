// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.nonce_files;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;

// The last DPoP nonces that servers gave out, kept so that a program's second run has no wasted
// round trip. A folder of a fixed number of small files, one for each slot that (origin, key)
// hashes to: it never grows, and what is lost or overwritten costs one round trip. Written without
// fsync. Shared by the file and the SQLite store.

export namespace latchkey {

/// Thread-safe, and safe between processes.
class NonceFiles {
 public:
  NonceFiles(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
             std::shared_ptr<LockFile> locks, std::filesystem::path folder);
  [[nodiscard]] std::optional<std::string> load(std::string_view origin,
                                                std::string_view jkt) const;
  void save(std::string_view origin, std::string_view jkt, std::string_view nonce) const;

 private:
  [[nodiscard]] Result<void> write(const std::string& slot, std::string_view text) const;
  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LockFile> locks_;
  std::filesystem::path folder_;
};

}  // namespace latchkey
