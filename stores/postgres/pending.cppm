// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.pending;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres.database;

// Pending logins as rows. One is taken by writing a random number into it: whoever loses the
// connection before the answer asks again with the same number, and is told the same.

export namespace latchkey {

/// OAuthTokenStore::save_pending, but that other logins that have expired stay.
[[nodiscard]] Result<void> save_postgres_pending(PostgresDatabase& database,
                                                 const PendingRecord& pending, TimePoint now);
/// OAuthTokenStore::take_pending.
[[nodiscard]] Result<std::optional<PendingRecord>> take_postgres_pending(PostgresDatabase& database,
                                                                         std::string_view key,
                                                                         TimePoint now);
/// How many drop_postgres_pending removes at once.
inline constexpr std::size_t kMaxPendingDropped = 1000;
/// Removes so many of those that have expired, oldest first, and gives how many there were.
[[nodiscard]] Result<std::size_t> drop_postgres_pending(PostgresDatabase& database, TimePoint now);
/// All that nobody has taken, by their expiry.
[[nodiscard]] Result<std::vector<ListedPending>> list_postgres_pending(PostgresDatabase& database);

}  // namespace latchkey
