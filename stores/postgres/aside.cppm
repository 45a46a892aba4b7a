// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.aside;
import latchkey.core.error;
import latchkey.store.postgres.database;
import latchkey.store.quarantine;
import latchkey.store.record;

// Unreadable records moved aside, into the table latchkey_quarantined.

export namespace latchkey {

/// OAuthTokenStore::quarantine. `readable` gives the error of a record that was read but cannot be
/// opened.
[[nodiscard]] Result<Quarantined> quarantine_postgres_record(
    PostgresDatabase& database, std::string_view name,
    const std::function<Result<void>(const SealedRecord&)>& readable);
/// OAuthTokenStore::quarantined.
[[nodiscard]] Result<std::vector<Quarantined>> quarantined_postgres_records(
    PostgresDatabase& database);

}  // namespace latchkey
