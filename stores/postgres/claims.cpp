// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.postgres.claims;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.leases;
import latchkey.store.postgres.records;
import latchkey.store.record;

// $1: subject, $2: revision, $3: id, $4: time, $5: pid, $6: host.
#define LATCHKEY_CLAIM "$1::TEXT, $2::BIGINT, $3::BIGINT, $4::BIGINT, $5::BIGINT, $6::TEXT"
#define LATCHKEY_CURRENT                                                  \
  "NOT EXISTS (SELECT 1 FROM latchkey_sessions WHERE subject = $1::TEXT " \
  "AND revision <> $2::BIGINT)"
#define LATCHKEY_INSERT_CLAIM \
  "INSERT INTO latchkey_claims (subject, revision, claim_id, claimed_at, pid, host) "
#define LATCHKEY_REPLACE_CLAIM                                                           \
  " ON CONFLICT (subject) DO UPDATE SET revision = EXCLUDED.revision, "                  \
  "claim_id = EXCLUDED.claim_id, claimed_at = EXCLUDED.claimed_at, pid = EXCLUDED.pid, " \
  "host = EXCLUDED.host RETURNING subject"

namespace latchkey {
namespace {

// Columns: 1 or 0 for the lease, 1 or 0 for what was written.
constexpr const char* kSave =
    "WITH written AS (" LATCHKEY_INSERT_CLAIM "SELECT " LATCHKEY_CLAIM
    " WHERE " LATCHKEY_CURRENT LATCHKEY_REPLACE_CLAIM ") SELECT 1, count(*) FROM written";

// $7: holder, $8: fence, $9: lease time.
constexpr const char* kSaveLeased =
    "WITH held AS (UPDATE latchkey_leases "
    "SET expires_at = clock_timestamp() + $9::BIGINT * INTERVAL '1 millisecond' "
    "WHERE subject = $1::TEXT AND holder = $7::BIGINT AND fence = $8::BIGINT RETURNING subject), "
    "written AS (" LATCHKEY_INSERT_CLAIM "SELECT " LATCHKEY_CLAIM
    " FROM held WHERE " LATCHKEY_CURRENT LATCHKEY_REPLACE_CLAIM
    ") SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM written)";

constexpr const char* kLoad =
    "SELECT subject, revision, claim_id, claimed_at, pid, host FROM latchkey_claims "
    "WHERE subject = $1";
constexpr const char* kList =
    "SELECT subject, revision, claim_id, claimed_at, pid, host FROM latchkey_claims "
    "ORDER BY subject";
constexpr const char* kClear =
    "DELETE FROM latchkey_claims WHERE subject = $1 AND claim_id = $2::BIGINT";

PostgresValues values_of(const RefreshClaim& claim) {
  return {PostgresValue::text(claim.subject),
          PostgresValue::integer(postgres_bits(claim.revision.value)),
          PostgresValue::integer(postgres_bits(claim.id)),
          PostgresValue::integer(postgres_time(claim.at)),
          PostgresValue::integer(claim.pid),
          PostgresValue::text(claim.host)};
}

Result<RefreshClaim> read_claim(const PostgresRows& rows, std::size_t row) {
  const auto subject = rows.text(row, 0);
  const auto revision = rows.integer(row, 1), id = rows.integer(row, 2), at = rows.integer(row, 3),
             pid = rows.integer(row, 4);
  const auto host = rows.text(row, 5);
  if (!subject || !revision || !id || !at || !pid || !host) {
    return make_error(
        ErrorCode::corrupt, "claim.malformed",
        "cannot read the refresh claim of " + printable(subject.value_or(""), 100) +
            ": a column does not hold what it should; restore the database from a backup");
  }
  return RefreshClaim{.subject = std::string(*subject),
                      .revision = {static_cast<std::uint64_t>(*revision)},
                      .id = static_cast<std::uint64_t>(*id),
                      .at = TimePoint(Duration(*at)),
                      .pid = static_cast<int>(*pid),
                      .host = std::string(*host)};
}

Error lease_lost(std::string_view subject) {
  return make_error(ErrorCode::locked, "lease.lost",
                    "cannot claim the session of " + printable(subject, 100) +
                        ": its lease ran out, and another process has taken it; try again");
}

Error claim_outdated(std::string_view subject) {
  return make_error(ErrorCode::conflict, "store.conflict",
                    "cannot claim the session of " + printable(subject, 100) +
                        ": the stored one has changed meanwhile; load it again");
}

}  // namespace

Result<void> save_postgres_claim(PostgresDatabase& database, PostgresLeases& leases,
                                 const RefreshClaim& claim) {
  if (auto fine = check_subject(claim.subject); !fine) return fine;
  PostgresValues values = values_of(claim);
  const auto row = leases.held(claim.subject);
  if (row) {
    values.push_back(PostgresValue::integer(postgres_bits(row->holder)));
    values.push_back(PostgresValue::integer(row->fence));
    values.push_back(PostgresValue::integer(leases.lease_time().count()));
  }
  const auto rows = database.run(row ? kSaveLeased : kSave, values);
  if (!rows) return rows.error();
  if (rows->integer(0, 0) != 1) return lease_lost(claim.subject);
  if (rows->integer(0, 1) != 1) return claim_outdated(claim.subject);
  leases.note_claim(claim.subject, LeasedClaim{.id = claim.id, .revision = claim.revision});
  return {};
}

Result<std::optional<RefreshClaim>> load_postgres_claim(PostgresDatabase& database,
                                                        std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const auto rows = database.run(kLoad, {PostgresValue::text(subject)});
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<RefreshClaim>();
  auto claim = read_claim(*rows, 0);
  if (!claim) return std::move(claim).error();
  return std::optional(*std::move(claim));
}

Result<void> clear_postgres_claim(PostgresDatabase& database, std::string_view subject,
                                  std::uint64_t id) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const auto rows = database.run(
      kClear, {PostgresValue::text(subject), PostgresValue::integer(postgres_bits(id))});
  if (!rows) return rows.error();
  return {};
}

Result<std::vector<ListedClaim>> list_postgres_claims(PostgresDatabase& database) {
  const auto rows = database.run(kList);
  if (!rows) return rows.error();
  std::vector<ListedClaim> listed;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    ListedClaim entry{
        .name = std::string(rows->text(row, 0).value_or("")), .claim = {}, .error = {}};
    auto claim = read_claim(*rows, row);
    if (claim) {
      entry.claim = *std::move(claim);
    } else {
      entry.error = std::move(claim).error();
    }
    listed.push_back(std::move(entry));
  }
  return listed;
}

}  // namespace latchkey
