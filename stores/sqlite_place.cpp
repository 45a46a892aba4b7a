// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.store.sqlite_place;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;

namespace latchkey {

using Path = std::filesystem::path;

Path beside_sqlite(const Path& database, std::string_view suffix) {
  auto path = database;
  path += suffix;
  return path;
}

Result<void> check_sqlite_files(FileSystem& files, const Path& database) {
  using std::filesystem::file_type;
  for (const auto* suffix : {"", "-wal", "-shm"}) {
    const auto file = beside_sqlite(database, suffix);
    if (auto checked = files.check_private(file); !checked) return checked;
    std::error_code fault;
    const auto type = std::filesystem::symlink_status(file, fault).type();
    // SQLite would go on without its shared index, and no other process would see its locks.
    if (type == file_type::not_found || type == file_type::regular) continue;
    return make_error(ErrorCode::insecure_location, "location.not_a_file",
                      "cannot use the database file " + printable(file.native(), 300) +
                          ": it is not a regular file; remove it or choose another name");
  }
  return {};
}

Result<Path> place_sqlite_database(FileSystem& files, const Path& database) {
  if (!database.has_filename()) {
    return make_error(ErrorCode::insecure_location, "location.not_a_file",
                      "cannot use the database " + printable(database.native(), 300) +
                          ": it names a folder; add a file name");
  }
  const auto folder = database.has_parent_path() ? database.parent_path() : Path(".");
  if (auto made = files.make_folder(folder); !made) return std::move(made).error();
  if (auto checked = files.check_private(folder); !checked) return std::move(checked).error();
  if (auto checked = files.check_local(folder); !checked) return std::move(checked).error();
  // SQLite follows no link at all; those that lead to the folder are the system's or the user's
  // own.
  std::error_code fault;
  auto resolved = std::filesystem::canonical(folder, fault);
  if (!fault) return resolved / database.filename();
  return make_error(ErrorCode::io, "io.failed",
                    "cannot find the folder of the database " + printable(database.native(), 300) +
                        ": " + fault.message());
}

}  // namespace latchkey
