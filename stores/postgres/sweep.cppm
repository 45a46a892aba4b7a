// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
export module latchkey.store.postgres.sweep;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres.database;

// What is left over in the tables beside the sessions. It goes through each table by its key, a
// bounded number of rows a statement, so that a large table runs into no timeout and holds up
// nobody.

export namespace latchkey {

/// Logins take half an hour at most; the rest is a margin for clocks that jump. As
/// latchkey.refresh.key_collection has it.
inline constexpr Duration kUnusedKeyAge = std::chrono::hours(24);
/// Claims and leases of sessions that are gone: longer than anybody works on one.
inline constexpr Duration kUnusedLeaseAge = std::chrono::hours(1);

/// OAuthTokenStore::sweep. Counts may be too low when a connection was lost on the way.
[[nodiscard]] Result<Swept> sweep_postgres(PostgresDatabase& database, TimePoint now);
/// Removes the keys older than kUnusedKeyAge that no session and no quarantined record refers to,
/// and gives how many there were. Safe beside a save that begins to use one of them: that touches
/// it, or finds it gone.
[[nodiscard]] Result<std::size_t> sweep_postgres_keys(PostgresDatabase& database, TimePoint now);

}  // namespace latchkey
