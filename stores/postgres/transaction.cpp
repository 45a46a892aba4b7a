// SPDX-License-Identifier: MIT
module;
#include <utility>
module latchkey.store.postgres.transaction;
import latchkey.core.error;
import latchkey.store.postgres.connection;

namespace latchkey {
namespace {

Error ignored_failure() {
  return make_error(ErrorCode::io, "postgres.failed",
                    "cannot commit: a statement of the transaction failed and the work went on; "
                    "this is a defect, please report it");
}

}  // namespace

PostgresTransaction::PostgresTransaction(PostgresConnection& connection) noexcept
    : connection_(connection) {}

PostgresTransaction::~PostgresTransaction() {
  if (is_committed_ || !connection_.is_open()) return;
  if (!connection_.run("ROLLBACK")) connection_.close();
}

Result<void> PostgresTransaction::run(const PostgresWork& work) {
  if (auto begun = connection_.run("BEGIN"); !begun) return std::move(begun).error();
  const auto failures = connection_.traffic().failures;
  if (auto done = work(connection_); !done) return done;
  // COMMIT would be a rollback that reports success.
  if (connection_.traffic().failures != failures) return ignored_failure();
  if (auto committed = connection_.run("COMMIT"); !committed) return std::move(committed).error();
  is_committed_ = true;
  return {};
}

}  // namespace latchkey
