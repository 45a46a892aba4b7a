// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
export module latchkey.store.postgres;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;

// Sessions in a PostgreSQL database, for many machines. See docs/formats.md and docs/scaling.md.

export namespace latchkey {

struct PostgresStoreOptions {
  /// How long a lease is good without being renewed; it is renewed by a thread of the store's at a
  /// third of it. Longer than any pause that a healthy process makes; 100 ms at least.
  std::chrono::milliseconds lease_time{20'000};
  /// How long a session that another process has changed may still be handed out here; more than 0.
  std::chrono::milliseconds staleness{1'000};
};

/// Thread-safe, and safe between processes and machines. A lease that is given back while the
/// database can't be reached runs out by itself; giving it back takes as long as the database tries
/// (PostgresOptions::recovery).
class PostgresOAuthTokenStore {
 public:
  /// With a vault that keeps its keys elsewhere. Error: invalid_argument, "postgres.lease_time",
  /// "postgres.staleness".
  [[nodiscard]] static Result<std::shared_ptr<OAuthTokenStore>> open(
      std::shared_ptr<PostgresDatabase> database, std::shared_ptr<Sealer> sealer,
      PostgresStoreOptions options = {});
  /// Sealed by a vault in the same database: no session is saved whose key is not there
  /// (key_missing, "vault.key_missing"), and a session that is removed takes its key along, unless
  /// another one needs it, each in one transaction.
  [[nodiscard]] static Result<std::shared_ptr<OAuthTokenStore>> open(
      std::shared_ptr<PostgresDatabase> database, const std::shared_ptr<PostgresKeyVault>& vault,
      PostgresStoreOptions options = {});
};

}  // namespace latchkey
