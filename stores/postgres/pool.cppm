// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>
export module latchkey.store.postgres.pool;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.watchdog;

// Connections that are kept open and lent out one by one, each with the settings of a session that
// a store relies on. They are made when they are needed.

export namespace latchkey {

/// Which calls wait for which others.
enum class PostgresLane {
  shared,
  /// For renewing and checking leases: they have one connection more, so that they never wait for
  /// what is done under leases. They wait only for each other.
  leases,
};

struct PostgresPoolOptions {
  std::size_t max_connections;                  ///< of PostgresLane::shared
  std::chrono::milliseconds wait;               ///< for a connection to become free; real time
  std::chrono::milliseconds statement_timeout;  ///< of the server
  std::chrono::milliseconds lock_timeout;       ///< of the server
  std::chrono::milliseconds patience;           ///< see PostgresConnection::be_watched
};

struct PostgresPoolCounts {
  std::size_t connections = 0;    ///< open now
  std::uint64_t connects = 0;     ///< connections made
  std::uint64_t round_trips = 0;  ///< of those that are not lent just now
};

/// Thread-safe.
class PostgresPool {
  struct Member {
    std::unique_ptr<PostgresConnection> connection;
    std::uint64_t generation = 0;
    std::uint64_t round_trips = 0;  // that are in the counts already
  };

 public:
  /// `address`: as complete_postgres_address makes it.
  PostgresPool(SecretString address, const PostgresPoolOptions& options);
  PostgresPool(const PostgresPool&) = delete;
  PostgresPool& operator=(const PostgresPool&) = delete;
  /// No Loan may be left.
  ~PostgresPool();

  /// A connection, back in the pool when this goes.
  class Loan {
   public:
    Loan(Loan&& other) noexcept;
    Loan& operator=(Loan&&) = delete;
    ~Loan();

    [[nodiscard]] PostgresConnection& connection() const noexcept { return *member_.connection; }
    /// It is of no use any more, and neither are those that were made before it broke: they lead to
    /// the same server. All of them are closed.
    void give_up() noexcept;

   private:
    friend class PostgresPool;
    Loan(PostgresPool& pool, Member member) noexcept;
    PostgresPool* pool_;
    Member member_;
    bool is_given_up_ = false;
  };

  /// Errors: locked, "postgres.pool" (none became free in time); those of postgres_refusal and
  /// postgres_error; invalid_argument, "postgres.encoding".
  [[nodiscard]] Result<Loan> borrow(PostgresLane lane = PostgresLane::shared);
  [[nodiscard]] PostgresPoolCounts counts() const;

 private:
  [[nodiscard]] Result<std::unique_ptr<PostgresConnection>> make();
  void take_back(Member member, bool is_given_up) noexcept;
  [[nodiscard]] std::size_t limit(PostgresLane lane) const noexcept;

  const SecretString address_;
  const PostgresPoolOptions options_;
  PostgresWatchdog watchdog_;
  mutable std::mutex mutex_;
  std::condition_variable free_;
  std::vector<Member> idle_;      // the last used one last
  std::size_t places_taken_ = 0;  // lent, idle, or being made
  std::uint64_t generation_ = 0;  // of connections that are begun now
  PostgresPoolCounts counts_;
};

}  // namespace latchkey
