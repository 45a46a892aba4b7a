// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.connection;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.watchdog;

// PostgreSQL as the store and the vault use it: connections that never reconnect by themselves,
// statements that are prepared once, and results instead of exceptions. The only place that
// includes libpqxx.

export namespace latchkey {

/// A parameter of a statement, in PostgreSQL's text form. The texts are sealed or public.
class PostgresValue {
 public:
  [[nodiscard]] static PostgresValue text(std::string_view value) {
    return PostgresValue(std::string(value));
  }
  [[nodiscard]] static PostgresValue integer(std::int64_t value);
  [[nodiscard]] static PostgresValue integer(std::optional<std::int64_t> value);
  [[nodiscard]] static PostgresValue bytes(std::span<const unsigned char> value);
  [[nodiscard]] static PostgresValue null() { return PostgresValue(std::nullopt); }

  [[nodiscard]] const std::optional<std::string>& form() const noexcept { return form_; }

 private:
  explicit PostgresValue(std::optional<std::string> form) : form_(std::move(form)) {}
  std::optional<std::string> form_;
};
using PostgresValues = std::vector<PostgresValue>;

/// What a statement gave. Rows and columns count from 0. A column is empty when it is NULL or holds
/// something else.
class PostgresRows {
 public:
  PostgresRows();
  PostgresRows(PostgresRows&&) noexcept;
  PostgresRows& operator=(PostgresRows&&) noexcept;
  ~PostgresRows();

  [[nodiscard]] std::size_t size() const noexcept;
  /// Rows that an INSERT, UPDATE or DELETE touched.
  [[nodiscard]] std::size_t affected() const noexcept;
  [[nodiscard]] bool is_null(std::size_t row, int column) const;
  /// Valid as long as this object.
  [[nodiscard]] std::optional<std::string_view> text(std::size_t row, int column) const;
  [[nodiscard]] std::optional<std::int64_t> integer(std::size_t row, int column) const;
  [[nodiscard]] std::optional<Bytes> bytes(std::size_t row, int column) const;

 private:
  friend class PostgresConnection;
  struct Impl;
  explicit PostgresRows(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct PostgresTraffic {
  std::uint64_t round_trips = 0;  ///< preparing a statement, once a connection, is one too
  std::uint64_t failures = 0;     ///< statements that gave an error
};

/// One connection. Not thread-safe. Once it is lost it stays so.
class PostgresConnection {
 public:
  /// `address`: whatever libpq takes, a URI or keywords; what it leaves open comes from libpq's
  /// environment and service file. Waits as long as its connect_timeout says. Errors: those of
  /// postgres_refusal.
  [[nodiscard]] static Result<std::unique_ptr<PostgresConnection>> open(
      const SecretString& address);
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;
  ~PostgresConnection();

  /// Runs one statement, by itself or in the transaction that was begun. `sql` must be a literal:
  /// it is prepared once, under a name made from its text. Errors: those of postgres_error; io,
  /// "postgres.connection_lost" (whether it was carried out is not known); invalid_argument,
  /// "postgres.text" (a NUL, which PostgreSQL does not keep).
  [[nodiscard]] Result<PostgresRows> run(const char* sql, const PostgresValues& values = {});
  /// Runs statements that are not kept and have no parameters; gives the rows of the last.
  [[nodiscard]] Result<PostgresRows> script(const std::string& sql);

  /// From now on a statement that takes longer than `patience` loses the connection. The watchdog
  /// must outlive it.
  void be_watched(PostgresWatchdog& watchdog, std::chrono::milliseconds patience);

  /// What has been asked of the server through this connection.
  [[nodiscard]] const PostgresTraffic& traffic() const noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  void close() noexcept;

 private:
  struct Impl;
  explicit PostgresConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What a SQLSTATE means here; of the message the first line is repeated. Errors: locked,
/// "postgres.busy" (a lock is held too long, or too many connections), "postgres.serialization" (to
/// be run again), "postgres.constraint" (another program makes the same tables); io,
/// "postgres.constraint" (of a row), "postgres.timeout",
/// "postgres.no_space", "postgres.read_only", "postgres.shutting_down", "postgres.connection_lost"
/// (a pooler's, of its own to the server), "postgres.session_lost" (a prepared statement is gone,
/// which a pooler does), "postgres.failed"; insecure_location, "postgres.privilege"; corrupt,
/// "postgres.schema" (a table or column is not there), "postgres.damaged"; invalid_argument,
/// "postgres.text". Never conflict: no revisions were compared.
[[nodiscard]] Error postgres_error(std::string_view sqlstate, std::string_view message);

/// Why a connection could not be made, by libpq's text, of which nothing that may hold a password
/// is repeated. Errors: io, "postgres.unreachable", "postgres.tls", "postgres.refused" (password,
/// user or database), "postgres.refused_unclear" (a server's text that is not known here: a
/// pooler's, or another language), "postgres.starting", "postgres.too_many_connections",
/// "postgres.read_only" (no server that takes writes); invalid_argument, "postgres.address".
[[nodiscard]] Error postgres_refusal(std::string_view message);

}  // namespace latchkey
