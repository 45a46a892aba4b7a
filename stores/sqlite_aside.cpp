// SPDX-License-Identifier: MIT
module;
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.sqlite_aside;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.sqlite_connection;
import latchkey.store.sqlite_schema;

namespace latchkey {
namespace {

constexpr std::string_view kRow = "row ";

// The id in "row 5"; ids are positive.
std::int64_t id_in(std::string_view name) {
  if (!name.starts_with(kRow)) return 0;
  name.remove_prefix(kRow.size());
  std::int64_t id = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), id);
  return fault == std::errc() && end == name.data() + name.size() ? id : 0;
}

std::string place_of(const std::filesystem::path& database, std::int64_t id) {
  return printable(database.native(), 300) + ", table quarantined, id " + std::to_string(id);
}

Result<std::vector<ListedClaim>> claims_in(SqliteConnection& connection) {
  auto query = connection.query(
      "SELECT subject, revision, claim_id, claimed_at, pid, host FROM claims ORDER BY subject");
  if (!query) return std::move(query).error();
  std::vector<ListedClaim> rows;
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return rows;
    std::string name(query->text_at(0).value_or("a claim without subject"));
    auto claim = read_sqlite_claim(*query, 1, name);
    ListedClaim listed{.name = std::move(name), .claim = {}, .error = {}};
    if (claim) {
      listed.claim = std::move(*claim);
    } else {
      listed.error = std::move(claim).error();
    }
    rows.push_back(std::move(listed));
  }
}

Result<std::vector<ListedPending>> pending_in(SqliteConnection& connection) {
  auto query = connection.query(
      "SELECT state_digest, expires_at, box FROM pending_logins ORDER BY expires_at");
  if (!query) return std::move(query).error();
  std::vector<ListedPending> rows;
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return rows;
    const auto key = query->text_at(0);
    const auto expires_at = query->integer_at(1);
    const auto box = query->blob_at(2);
    ListedPending listed{.name = std::string(key.value_or("a pending login without state")),
                         .pending = {},
                         .error = {}};
    if (key && expires_at && box) {
      listed.pending = PendingRecord{.key = listed.name,
                                     .expires_at = TimePoint(Duration(*expires_at)),
                                     .box = Bytes(box->begin(), box->end())};
    } else {
      listed.error = make_error(
          ErrorCode::corrupt, "pending.malformed",
          "cannot read a pending login: a column does not hold what it should; begin it again");
    }
    rows.push_back(std::move(listed));
  }
}

}  // namespace

std::string sqlite_row_name(const SqliteQuery& row, int subject_column, std::int64_t id) {
  const auto subject = row.text_at(subject_column);
  if (subject && check_subject(*subject)) return std::string(*subject);
  return std::string(kRow) + std::to_string(id);
}

Result<std::optional<SqliteRow>> find_sqlite_row(SqliteConnection& connection,
                                                 std::string_view name) {
  auto query = connection.query(kFindRecord);
  if (!query) return std::move(query).error();
  query->text(1, name).integer(2, id_in(name));
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return std::optional<SqliteRow>();
    const auto id = query->integer_at(0).value_or(0);
    if (sqlite_row_name(*query, 1, id) == name)
      return std::optional(SqliteRow{id, read_record(*query, 1)});
  }
}

Result<Quarantined> quarantine_sqlite_row(SqliteConnection& connection,
                                          const std::filesystem::path& database, std::int64_t id,
                                          Quarantined entry) {
  auto copy = connection.query(kCopyAside);
  if (!copy) return std::move(copy).error();
  copy->integer(1, id)
      .text(2, entry.name)
      .integer(3, entry.at.time_since_epoch().count())
      .text(4, entry.why);
  if (auto done = copy->run(); !done) return std::move(done).error();
  auto remove = connection.query("DELETE FROM sessions WHERE id = ?1");
  if (!remove) return std::move(remove).error();
  if (auto done = remove->integer(1, id).run(); !done) return std::move(done).error();
  const auto place = connection.integer("SELECT last_insert_rowid()");
  if (!place) return place.error();
  entry.where = place_of(database, *place);
  return entry;
}

Result<std::vector<Quarantined>> quarantined_sqlite_rows(SqliteConnection& connection,
                                                         const std::filesystem::path& database) {
  auto query =
      connection.query("SELECT id, name, quarantined_at, why FROM quarantined ORDER BY id");
  if (!query) return std::move(query).error();
  std::vector<Quarantined> entries;
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return entries;
    entries.push_back({.name = std::string(query->text_at(1).value_or("")),
                       .at = TimePoint(Duration(query->integer_at(2).value_or(0))),
                       .why = std::string(query->text_at(3).value_or("")),
                       .where = place_of(database, query->integer_at(0).value_or(0))});
  }
}

Result<RefreshClaim> read_sqlite_claim(const SqliteQuery& row, int first,
                                       std::string_view subject) {
  const auto revision = row.integer_at(first), id = row.integer_at(first + 1),
             at = row.integer_at(first + 2), pid = row.integer_at(first + 3);
  const auto host = row.text_at(first + 4);
  if (!revision || !id || !at || !pid || !host) {
    return make_error(
        ErrorCode::corrupt, "claim.malformed",
        "cannot read the refresh claim of " + printable(subject, 100) +
            ": a column does not hold what it should; restore the database from a backup");
  }
  return RefreshClaim{.subject = std::string(subject),
                      .revision = {static_cast<std::uint64_t>(*revision)},
                      .id = static_cast<std::uint64_t>(*id),
                      .at = TimePoint(Duration(*at)),
                      .pid = static_cast<int>(*pid),
                      .host = std::string(*host)};
}

Result<SideRecords> sqlite_side_records(SqliteConnection& connection) {
  auto claims = claims_in(connection);
  if (!claims) return std::move(claims).error();
  auto pending = pending_in(connection);
  if (!pending) return std::move(pending).error();
  return SideRecords{.claims = std::move(*claims), .pending = std::move(*pending)};
}

Result<std::size_t> drop_expired_sqlite_logins(SqliteConnection& connection, TimePoint now) {
  auto query = connection.query("DELETE FROM pending_logins WHERE expires_at <= ?1");
  if (!query) return std::move(query).error();
  if (auto done = query->integer(1, now.time_since_epoch().count()).run(); !done) {
    return std::move(done).error();
  }
  return static_cast<std::size_t>(query->changes());
}

Result<Swept> sweep_sqlite(SqliteConnection& connection, TimePoint now) {
  const auto pending = drop_expired_sqlite_logins(connection, now);
  if (!pending) return pending.error();
  auto query =
      connection.query("DELETE FROM claims WHERE subject NOT IN (SELECT subject FROM sessions)");
  if (!query) return std::move(query).error();
  if (auto done = query->run(); !done) return std::move(done).error();
  return Swept{.pending = *pending, .others = static_cast<std::size_t>(query->changes())};
}

}  // namespace latchkey
