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
module latchkey.store.postgres.pending;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.records;
import latchkey.store.record;

namespace latchkey {
namespace {

// $1: key, $2: expiry, $3: box, $4: now. An expired one gives its key free; the same one is what an
// attempt whose answer was lost has written.
constexpr const char* kSave =
    "INSERT INTO latchkey_pending AS kept (state_digest, expires_at, box, taken_by) "
    "VALUES ($1, $2, $3, NULL) ON CONFLICT (state_digest) DO UPDATE "
    "SET expires_at = EXCLUDED.expires_at, box = EXCLUDED.box, taken_by = NULL "
    "WHERE kept.expires_at <= $4::BIGINT OR (kept.taken_by IS NULL "
    "AND kept.expires_at = EXCLUDED.expires_at AND kept.box = EXCLUDED.box) "
    "RETURNING state_digest";

// $1: key, $2: taker.
constexpr const char* kTake =
    "UPDATE latchkey_pending SET taken_by = $2::BIGINT WHERE state_digest = $1 "
    "AND (taken_by IS NULL OR taken_by = $2::BIGINT) RETURNING expires_at, box";
constexpr const char* kForget = "DELETE FROM latchkey_pending WHERE state_digest = $1";

// Its age is asked of the row itself too: it may have been given free and used anew meanwhile.
constexpr const char* kDrop =
    "WITH old AS (SELECT state_digest FROM latchkey_pending WHERE expires_at <= $1::BIGINT "
    "ORDER BY expires_at LIMIT $2::BIGINT), "
    "gone AS (DELETE FROM latchkey_pending WHERE expires_at <= $1::BIGINT "
    "AND state_digest IN (SELECT state_digest FROM old) RETURNING state_digest) "
    "SELECT count(*) FROM gone";

constexpr const char* kList =
    "SELECT state_digest, expires_at, box FROM latchkey_pending WHERE taken_by IS NULL "
    "ORDER BY expires_at, state_digest";

Error malformed() {
  return make_error(
      ErrorCode::corrupt, "pending.malformed",
      "cannot read a pending login: a column does not hold what it should; begin it again");
}

Result<PendingRecord> read_pending(const PostgresRows& rows, std::size_t row, std::string_view key,
                                   int first) {
  const auto expires_at = rows.integer(row, first);
  auto box = rows.bytes(row, first + 1);
  if (!expires_at || !box || box->size() > kMaxBoxSize) return malformed();
  return PendingRecord{.key = std::string(key),
                       .expires_at = TimePoint(Duration(*expires_at)),
                       .box = *std::move(box)};
}

}  // namespace

Result<void> save_postgres_pending(PostgresDatabase& database, const PendingRecord& pending,
                                   TimePoint now) {
  if (auto fine = check_pending(pending); !fine) return fine;
  const auto rows = database.run(
      kSave,
      {PostgresValue::text(pending.key), PostgresValue::integer(postgres_time(pending.expires_at)),
       PostgresValue::bytes(pending.box), PostgresValue::integer(postgres_time(now))});
  if (!rows) return rows.error();
  if (rows->size() == 0) return pending_exists();
  return {};
}

Result<std::optional<PendingRecord>> take_postgres_pending(PostgresDatabase& database,
                                                           std::string_view key, TimePoint now) {
  if (!base64url_decode(key)) return std::optional<PendingRecord>();
  const auto taker = draw_postgres_bits(database.random());
  const auto rows =
      database.run(kTake, {PostgresValue::text(key), PostgresValue::integer(postgres_bits(taker))});
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<PendingRecord>();
  // It is ours, and nobody else's ever: that the row goes too is for tidiness, and a sweep's work
  // if it fails.
  static_cast<void>(database.run_once(kForget, {PostgresValue::text(key)}).has_value());
  auto taken = read_pending(*rows, 0, key, 0);
  if (!taken) return std::move(taken).error();
  if (now >= taken->expires_at) return std::optional<PendingRecord>();
  return std::optional(*std::move(taken));
}

Result<std::size_t> drop_postgres_pending(PostgresDatabase& database, TimePoint now) {
  const auto rows = database.run(kDrop, {PostgresValue::integer(postgres_time(now)),
                                         PostgresValue::integer(kMaxPendingDropped)});
  if (!rows) return rows.error();
  return static_cast<std::size_t>(rows->integer(0, 0).value_or(0));
}

Result<std::vector<ListedPending>> list_postgres_pending(PostgresDatabase& database) {
  const auto rows = database.run(kList);
  if (!rows) return rows.error();
  std::vector<ListedPending> listed;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    ListedPending entry{
        .name = std::string(rows->text(row, 0).value_or("")), .pending = {}, .error = {}};
    auto pending = read_pending(*rows, row, entry.name, 1);
    if (pending) {
      entry.pending = *std::move(pending);
    } else {
      entry.error = std::move(pending).error();
    }
    listed.push_back(std::move(entry));
  }
  return listed;
}

}  // namespace latchkey
