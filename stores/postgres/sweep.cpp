// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
module latchkey.store.postgres.sweep;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.pending;
import latchkey.store.postgres.records;

namespace latchkey {
namespace {

constexpr std::int64_t kRowsAtOnce = 1000;

// Each takes a page of rows behind $1, of at most $2, removes what is older than $3 in it, and
// gives the last key of the page (NULL: there was none) and how many rows were removed. That a row
// is old is asked of the row itself, so that it is asked again of one that is changed meanwhile.
constexpr const char* kSweepClaims =
    "WITH page AS (SELECT subject FROM latchkey_claims WHERE subject > $1::TEXT "
    "ORDER BY subject LIMIT $2::BIGINT), "
    "gone AS (DELETE FROM latchkey_claims AS c WHERE c.subject IN (SELECT subject FROM page) "
    "AND c.claimed_at < $3::BIGINT AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_sessions AS s WHERE s.subject = c.subject) RETURNING c.subject) "
    "SELECT (SELECT max(subject) FROM page), (SELECT count(*) FROM gone)";

// $3: the least age, by the database's clock.
constexpr const char* kSweepLeases =
    "WITH page AS (SELECT subject FROM latchkey_leases WHERE subject > $1::TEXT "
    "ORDER BY subject LIMIT $2::BIGINT), "
    "gone AS (DELETE FROM latchkey_leases AS l WHERE l.subject IN (SELECT subject FROM page) "
    "AND l.expires_at < clock_timestamp() - $3::BIGINT * INTERVAL '1 millisecond' AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_sessions AS s WHERE s.subject = l.subject) RETURNING l.subject) "
    "SELECT (SELECT max(subject) FROM page), (SELECT count(*) FROM gone)";

// By key: a key has few origins.
constexpr const char* kSweepNonces =
    "WITH page AS (SELECT DISTINCT jkt FROM latchkey_nonces WHERE jkt > $1::TEXT "
    "ORDER BY jkt LIMIT $2::BIGINT), "
    "gone AS (DELETE FROM latchkey_nonces AS n WHERE n.jkt IN (SELECT jkt FROM page) "
    "AND n.saved_at < $3::BIGINT AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_sessions AS s WHERE s.dpop_jkt = n.jkt) RETURNING n.jkt) "
    "SELECT (SELECT max(jkt) FROM page), (SELECT count(*) FROM gone)";

// The last condition as in kPostgresRemove: a save that begins to use the key in this moment may
// come from a machine whose clock is far behind.
constexpr const char* kSweepKeys =
    "WITH page AS (SELECT id FROM latchkey_keys WHERE id > $1::TEXT "
    "ORDER BY id LIMIT $2::BIGINT), "
    "gone AS (DELETE FROM latchkey_keys AS k WHERE k.id IN (SELECT id FROM page) "
    "AND k.stored_at < $3::BIGINT AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_sessions AS s WHERE s.dpop_jkt = k.id) AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_quarantined AS q WHERE q.dpop_jkt = k.id) "
    "AND k.stored_at = (SELECT seen.stored_at FROM latchkey_keys AS seen WHERE seen.id = k.id) "
    "RETURNING k.id) "
    "SELECT (SELECT max(id) FROM page), (SELECT count(*) FROM gone)";

Result<std::size_t> sweep_table(PostgresDatabase& database, const char* page, std::int64_t age) {
  std::size_t removed = 0;
  for (std::string last;;) {
    const auto rows =
        database.run(page, {PostgresValue::text(last), PostgresValue::integer(kRowsAtOnce),
                            PostgresValue::integer(age)});
    if (!rows) return rows.error();
    removed += static_cast<std::size_t>(rows->integer(0, 1).value_or(0));
    const auto next = rows->text(0, 0);
    if (!next) return removed;
    last = *next;
  }
}

}  // namespace

Result<Swept> sweep_postgres(PostgresDatabase& database, TimePoint now) {
  Swept swept;
  for (std::size_t dropped = kMaxPendingDropped; dropped == kMaxPendingDropped;) {
    const auto pending = drop_postgres_pending(database, now);
    if (!pending) return pending.error();
    dropped = *pending;
    swept.pending += dropped;
  }
  struct Table {
    const char* page;
    std::int64_t age;
  };
  for (const Table& table : {Table{kSweepClaims, postgres_time(now - kUnusedLeaseAge)},
                             Table{kSweepLeases, kUnusedLeaseAge.count()},
                             Table{kSweepNonces, postgres_time(now - kUnusedKeyAge)}}) {
    const auto removed = sweep_table(database, table.page, table.age);
    if (!removed) return removed.error();
    swept.others += *removed;
  }
  return swept;
}

Result<std::size_t> sweep_postgres_keys(PostgresDatabase& database, TimePoint now) {
  return sweep_table(database, kSweepKeys, postgres_time(now - kUnusedKeyAge));
}

}  // namespace latchkey
