// SPDX-License-Identifier: MIT
module;
#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.store.sqlite_connection;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

constexpr int kBusyMilliseconds = 5000;
// The longest text or blob, an upper bound of what we ever keep; SQLite's own is a gigabyte.
constexpr int kMaxValue = 4 * 1024 * 1024;

// Nothing here changes the file. Settings of SQLite belong to a connection, so each one says all of
// them.
constexpr const char* kSettings =
    "PRAGMA synchronous = FULL;"
    "PRAGMA secure_delete = ON;"
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON;";

struct Meaning {
  ErrorCode code;
  std::string_view detail;
  std::string_view cause;
};

Meaning meaning_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::locked, "sqlite.busy",
              "another process is writing to it; try again later"};
    case SQLITE_FULL:
      return {ErrorCode::io, "io.no_space",
              "the disk or the quota is full; free some space and try again"};
    case SQLITE_READONLY:
      return {ErrorCode::io, "io.read_only",
              "it is not writable; mount the file system writable, or correct the permissions"};
    case SQLITE_NOTADB:
      return {ErrorCode::corrupt, "sqlite.not_a_database",
              "it is not an SQLite database; choose another file, or restore it from a backup"};
    case SQLITE_CORRUPT:
      return {ErrorCode::corrupt, "sqlite.damaged", "it is damaged; restore it from a backup"};
    case SQLITE_ERROR:
      return {ErrorCode::corrupt, "sqlite.schema",
              "its tables are not those of this program; restore it from a backup"};
    case SQLITE_CONSTRAINT:
      return {ErrorCode::conflict, "sqlite.constraint",
              "the value is there already or not allowed there"};
    case SQLITE_CANTOPEN:
      return {ErrorCode::io, "sqlite.cannot_open",
              "it cannot be opened; look at the folder and its permissions"};
    case SQLITE_IOERR:
      return {ErrorCode::io, "io.failed",
              "the operating system refused; look at the disk and the system log"};
    default:
      return {ErrorCode::io, "sqlite.failed", "SQLite refused"};
  }
}

}  // namespace

Error sqlite_error(int code, const std::filesystem::path& database) {
  const auto meaning = meaning_of(code);
  return make_error(meaning.code, meaning.detail,
                    "cannot use the database " + printable(database.native(), 300) + ": " +
                        std::string(meaning.cause) + " (SQLite code " + std::to_string(code) + ')');
}

struct SqliteQuery::Statement {
  Statement(const SQLite::Database& database, const char* sql) : use(database, sql) {}
  SQLite::Statement use;
  int bind_error = SQLITE_OK;

  template <class Bind>
  void bind(Bind&& bind_one) noexcept {
    try {
      bind_one(use);
    } catch (const SQLite::Exception& fault) {
      bind_error = fault.getExtendedErrorCode();
    } catch (const std::exception&) {
      bind_error = SQLITE_NOMEM;
    }
  }
};

struct SqliteConnection::Impl {
  Impl(const std::filesystem::path& file, int flags)
      : path(file), database(file.c_str(), flags, kBusyMilliseconds) {}
  std::filesystem::path path;
  SQLite::Database database;
  // After the database: statements are finalised before it is closed.
  std::unordered_map<const char*, std::unique_ptr<SqliteQuery::Statement>> statements;
};

// Queries
// ---------------------------------------------------------------------------------------------------------

SqliteQuery::SqliteQuery(SqliteConnection& connection, Statement& statement) noexcept
    : connection_(&connection), statement_(&statement) {}

SqliteQuery::SqliteQuery(SqliteQuery&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  statement_->use.tryReset();
  statement_->bind([](SQLite::Statement& use) { use.clearBindings(); });
  statement_->bind_error = SQLITE_OK;
}

SqliteQuery& SqliteQuery::text(int parameter, std::string_view value) {
  statement_->bind([&](SQLite::Statement& use) { use.bind(parameter, std::string(value)); });
  return *this;
}

SqliteQuery& SqliteQuery::blob(int parameter, std::span<const unsigned char> value) {
  // A null pointer would be bound as NULL.
  const void* const data = value.empty() ? static_cast<const void*>("") : value.data();
  statement_->bind([&](SQLite::Statement& use) {
    use.bindNoCopy(parameter, data, static_cast<int>(value.size()));
  });
  return *this;
}

SqliteQuery& SqliteQuery::integer(int parameter, std::int64_t value) {
  statement_->bind([&](SQLite::Statement& use) { use.bind(parameter, value); });
  return *this;
}

SqliteQuery& SqliteQuery::integer_or_null(int parameter, std::optional<std::int64_t> value) {
  if (value) return integer(parameter, *value);
  statement_->bind([&](SQLite::Statement& use) { use.bind(parameter); });
  return *this;
}

Result<bool> SqliteQuery::step() {
  if (statement_->bind_error != SQLITE_OK) {
    return sqlite_error(statement_->bind_error, connection_->impl_->path);
  }
  const int code = statement_->use.tryExecuteStep();
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return sqlite_error(connection_->impl_->database.getExtendedErrorCode(),
                      connection_->impl_->path);
}

Result<void> SqliteQuery::run() {
  for (;;) {
    const auto row = step();
    if (!row) return row.error();
    if (!*row) return {};
  }
}

int SqliteQuery::changes() const noexcept {
  return statement_->use.getChanges();
}

std::optional<std::string_view> SqliteQuery::text_at(int column) const {
  const auto value = statement_->use.getColumn(column);
  if (!value.isText()) return std::nullopt;
  const char* const text = value.getText();
  return std::string_view(text, static_cast<std::size_t>(value.getBytes()));
}

std::optional<std::span<const unsigned char>> SqliteQuery::blob_at(int column) const {
  const auto value = statement_->use.getColumn(column);
  if (!value.isBlob()) return std::nullopt;
  const auto* const data = static_cast<const unsigned char*>(value.getBlob());
  return std::span(data, static_cast<std::size_t>(value.getBytes()));
}

std::optional<std::int64_t> SqliteQuery::integer_at(int column) const {
  const auto value = statement_->use.getColumn(column);
  if (!value.isInteger()) return std::nullopt;
  return value.getInt64();
}

bool SqliteQuery::is_null_at(int column) const {
  return statement_->use.getColumn(column).isNull();
}

// Connections
// -----------------------------------------------------------------------------------------------------

SqliteConnection::SqliteConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteConnection::~SqliteConnection() {}

Result<std::unique_ptr<SqliteConnection>> SqliteConnection::open(
    const std::filesystem::path& database) {
  try {
    auto impl = std::make_unique<Impl>(
        database, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX | SQLite::OPEN_NOFOLLOW);
    auto* const handle = impl->database.getHandle();
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kMaxValue);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    impl->database.exec(kSettings);
    return std::unique_ptr<SqliteConnection>(new SqliteConnection(std::move(impl)));
  } catch (const SQLite::Exception& fault) {
    return sqlite_error(fault.getExtendedErrorCode(), database);
  }
}

Result<SqliteQuery> SqliteConnection::query(const char* sql) {
  auto& kept = impl_->statements[sql];
  try {
    if (!kept) kept = std::make_unique<SqliteQuery::Statement>(impl_->database, sql);
    return SqliteQuery(*this, *kept);
  } catch (const SQLite::Exception& fault) {
    return sqlite_error(fault.getExtendedErrorCode(), impl_->path);
  }
}

Result<void> SqliteConnection::execute(const std::string& sql) {
  const int code = impl_->database.tryExec(sql);
  if (code == SQLITE_OK) return {};
  return sqlite_error(impl_->database.getExtendedErrorCode(), impl_->path);
}

Result<std::int64_t> SqliteConnection::integer(const char* sql) {
  auto asked = query(sql);
  if (!asked) return std::move(asked).error();
  const auto row = asked->step();
  if (!row) return row.error();
  const auto value = *row ? asked->integer_at(0) : std::nullopt;
  if (!value) return sqlite_error(SQLITE_CORRUPT, impl_->path);
  return *value;
}

// Transactions
// ----------------------------------------------------------------------------------------------------

SqliteTransaction::SqliteTransaction(SqliteTransaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

SqliteTransaction::~SqliteTransaction() {
  if (connection_ == nullptr) return;
  // SQLite may have rolled back by itself already; then this one fails.
  if (auto rollback = connection_->query("ROLLBACK")) static_cast<void>(rollback->run());
}

Result<SqliteTransaction> SqliteTransaction::begin(SqliteConnection& connection) {
  auto begun = connection.query("BEGIN IMMEDIATE");
  if (!begun) return std::move(begun).error();
  if (auto run = begun->run(); !run) return std::move(run).error();
  return SqliteTransaction(connection);
}

Result<void> SqliteTransaction::commit() {
  auto committed = connection_->query("COMMIT");
  if (!committed) return std::move(committed).error();
  if (auto run = committed->run(); !run) return run;
  connection_ = nullptr;
  return {};
}

}  // namespace latchkey
