// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.postgres.vault_shelf;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.records;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.place;
import latchkey.store.vault.sealed_keys;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

using Value = PostgresValue;

constexpr std::chrono::seconds kStaleness{1};
constexpr std::size_t kNamesPage = 5000;
constexpr std::size_t kBytesPage = 500;
constexpr std::string_view kAside = "table latchkey_quarantined_keys";

// The bounds are kMaxHeaderSize and kMaxSealedKeySize: what is larger is not even fetched.
constexpr const char* kReadHeader =
    "SELECT CASE WHEN octet_length(header) <= 4096 THEN header END "
    "FROM latchkey_vault WHERE only_row = 1";
constexpr const char* kReadKey =
    "SELECT CASE WHEN octet_length(box) <= 17408 THEN box END FROM latchkey_keys WHERE id = $1";
constexpr const char* kListKeys =
    "SELECT id, stored_at, CASE WHEN octet_length(box) <= 17408 THEN box END "
    "FROM latchkey_keys WHERE id > $1 ORDER BY id LIMIT 500";
static_assert(kMaxHeaderSize == 4096 && kMaxSealedKeySize == 17408 && kBytesPage == 500);
constexpr const char* kListNames =
    "SELECT id, stored_at FROM latchkey_keys WHERE id > $1 ORDER BY id LIMIT 5000";
static_assert(kNamesPage == 5000);

constexpr const char* kReadChanges = "SELECT changes FROM latchkey_vault WHERE only_row = 1";
constexpr const char* kInsertHeader =
    "INSERT INTO latchkey_vault (only_row, header, changes) VALUES (1, $1, 1) "
    "ON CONFLICT (only_row) DO NOTHING";
// Carried out a second time it finds its own header, and that counts as well.
constexpr const char* kReplaceHeader =
    "UPDATE latchkey_vault SET header = $2, changes = changes + CASE WHEN header = $2 THEN 0 ELSE "
    "1 END WHERE only_row = 1 AND header IN ($1, $2)";
constexpr const char* kReadNote =
    "SELECT CASE WHEN octet_length(rotation) <= 256 THEN rotation END "
    "FROM latchkey_vault WHERE only_row = 1";
constexpr const char* kWriteNote = "UPDATE latchkey_vault SET rotation = $1 WHERE only_row = 1";

constexpr const char* kAddKey =
    "INSERT INTO latchkey_keys (id, box, stored_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO "
    "NOTHING";
constexpr const char* kReplaceKey =
    "UPDATE latchkey_keys SET box = $3, stored_at = $4 WHERE id = $1 AND box IN ($2, $3)";
constexpr const char* kRemoveKey = "DELETE FROM latchkey_keys WHERE id = $1";
constexpr const char* kCountKeys = "SELECT count(*) FROM latchkey_keys";

constexpr const char* kMoveAside =
    "WITH taken AS (DELETE FROM latchkey_keys WHERE id = $1 AND (box = CAST($2 AS BYTEA) OR "
    "(CAST($2 AS BYTEA) IS NULL AND octet_length(box) > 17408)) RETURNING id, box) "
    "INSERT INTO latchkey_quarantined_keys (row_id, id, quarantined_at, why, box) "
    "SELECT CAST($3 AS BIGINT), id, CAST($4 AS BIGINT), CAST($5 AS TEXT), box FROM taken";
constexpr const char* kWasMovedAside = "SELECT 1 FROM latchkey_quarantined_keys WHERE row_id = $1";
constexpr const char* kListAside =
    "SELECT id, quarantined_at, why FROM latchkey_quarantined_keys ORDER BY quarantined_at, row_id";

VaultSeams seams_of(const PostgresDatabase& database) {
  return {.files = posix_file_system(),
          .random = database.options().random,
          .clock = database.options().clock};
}

TimePoint time_in(const PostgresRows& rows, std::size_t row, int column) {
  return TimePoint(Duration(rows.integer(row, column).value_or(0)));
}

std::string text_in(const PostgresRows& rows, std::size_t row, int column) {
  return std::string(rows.text(row, column).value_or(""));
}

Error too_large(std::string_view id) {
  return make_error(ErrorCode::corrupt, "vault.key_altered",
                    "cannot read the key " + std::string(id) +
                        ": it is larger than any key; restore it from a copy, or log in again");
}

// Whether a change was carried out, by the rows that it touched.
Result<bool> changed(const Result<PostgresRows>& done) {
  if (!done) return done.error();
  return done->affected() > 0;
}

Result<void> carried_out(const Result<PostgresRows>& done) {
  if (!done) return done.error();
  return {};
}

}  // namespace

PostgresShelf::PostgresShelf(std::shared_ptr<PostgresDatabase> database)
    : VaultShelf(seams_of(*database)), database_(std::move(database)) {}

std::string PostgresShelf::where() const {
  return "the database";
}

Result<void> PostgresShelf::accepts(const MasterKey& master) const {
  if (master.kind() != MasterKey::Kind::keychain) return {};
  return cannot_open(ErrorCode::invalid_argument, "vault.keychain_for_fleet",
                     "a keychain belongs to one machine, and a database to many; use a key file, a "
                     "command or a passphrase");
}

Result<std::unique_ptr<HeldLock>> PostgresShelf::lock() {
  return std::unique_ptr<HeldLock>();
}

Result<std::optional<Bytes>> PostgresShelf::peek_header(PostgresDatabase& database) {
  const auto rows = database.run(kReadHeader);
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<Bytes>();
  auto header = rows->bytes(0, 0);
  if (header) return header;
  return cannot_open(ErrorCode::corrupt, "vault.header_altered",
                     "its header in the database is larger than any; restore it from a copy");
}

Result<std::optional<Bytes>> PostgresShelf::read_header() {
  return peek_header(*database_);
}

// The insertion, carried out a second time, says that there is a header: its own, as the caller
// finds when it reads it.
Result<bool> PostgresShelf::replace_header(const std::optional<Bytes>& before,
                                           std::span<const unsigned char> after) {
  auto replaced =
      changed(before ? database_->run(kReplaceHeader, {Value::bytes(*before), Value::bytes(after)})
                     : database_->run(kInsertHeader, {Value::bytes(after)}));
  announce_header();
  return replaced;
}

bool PostgresShelf::take_turn_to_look() {
  const std::scoped_lock lock(mutex_);
  if (is_looking_ || database_->clock().steady_now() < next_look_) return false;
  is_looking_ = true;
  next_look_ = database_->clock().steady_now() + kStaleness;
  return true;
}

std::optional<std::uint64_t> PostgresShelf::header_changes() {
  if (!take_turn_to_look()) {
    const std::scoped_lock lock(mutex_);
    return changes_;
  }
  const auto rows = database_->run(kReadChanges);
  const auto counted = rows && rows->size() == 1 ? rows->integer(0, 0) : std::nullopt;
  const std::scoped_lock lock(mutex_);
  changes_.reset();
  if (counted) changes_ = static_cast<std::uint64_t>(*counted);
  is_looking_ = false;
  return changes_;
}

void PostgresShelf::announce_header() noexcept {
  const std::scoped_lock lock(mutex_);
  next_look_ = std::chrono::steady_clock::time_point::min();
}

Result<std::optional<Bytes>> PostgresShelf::read_note() {
  const auto rows = database_->run(kReadNote);
  if (!rows) return rows.error();
  return rows->size() == 0 ? std::nullopt : rows->bytes(0, 0);
}

Result<void> PostgresShelf::write_note(std::span<const unsigned char> note) {
  return carried_out(database_->run(kWriteNote, {Value::bytes(note)}));
}

Result<std::optional<Bytes>> PostgresShelf::read_key(std::string_view id) {
  const auto rows = database_->run(kReadKey, {Value::text(id)});
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<Bytes>();
  auto bytes = rows->bytes(0, 0);
  if (bytes) return bytes;
  return too_large(id);
}

Result<bool> PostgresShelf::add_key(std::string_view id, std::span<const unsigned char> bytes) {
  return changed(
      database_->run(kAddKey, {Value::text(id), Value::bytes(bytes),
                               Value::integer(postgres_time(database_->clock().now()))}));
}

Result<std::vector<bool>> PostgresShelf::replace_keys(std::span<const KeyChange> changes) {
  std::vector<bool> replaced;
  const auto now = Value::integer(postgres_time(database_->clock().now()));
  auto done = database_->transaction([&](PostgresConnection& connection) -> Result<void> {
    replaced.clear();
    for (const KeyChange& change : changes) {
      const auto one =
          changed(connection.run(kReplaceKey, {Value::text(change.id), Value::bytes(change.before),
                                               Value::bytes(change.after), now}));
      if (!one) return one.error();
      replaced.push_back(*one);
    }
    return {};
  });
  if (!done) return std::move(done).error();
  return replaced;
}

Result<void> PostgresShelf::remove_key(std::string_view id) {
  return carried_out(database_->run(kRemoveKey, {Value::text(id)}));
}

Result<KeyPage> PostgresShelf::list_keys(std::string_view after, KeyPart part) {
  const bool with_bytes = part == KeyPart::bytes;
  const auto rows = database_->run(with_bytes ? kListKeys : kListNames, {Value::text(after)});
  if (!rows) return rows.error();
  KeyPage page{.keys = {}, .is_last = rows->size() < (with_bytes ? kBytesPage : kNamesPage)};
  page.keys.reserve(rows->size());
  for (std::size_t row = 0; row < rows->size(); ++row) {
    page.keys.push_back(
        {.info = {.id = text_in(*rows, row, 0), .stored_at = time_in(*rows, row, 1)},
         .bytes = with_bytes ? rows->bytes(row, 2) : std::nullopt});
  }
  return page;
}

Result<std::size_t> PostgresShelf::count_keys() {
  const auto rows = database_->run(kCountKeys);
  if (!rows) return rows.error();
  return static_cast<std::size_t>(rows->integer(0, 0).value_or(0));
}

Result<std::optional<Quarantined>> PostgresShelf::move_aside(std::string_view id,
                                                             const std::optional<Bytes>& before,
                                                             std::string_view why) {
  Quarantined entry{.name = std::string(id),
                    .at = database_->clock().now(),
                    .why = std::string(why),
                    .where = std::string(kAside)};
  const auto row = Value::integer(postgres_bits(draw_postgres_bits(database_->random())));
  auto moved = changed(
      database_->run(kMoveAside, {Value::text(id), before ? Value::bytes(*before) : Value::null(),
                                  row, Value::integer(postgres_time(entry.at)), Value::text(why)}));
  if (!moved) return std::move(moved).error();
  if (*moved) return std::optional(std::move(entry));
  // Carried out a second time it finds nothing to move.
  const auto found = database_->run(kWasMovedAside, {row});
  if (!found) return found.error();
  return found->size() > 0 ? std::optional(std::move(entry)) : std::nullopt;
}

Result<std::vector<Quarantined>> PostgresShelf::aside() {
  const auto rows = database_->run(kListAside);
  if (!rows) return rows.error();
  std::vector<Quarantined> entries;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    entries.push_back({.name = text_in(*rows, row, 0),
                       .at = time_in(*rows, row, 1),
                       .why = text_in(*rows, row, 2),
                       .where = std::string(kAside)});
  }
  return entries;
}

}  // namespace latchkey
