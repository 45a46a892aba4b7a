// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.store.sqlite_schema;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.store.sqlite_connection;

// Making and migrating databases; rows are in sqlite_records.cpp.

namespace latchkey {
namespace {

using Path = std::filesystem::path;

// STRICT: a value of another type is refused when it is written. Rowid tables with a unique text:
// reading by subject is four times slower in a table WITHOUT ROWID, because the boxes then lie in
// the interior pages.
constexpr const char* kVersion1 = R"(
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  subject TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL,
  issuer TEXT NOT NULL,
  resource_server TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  revocation_endpoint TEXT NOT NULL,
  par_endpoint TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_auth_method TEXT NOT NULL,
  client_auth_kid TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  scope TEXT NOT NULL,
  token_type TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  handle TEXT NOT NULL,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER,
  refresh_expires_at INTEGER,
  session_started_at INTEGER NOT NULL,
  login_id INTEGER NOT NULL,
  state TEXT NOT NULL,
  state_cause TEXT NOT NULL,
  state_changed_at INTEGER,
  box BLOB NOT NULL
) STRICT;
CREATE TABLE claims (
  subject TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL,
  claim_id INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL
) STRICT;
CREATE TABLE rooms (
  subject TEXT NOT NULL UNIQUE,
  room BLOB NOT NULL
) STRICT;
CREATE TABLE pending_logins (
  state_digest TEXT NOT NULL UNIQUE,
  expires_at INTEGER NOT NULL,
  box BLOB NOT NULL
) STRICT;
CREATE INDEX pending_logins_by_expiry ON pending_logins (expires_at);
)";

// What could not be read, as it was: columns of any type, and nothing unique.
constexpr const char* kVersion2 = R"(
CREATE TABLE quarantined (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  quarantined_at INTEGER NOT NULL,
  why TEXT NOT NULL,
  subject ANY,
  revision ANY,
  issuer ANY,
  resource_server ANY,
  token_endpoint ANY,
  revocation_endpoint ANY,
  par_endpoint ANY,
  client_id ANY,
  client_auth_method ANY,
  client_auth_kid ANY,
  redirect_uri ANY,
  scope ANY,
  token_type ANY,
  dpop_jkt ANY,
  handle ANY,
  issued_at ANY,
  expires_at ANY,
  refresh_expires_at ANY,
  session_started_at ANY,
  login_id ANY,
  state ANY,
  state_cause ANY,
  state_changed_at ANY,
  box ANY
) STRICT;
)";

// kMigrations[n] brings version n to n + 1.
constexpr std::array kMigrations{kVersion1, kVersion2};
static_assert(kMigrations.size() == kSqliteSchemaVersion);

struct Identity {
  std::int64_t application = 0;
  std::int64_t version = 0;
  std::int64_t tables = 0;
};

Result<Identity> identify(SqliteConnection& connection) {
  const auto application = connection.integer("PRAGMA application_id");
  if (!application) return application.error();
  const auto version = connection.integer("PRAGMA user_version");
  if (!version) return version.error();
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  return Identity{*application, *version, *tables};
}

Error refused(ErrorCode code, std::string_view detail, const Path& database, std::string_view why) {
  return make_error(
      code, detail,
      "cannot use the database " + printable(database.native(), 300) + ": " + std::string(why));
}

Result<void> check_identity(const Identity& identity, const Path& database) {
  if (identity.application == 0 && identity.version == 0 && identity.tables == 0) {
    return refused(ErrorCode::corrupt, "sqlite.empty", database,
                   "it is empty, which a store never is; restore it from a backup, or remove it to "
                   "begin anew");
  }
  if (identity.application != kSqliteApplicationId || identity.version < 1) {
    return refused(ErrorCode::corrupt, "sqlite.not_a_latchkey_database", database,
                   "it belongs to another program; choose another file");
  }
  if (identity.version <= kSqliteSchemaVersion) return {};
  return refused(ErrorCode::schema_too_new, "sqlite.schema_version", database,
                 "it has schema version " + std::to_string(identity.version) +
                     ", and this program knows " + std::to_string(kSqliteSchemaVersion) +
                     "; use the newer program that wrote it");
}

// All steps in one transaction: an interruption leaves the old version or the new one.
Result<void> migrate(SqliteConnection& connection, std::int64_t from) {
  if (from >= kSqliteSchemaVersion) return {};
  auto transaction = SqliteTransaction::begin(connection);
  if (!transaction) return std::move(transaction).error();
  for (auto version = static_cast<std::size_t>(from); version < kMigrations.size(); ++version) {
    if (auto done = connection.execute(kMigrations[version]); !done) return done;
  }
  const auto numbers = "PRAGMA application_id = " + std::to_string(kSqliteApplicationId) +
                       "; PRAGMA user_version = " + std::to_string(kSqliteSchemaVersion) + ';';
  if (auto done = connection.execute(numbers); !done) return done;
  return transaction->commit();
}

Result<void> use_wal(SqliteConnection& connection, const Path& database) {
  auto query = connection.query("PRAGMA journal_mode = WAL");
  if (!query) return std::move(query).error();
  const auto row = query->step();
  if (!row) return row.error();
  if (*row && query->text_at(0) == std::string_view("wal")) return {};
  return refused(ErrorCode::io, "sqlite.no_wal", database,
                 "write-ahead logging is not possible there; choose a folder on a local disk");
}

Path beside(const Path& database, std::string_view suffix) {
  auto path = database;
  path += suffix;
  return path;
}

bool has_contents(const Path& path) {
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  return !fault && size > 0;
}

Result<void> build(const Path& database) {
  auto connection = SqliteConnection::open(database);
  if (!connection) return std::move(connection).error();
  if (auto wal = use_wal(**connection, database); !wal) return wal;
  return migrate(**connection, 0);
}

}  // namespace

Result<void> create_sqlite_database(const std::shared_ptr<FileSystem>& files,
                                    const Path& database) {
  if (has_contents(beside(database, "-wal"))) {
    return refused(ErrorCode::corrupt, "sqlite.orphaned_wal", database,
                   "it is not there, but its -wal file with sessions in it is; put the database "
                   "back beside it, or "
                   "remove it to begin anew");
  }
  const auto temporary =
      database.parent_path() / (std::string(kTemporaryPrefix) + database.filename().string());
  for (const auto* suffix : {"", "-wal", "-shm", "-journal"}) {
    if (auto removed = files->remove(beside(temporary, suffix)); !removed) return removed;
  }
  // SQLite gives its other files the permissions of the main one, but would make that one with
  // those of the umask.
  if (auto created = files->create(temporary); !created) return std::move(created).error();
  if (auto built = build(temporary); !built) return built;
  if (auto renamed = files->rename(temporary, database); !renamed) return renamed;
  return files->sync_folder(database.parent_path());
}

Result<std::unique_ptr<SqliteConnection>> open_sqlite_database(const Path& database) {
  auto connection = SqliteConnection::open(database);
  if (!connection) return connection;
  const auto identity = identify(**connection);
  if (!identity) return identity.error();
  // Before anything is changed: another program's database stays as it is.
  if (auto ours = check_identity(*identity, database); !ours) return std::move(ours).error();
  if (auto wal = use_wal(**connection, database); !wal) return std::move(wal).error();
  if (auto done = migrate(**connection, identity->version); !done) return std::move(done).error();
  return connection;
}

}  // namespace latchkey
