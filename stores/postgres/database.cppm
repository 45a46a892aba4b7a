// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.store.postgres.database;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.pool;
import latchkey.store.postgres.transaction;

// A database that keeps sessions and keys of many machines: a pool of connections, and the schema
// brought up to date. The store and the vault share one.

export namespace latchkey {

/// All times are bounds of single steps. A call takes at most pool_wait, then one statement, then
/// `recovery` and what was begun in it. Looking up a host's name takes as long as the system lets
/// it.
struct PostgresOptions {
  /// One more is made for renewing leases when all of these are in use.
  std::size_t max_connections = 8;
  /// How long a call waits for a connection of the pool to become free.
  std::chrono::milliseconds pool_wait{5'000};
  /// Unless the address has a connect_timeout.
  std::chrono::seconds connect_timeout{5};
  /// The server ends a statement after this time; if it does not answer at all, the connection is
  /// given up a second later.
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds lock_timeout{3'000};
  /// How long a call goes on trying, from the first failure on, when connections break or can't be
  /// made (a restart, a failover), with pauses from 50 ms doubling to 1 s. When that was in vain,
  /// calls of the next second try once, so that not each of those who come one after the other
  /// waits for it anew.
  std::chrono::milliseconds recovery{15'000};
  /// Brings an older schema up to date; false: `locked`, "postgres.schema_old".
  bool migrate = true;
  std::shared_ptr<Clock> clock{};    ///< default: the system's
  std::shared_ptr<Random> random{};  ///< default: the system's
};

struct PostgresCounts {
  std::size_t connections = 0;   ///< open now
  std::uint64_t statements = 0;  ///< round trips, those of transactions and of connecting included
  std::uint64_t connects = 0;    ///< connections made
  std::uint64_t repeated = 0;    ///< attempts after one that was lost, or asked to be repeated
};

/// Thread-safe. Pauses follow the clock of the options; pool_wait and the end of statements that
/// are not answered follow real time.
class PostgresDatabase {
 public:
  /// `address`: a URI or keywords as libpq takes them (PGHOST and so on, pg_service.conf and
  /// .pgpass included); may be empty. Reads and writes go to the primary: target_session_attrs is
  /// read-write unless the address says otherwise. A server that nobody answers for is not waited
  /// for here, one that is starting is. Errors: those of postgres_refusal and
  /// postgres_error; schema_too_new, "postgres.schema_version"; corrupt, "postgres.foreign" (tables
  /// of these names are not latchkey's); invalid_argument, "postgres.encoding" (the database is not
  /// in UTF-8).
  [[nodiscard]] static Result<std::shared_ptr<PostgresDatabase>> open(SecretString address,
                                                                      PostgresOptions options = {});
  PostgresDatabase(const PostgresDatabase&) = delete;
  PostgresDatabase& operator=(const PostgresDatabase&) = delete;
  ~PostgresDatabase();

  /// Runs one statement, which is one transaction and one round trip. It must be one that may be
  /// run again after it was carried out: it is, when the connection is lost in the midst of it, or
  /// when the server asks for it (SQLSTATE 40001, 40P01). So its outcome is never a guess: it was
  /// carried out, or there is an error that says what kept it from being so. Errors: those of
  /// postgres_error; io, "postgres.connection_lost" and those of postgres_refusal (within
  /// `recovery` there was no way to learn the outcome); locked, "postgres.pool" (all connections
  /// are in use).
  [[nodiscard]] Result<PostgresRows> run(const char* sql, const PostgresValues& values = {},
                                         PostgresLane lane = PostgresLane::shared);
  /// Runs one statement, and not again: for what may fail, and is not worth waiting for. Errors:
  /// those of run(); after "postgres.connection_lost" it may have been carried out.
  [[nodiscard]] Result<PostgresRows> run_once(const char* sql, const PostgresValues& values = {},
                                              PostgresLane lane = PostgresLane::shared);
  /// Runs `work` in one transaction and commits it, unless it gives an error, or a statement of it
  /// gave one that it did not hand on (io, "postgres.failed"). `work` uses only the connection that
  /// it is given, and is run again as in run(), whole: it must be able to find that it has been
  /// done already.
  [[nodiscard]] Result<void> transaction(const PostgresWork& work);

  [[nodiscard]] PostgresCounts counts() const noexcept;
  [[nodiscard]] const PostgresOptions& options() const noexcept;  ///< with all defaults set
  [[nodiscard]] Clock& clock() const noexcept;
  [[nodiscard]] Random& random() const noexcept;

  struct Impl;
  /// Use open().
  explicit PostgresDatabase(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
