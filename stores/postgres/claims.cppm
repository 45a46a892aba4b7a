// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.claims;
import latchkey.core.error;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.store.postgres.leases;

// Refresh claims as rows.

export namespace latchkey {

/// Writes the claim if the lease row of its subject is ours yet, which is renewed, and if no record
/// has another revision; all in one statement. Where no lease is held in this process only the
/// revision counts. Errors: locked, "lease.lost"; conflict, "store.conflict".
[[nodiscard]] Result<void> save_postgres_claim(PostgresDatabase& database, PostgresLeases& leases,
                                               const RefreshClaim& claim);
/// OAuthTokenStore::load_claim.
[[nodiscard]] Result<std::optional<RefreshClaim>> load_postgres_claim(PostgresDatabase& database,
                                                                      std::string_view subject);
/// OAuthTokenStore::clear_claim.
[[nodiscard]] Result<void> clear_postgres_claim(PostgresDatabase& database,
                                                std::string_view subject, std::uint64_t id);
/// All, by subject.
[[nodiscard]] Result<std::vector<ListedClaim>> list_postgres_claims(PostgresDatabase& database);

}  // namespace latchkey
