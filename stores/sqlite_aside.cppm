// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.sqlite_aside;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.sqlite_connection;

// What an SQLite store keeps beside its sessions, for diagnosis: unreadable rows moved aside,
// claims and pending logins.

export namespace latchkey {

/// A row of the sessions table, readable or not.
struct SqliteRow {
  std::int64_t id = 0;
  Result<SealedRecord> record;
};
/// The name by which a row is listed: its subject, or "row 5" when that is none.
[[nodiscard]] std::string sqlite_row_name(const SqliteQuery& row, int subject_column,
                                          std::int64_t id);
/// The row that is listed by this name.
[[nodiscard]] Result<std::optional<SqliteRow>> find_sqlite_row(SqliteConnection& connection,
                                                               std::string_view name);
/// Copies a row into the table "quarantined" and deletes it. Call in a transaction.
[[nodiscard]] Result<Quarantined> quarantine_sqlite_row(SqliteConnection& connection,
                                                        const std::filesystem::path& database,
                                                        std::int64_t id, Quarantined entry);
[[nodiscard]] Result<std::vector<Quarantined>> quarantined_sqlite_rows(
    SqliteConnection& connection, const std::filesystem::path& database);

/// The claim in the columns `first` and following: revision, claim_id, claimed_at, pid, host.
/// Error: corrupt, "claim.malformed".
[[nodiscard]] Result<RefreshClaim> read_sqlite_claim(const SqliteQuery& row, int first,
                                                     std::string_view subject);
/// Removes pending logins that have expired, and gives their number.
[[nodiscard]] Result<std::size_t> drop_expired_sqlite_logins(SqliteConnection& connection,
                                                             TimePoint now);
/// OAuthTokenStore::sweep.
[[nodiscard]] Result<Swept> sweep_sqlite(SqliteConnection& connection, TimePoint now);
/// OAuthTokenStore::side_records.
[[nodiscard]] Result<SideRecords> sqlite_side_records(SqliteConnection& connection);

}  // namespace latchkey
