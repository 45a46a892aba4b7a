// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.storage;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.store.sqlite_connection;

// The file in which a sandbox keeps its accounts, sessions, repositories and signing keys: rows
// under a kind and a key, in SQLite. See docs/formats.md.

export namespace latchkey::sandbox {

struct KeptRow {
  std::string key;
  std::string value;
};

/// A time in a row: milliseconds since 1970, as a JSON number.
[[nodiscard]] std::string kept_time(TimePoint time);
/// Nothing if the member is absent. Errors: those of JsonObject::integer.
[[nodiscard]] Result<std::optional<TimePoint>> read_kept_time(const JsonObject& row,
                                                              std::string_view name);

/// Changes are collected, and written together by commit(). Not thread-safe; the file is one
/// sandbox's at a time.
class Storage {
 public:
  /// Opens the file, making it, 0600, if it is not there. Errors: io; insecure_location; corrupt
  /// ("sqlite.not_a_database", "sandbox.not_a_sandbox"); schema_too_new, "sandbox.data_version";
  /// locked, "sqlite.busy": another sandbox has it.
  [[nodiscard]] static Result<std::unique_ptr<Storage>> open(const std::filesystem::path& file);

  void put(std::string_view kind, std::string_view key, std::string value);
  void remove(std::string_view kind, std::string_view key);
  /// Writes what was changed, all or nothing; durable when it returns. What fails is tried again by
  /// the next one. Errors: io, corrupt.
  [[nodiscard]] Result<void> commit();
  /// What was committed of this kind, in the order in which it was first put.
  [[nodiscard]] Result<std::vector<KeptRow>> all(std::string_view kind);

 private:
  struct Change {
    std::string kind;
    std::string key;
    std::optional<std::string> value;  // nothing: removed
  };
  explicit Storage(std::unique_ptr<SqliteConnection> connection);
  [[nodiscard]] Result<void> write(const Change& change);

  std::unique_ptr<SqliteConnection> connection_;
  std::vector<Change> changes_;
};

}  // namespace latchkey::sandbox
