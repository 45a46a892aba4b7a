// SPDX-License-Identifier: MIT
module;
#include <functional>
export module latchkey.store.postgres.transaction;
import latchkey.core.error;
import latchkey.store.postgres.connection;

// Several statements that are carried out together or not at all.

export namespace latchkey {

using PostgresWork = std::function<Result<void>(PostgresConnection&)>;

/// One transaction on a connection that is in none. Rolls back unless it is committed; when even
/// that fails, the connection is closed.
class PostgresTransaction {
 public:
  explicit PostgresTransaction(PostgresConnection& connection) noexcept;
  PostgresTransaction(const PostgresTransaction&) = delete;
  PostgresTransaction& operator=(const PostgresTransaction&) = delete;
  ~PostgresTransaction();

  /// Begins, runs `work`, and commits unless it gives an error, which is handed on. To be called
  /// once. Errors: those of PostgresConnection::run; io, "postgres.failed" (a statement failed, and
  /// `work` did not say so).
  [[nodiscard]] Result<void> run(const PostgresWork& work);

 private:
  PostgresConnection& connection_;
  bool is_committed_ = false;
};

}  // namespace latchkey
