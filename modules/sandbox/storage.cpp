// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.sandbox.storage;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store.sqlite_connection;

namespace latchkey::sandbox {
namespace {

using Path = std::filesystem::path;

constexpr std::int64_t kVersion = 1;
// "Lsbx", another than that of a store: the one is never taken for the other.
constexpr std::int64_t kApplicationId = 0x4c736278;

constexpr const char* kSchema =
    "CREATE TABLE rows ("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  value BLOB NOT NULL,"
    "  UNIQUE (kind, key)"
    ") STRICT;"
    "PRAGMA application_id = 1282630264;"
    "PRAGMA user_version = 1;";
static_assert(kApplicationId == 1282630264 && kVersion == 1);

Error refused(ErrorCode code, std::string_view detail, const Path& file, std::string_view why) {
  return make_error(
      code, detail,
      "cannot keep the sandbox in " + printable(file.native(), 300) + ": " + std::string(why));
}

// SQLite would make it with the permissions of the umask.
Result<void> make_private(const Path& file) {
  const auto files = posix_file_system();
  std::error_code fault;
  if (std::filesystem::exists(std::filesystem::symlink_status(file, fault))) {
    return files->check_private(file);
  }
  auto made = files->create(file);
  if (!made) return std::move(made).error();
  return {};
}

Result<void> check_version(SqliteConnection& connection, const Path& file) {
  const auto application = connection.integer("PRAGMA application_id");
  if (!application) return application.error();
  const auto version = connection.integer("PRAGMA user_version");
  if (!version) return version.error();
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  if (*application == 0 && *version == 0 && *tables == 0) return connection.execute(kSchema);
  if (*application != kApplicationId) {
    return refused(ErrorCode::corrupt, "sandbox.not_a_sandbox", file,
                   "it belongs to another program; choose another file");
  }
  if (*version <= kVersion) return {};
  return refused(ErrorCode::schema_too_new, "sandbox.data_version", file,
                 "a newer latchkey has written it; use that one, or another file");
}

std::span<const unsigned char> bytes_of(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

}  // namespace

std::string kept_time(TimePoint time) {
  return std::to_string(time.time_since_epoch().count());
}

Result<std::optional<TimePoint>> read_kept_time(const JsonObject& row, std::string_view name) {
  const auto number = row.integer(name);
  if (!number) return number.error();
  if (!*number) return std::optional<TimePoint>();
  return std::optional(TimePoint(std::chrono::milliseconds(**number)));
}

Storage::Storage(std::unique_ptr<SqliteConnection> connection)
    : connection_(std::move(connection)) {}

Result<std::unique_ptr<Storage>> Storage::open(const Path& file) {
  if (auto fine = make_private(file); !fine) return std::move(fine).error();
  auto connection = SqliteConnection::open(file);
  if (!connection) return std::move(connection).error();
  // What is in memory would not see what another sandbox writes: the lock is taken by the first
  // transaction and kept.
  if (auto set = (*connection)->execute("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE");
      !set) {
    return std::move(set).error();
  }
  auto transaction = SqliteTransaction::begin(**connection);
  if (!transaction) return std::move(transaction).error();
  if (auto known = check_version(**connection, file); !known) return std::move(known).error();
  if (auto done = transaction->commit(); !done) return std::move(done).error();
  return std::unique_ptr<Storage>(new Storage(*std::move(connection)));
}

void Storage::put(std::string_view kind, std::string_view key, std::string value) {
  changes_.push_back({std::string(kind), std::string(key), std::move(value)});
}

void Storage::remove(std::string_view kind, std::string_view key) {
  changes_.push_back({std::string(kind), std::string(key), std::nullopt});
}

Result<void> Storage::write(const Change& change) {
  auto query = connection_->query(
      change.value ? "INSERT INTO rows (kind, key, value) VALUES (?1, ?2, ?3) "
                     "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
                   : "DELETE FROM rows WHERE kind = ?1 AND key = ?2");
  if (!query) return std::move(query).error();
  query->text(1, change.kind).text(2, change.key);
  if (change.value) query->blob(3, bytes_of(*change.value));
  return query->run();
}

Result<void> Storage::commit() {
  if (changes_.empty()) return {};
  auto transaction = SqliteTransaction::begin(*connection_);
  if (!transaction) return std::move(transaction).error();
  for (const auto& change : changes_) {
    if (auto written = write(change); !written) return written;
  }
  if (auto done = transaction->commit(); !done) return done;
  changes_.clear();
  return {};
}

Result<std::vector<KeptRow>> Storage::all(std::string_view kind) {
  auto query = connection_->query("SELECT key, value FROM rows WHERE kind = ?1 ORDER BY id");
  if (!query) return std::move(query).error();
  query->text(1, kind);
  std::vector<KeptRow> rows;
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return rows;
    const auto key = query->text_at(0);
    const auto value = query->blob_at(1);
    if (!key || !value) continue;
    rows.push_back({std::string(*key), std::string(value->begin(), value->end())});
  }
}

}  // namespace latchkey::sandbox
