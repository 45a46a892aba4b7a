// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.postgres.aside;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store.backend;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.records;
import latchkey.store.quarantine;
import latchkey.store.record;

namespace latchkey {
namespace {

constexpr const char* kIsAside = "SELECT count(*) FROM latchkey_quarantined WHERE id = $1";
constexpr const char* kListAside =
    "SELECT id, name, quarantined_at, why FROM latchkey_quarantined ORDER BY quarantined_at, id";
constexpr int kRevisionColumn = 1;
constexpr int kBoxColumn = 23;

// Each time the row is found changed, somebody else has got on with it.
constexpr int kAttempts = 5;

std::string place_of(std::int64_t id) {
  return "table latchkey_quarantined, id " + std::to_string(id);
}

// A row that is to be moved, as it was seen.
struct Seen {
  std::string subject;
  std::int64_t revision = 0;
  Bytes box;
  std::string why;
};

// Errors: those of OAuthTokenStore::quarantine.
Result<Seen> look_at(PostgresDatabase& database, std::string_view name,
                     const std::function<Result<void>(const SealedRecord&)>& readable) {
  const std::string hidden = subject_in_row_name(name).value_or(std::string(name));
  if (!is_utf8(name) || !is_utf8(hidden)) return no_such_record(name);
  const auto rows =
      database.run(kPostgresFind, {PostgresValue::text(name), PostgresValue::text(hidden)});
  if (!rows) return rows.error();
  for (std::size_t row = 0; row < rows->size(); ++row) {
    const std::string subject(rows->text(row, 0).value_or(""));
    if (postgres_row_name(subject) != name) continue;
    const auto record = read_postgres_record(*rows, row);
    const auto fine = record ? readable(*record) : Result<void>(record.error());
    if (fine) return record_is_readable(name);
    if (!is_unreadable(fine.error())) return fine.error();
    return Seen{.subject = subject,
                .revision = rows->integer(row, kRevisionColumn).value_or(0),
                .box = rows->bytes(row, kBoxColumn).value_or(Bytes()),
                .why = fine.error().detail};
  }
  return no_such_record(name);
}

// False: the row is not as it was seen any more.
Result<bool> move_aside(PostgresDatabase& database, std::int64_t id, const Seen& seen,
                        const Quarantined& entry) {
  const auto moved = database.run(
      kPostgresMoveAside,
      {PostgresValue::text(seen.subject), PostgresValue::integer(seen.revision),
       PostgresValue::bytes(seen.box), PostgresValue::integer(id), PostgresValue::text(entry.name),
       PostgresValue::integer(postgres_time(entry.at)), PostgresValue::text(entry.why)});
  if (!moved) return moved.error();
  if (moved->integer(0, 0) == 1) return true;
  const auto there = database.run(kIsAside, {PostgresValue::integer(id)});
  if (!there) return there.error();
  return there->integer(0, 0) == 1;  // by an attempt whose answer was lost
}

}  // namespace

Result<Quarantined> quarantine_postgres_record(
    PostgresDatabase& database, std::string_view name,
    const std::function<Result<void>(const SealedRecord&)>& readable) {
  const std::int64_t id = postgres_bits(draw_postgres_bits(database.random()) >> 1);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto seen = look_at(database, name, readable);
    if (!seen) return seen.error();
    Quarantined entry{.name = std::string(name),
                      .at = database.clock().now(),
                      .why = seen->why,
                      .where = place_of(id)};
    const auto moved = move_aside(database, id, *seen, entry);
    if (!moved) return moved.error();
    if (*moved) return entry;
  }
  return make_error(ErrorCode::locked, "store.busy",
                    "cannot move the record " + printable(name, 200) +
                        " aside: others keep changing it; try again later");
}

Result<std::vector<Quarantined>> quarantined_postgres_records(PostgresDatabase& database) {
  const auto rows = database.run(kListAside);
  if (!rows) return rows.error();
  std::vector<Quarantined> entries;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    entries.push_back({.name = std::string(rows->text(row, 1).value_or("")),
                       .at = TimePoint(Duration(rows->integer(row, 2).value_or(0))),
                       .why = std::string(rows->text(row, 3).value_or("")),
                       .where = place_of(rows->integer(row, 0).value_or(0))});
  }
  return entries;
}

}  // namespace latchkey
