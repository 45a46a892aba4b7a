// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
export module latchkey.store.sqlite_connection;
import latchkey.core.encoding;
import latchkey.core.error;

// SQLite as the SQLite store uses it: connections with the settings that make a commit durable,
// statements that are kept, and results instead of exceptions. The only place that includes
// SQLiteCpp.

export namespace latchkey {

class SqliteConnection;

/// One use of a kept statement: bind, step, read; the statement is reset when this goes. Must not
/// outlive the connection. Parameters and columns count as in SQLite: parameters from 1, columns
/// from 0.
class SqliteQuery {
 public:
  SqliteQuery(SqliteQuery&& other) noexcept;
  SqliteQuery& operator=(SqliteQuery&&) = delete;
  ~SqliteQuery();

  SqliteQuery& text(int parameter, std::string_view value);
  /// The bytes are not copied: they must live until the last step.
  SqliteQuery& blob(int parameter, std::span<const unsigned char> value);
  SqliteQuery& integer(int parameter, std::int64_t value);
  SqliteQuery& integer_or_null(int parameter, std::optional<std::int64_t> value);

  /// True: there is a row. False: done.
  [[nodiscard]] Result<bool> step();
  /// Steps a statement that gives no rows.
  [[nodiscard]] Result<void> run();
  /// Rows that the last INSERT, UPDATE or DELETE of this connection touched.
  [[nodiscard]] int changes() const noexcept;

  // Columns of the row at hand, empty when the value has another type. Valid until the next step.
  [[nodiscard]] std::optional<std::string_view> text_at(int column) const;
  [[nodiscard]] std::optional<std::span<const unsigned char>> blob_at(int column) const;
  [[nodiscard]] std::optional<std::int64_t> integer_at(int column) const;
  [[nodiscard]] bool is_null_at(int column) const;

 private:
  friend class SqliteConnection;
  struct Statement;
  SqliteQuery(SqliteConnection& connection, Statement& statement) noexcept;
  SqliteConnection* connection_;
  Statement* statement_;  // null: moved from
};

/// One connection to an existing database. Not thread-safe.
class SqliteConnection {
 public:
  /// Synchronous FULL, a bounded busy timeout, secure_delete, no trusted schema. Does not create a
  /// database, follows no symbolic link at any place of the path, and changes nothing in the file.
  [[nodiscard]] static Result<std::unique_ptr<SqliteConnection>> open(
      const std::filesystem::path& database);
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;
  ~SqliteConnection();

  /// `sql` must be one statement and a literal: it is prepared once and kept under its address.
  [[nodiscard]] Result<SqliteQuery> query(const char* sql);
  /// Runs statements that are not kept; rows are ignored.
  [[nodiscard]] Result<void> execute(const std::string& sql);
  /// The integer in the first column of the first row.
  [[nodiscard]] Result<std::int64_t> integer(const char* sql);

 private:
  friend class SqliteQuery;
  struct Impl;
  explicit SqliteConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Holds the write lock of the database (BEGIN IMMEDIATE) and rolls back unless it is committed.
class SqliteTransaction {
 public:
  [[nodiscard]] static Result<SqliteTransaction> begin(SqliteConnection& connection);
  SqliteTransaction(SqliteTransaction&& other) noexcept;
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  /// Durable when it returns.
  [[nodiscard]] Result<void> commit();

 private:
  explicit SqliteTransaction(SqliteConnection& connection) noexcept : connection_(&connection) {}
  SqliteConnection* connection_;  // null: ended
};

/// What an (extended) result code of SQLite means here. Errors: locked "sqlite.busy"; io
/// "io.no_space", "io.read_only", "io.failed", "sqlite.cannot_open", "sqlite.failed"; corrupt
/// "sqlite.not_a_database", "sqlite.damaged", "sqlite.schema"; conflict "sqlite.constraint".
[[nodiscard]] Error sqlite_error(int code, const std::filesystem::path& database);

}  // namespace latchkey
