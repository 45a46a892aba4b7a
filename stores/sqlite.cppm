// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
export module latchkey.store.sqlite;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault;

// Sessions in one SQLite database: WAL, synchronous FULL on every connection, secure_delete, 0600.
// The lease is a lock file beside the database ("<name>.lock"). See docs/formats.md.

export namespace latchkey {

struct SqliteStoreOptions {
  std::shared_ptr<FileSystem>
      files{};  ///< default: the real one (checks and the lock file; SQLite does its own I/O)
  std::shared_ptr<Clock> clock{};
};

/// Thread-safe, and safe between processes.
class SqliteOAuthTokenStore {
 public:
  /// Opens the database, creating it if it is not there and migrating an older schema; O(1) in the
  /// number of sessions. Errors: insecure_location, io, corrupt ("sqlite.not_a_database"),
  /// schema_too_new, locked ("sqlite.busy").
  [[nodiscard]] static Result<std::shared_ptr<OAuthTokenStore>> open(
      const std::filesystem::path& database, std::shared_ptr<Sealer> sealer,
      SqliteStoreOptions options = {});
};

}  // namespace latchkey
