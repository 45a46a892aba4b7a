// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <string_view>
export module latchkey.store.sqlite_place;
import latchkey.core.error;
import latchkey.core.os.files;

// Where a database lies, and what lies beside it: which names SQLite may be given.

export namespace latchkey {

/// The database's path with a suffix: of SQLite's own files, and of the store's.
[[nodiscard]] std::filesystem::path beside_sqlite(const std::filesystem::path& database,
                                                  std::string_view suffix);

/// The database and what SQLite keeps beside it, by lstat alone: a descriptor of ours on one of
/// these files would, when it is closed, drop all locks that SQLite holds on it in this process.
/// Files that are not there are fine. Error: insecure_location, "location.…".
[[nodiscard]] Result<void> check_sqlite_files(FileSystem& files,
                                              const std::filesystem::path& database);

/// Makes the folder if need be, and gives the path without links. Errors: insecure_location,
/// "location.…"; io.
[[nodiscard]] Result<std::filesystem::path> place_sqlite_database(
    FileSystem& files, const std::filesystem::path& database);

}  // namespace latchkey
