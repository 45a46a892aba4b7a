// SPDX-License-Identifier: MIT
module;
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.sqlite;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.nonce_files;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.sqlite_aside;
import latchkey.store.sqlite_connection;
import latchkey.store.sqlite_place;
import latchkey.store.sqlite_schema;
import latchkey.store.staging;
import latchkey.store.vault;

namespace latchkey {
namespace {

using Path = std::filesystem::path;

constexpr std::chrono::seconds kOpenPatience{30};
// More than the pages that a save touches beside the record's own.
constexpr std::size_t kRoomMargin = 64 * 1024;

// A connection of its own for readers, who need not wait while a save waits for the disk.
struct GuardedConnection {
  explicit GuardedConnection(std::unique_ptr<SqliteConnection> opened)
      : connection(std::move(opened)) {}
  std::mutex mutex;
  std::unique_ptr<SqliteConnection> connection;
};

struct Parts {
  Path database;
  std::shared_ptr<FileSystem> files;
  std::shared_ptr<Clock> clock;
  std::shared_ptr<LockFile> locks;
  NonceFiles nonces;
  std::unique_ptr<SqliteConnection> writer;
  std::unique_ptr<SqliteConnection> reader;
};

class SqliteStore final : public OAuthTokenStore, public std::enable_shared_from_this<SqliteStore> {
 public:
  SqliteStore(std::shared_ptr<Sealer> sealer, Parts parts)
      : OAuthTokenStore(std::move(sealer)),
        database_(std::move(parts.database)),
        files_(std::move(parts.files)),
        clock_(std::move(parts.clock)),
        locks_(std::move(parts.locks)),
        nonces_(std::move(parts.nonces)),
        writer_(std::move(parts.writer)),
        reader_(std::move(parts.reader)) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override;
  Result<void> reserve_room(std::string_view subject, std::size_t size) override;
  void release_room(std::string_view subject) noexcept override;
  Result<void> save_claim(const RefreshClaim& claim) override;
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override;

  Result<SideRecords> side_records() override;
  Result<Swept> sweep(TimePoint now) override;
  Result<Quarantined> quarantine(std::string_view name) override;
  Result<std::vector<Quarantined>> quarantined() override;

  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override {
    return nonces_.load(origin, jkt);
  }
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override {
    nonces_.save(origin, jkt, nonce);
  }
  std::uint64_t change_count(std::string_view subject) const noexcept override {
    return locks_->change_count(subject);
  }

 private:
  [[nodiscard]] Path room_path(std::string_view subject) const {
    return beside_sqlite(database_, ".room-" + hex_encode(sha256(subject)));
  }
  // Each of these is called with the writer's mutex held.
  using Room = std::unique_ptr<StagedFile>;
  Result<void> write(const SealedRecord& record, Revision expected, Room* room);
  Result<bool> put(const SealedRecord& record, Revision expected);
  Result<SaveVerdict> judge(const SealedRecord& record, Revision expected);
  Result<std::optional<Revision>> stored_revision(std::string_view subject);
  Result<void> forget(const char* sql, std::string_view subject);

  Path database_;
  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LockFile> locks_;
  NonceFiles nonces_;
  GuardedConnection writer_;
  GuardedConnection reader_;
  // Guarded by the writer's mutex. No file: its room is in the log alone.
  std::map<std::string, Room, std::less<>> rooms_;
};

constexpr const char* kDeleteRoom = "DELETE FROM rooms WHERE subject = ?1";
constexpr const char* kDeleteClaim = "DELETE FROM claims WHERE subject = ?1";
constexpr const char* kDeleteSession = "DELETE FROM sessions WHERE subject = ?1";

// Records
// ---------------------------------------------------------------------------------------------------------

Result<std::optional<SealedRecord>> SqliteStore::load_record(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const std::lock_guard guard(reader_.mutex);
  auto query = reader_.connection->query(kSelectRecord);
  if (!query) return std::move(query).error();
  const auto row = query->text(1, subject).step();
  if (!row) return row.error();
  if (!*row) return std::optional<SealedRecord>();
  auto record = read_record(*query, 0);
  if (!record) return std::move(record).error();
  return std::optional<SealedRecord>(std::move(*record));
}

Result<std::optional<Revision>> SqliteStore::stored_revision(std::string_view subject) {
  auto query = writer_.connection->query("SELECT revision FROM sessions WHERE subject = ?1");
  if (!query) return std::move(query).error();
  const auto row = query->text(1, subject).step();
  if (!row) return row.error();
  if (!*row) return std::optional<Revision>();
  const auto revision = query->integer_at(0);
  if (revision) return std::optional(Revision{static_cast<std::uint64_t>(*revision)});
  return make_error(ErrorCode::corrupt, "sqlite.column",
                    "cannot read the revision of the session of " + printable(subject, 100) +
                        ": the column does not hold a number; restore the database from a backup");
}

// True if a row was written.
Result<bool> SqliteStore::put(const SealedRecord& record, Revision expected) {
  auto query = writer_.connection->query(expected.is_none() ? kInsertRecord : kUpdateRecord);
  if (!query) return std::move(query).error();
  bind_record(*query, record);
  if (!expected.is_none()) {
    query->integer(kRecordColumns + 1, static_cast<std::int64_t>(expected.value));
  }
  if (auto run = query->run(); !run) return std::move(run).error();
  return query->changes() == 1;
}

// The compare lies in the statement that swaps; what the stored revision is matters only when it
// did not.
Result<SaveVerdict> SqliteStore::judge(const SealedRecord& record, Revision expected) {
  const auto stored = stored_revision(record.summary.subject);
  if (!stored) return stored.error();
  const auto verdict = judge_save(*stored, expected, record.summary.revision);
  return verdict == SaveVerdict::already_saved ? verdict : SaveVerdict::conflict;
}

Result<void> SqliteStore::forget(const char* sql, std::string_view subject) {
  auto query = writer_.connection->query(sql);
  if (!query) return std::move(query).error();
  return query->text(1, subject).run();
}

Result<void> SqliteStore::save_record(const SealedRecord& record, Revision expected) {
  if (auto fine = check_record(record); !fine) return fine;
  const auto& subject = record.summary.subject;
  const std::lock_guard guard(writer_.mutex);
  auto written = write(record, expected, nullptr);
  const auto room = rooms_.find(subject);
  if (!written && written.error().code == ErrorCode::io && room != rooms_.end() && room->second)
    written = write(record, expected, &room->second);
  if (!written) return written;
  rooms_.erase(subject);
  locks_->announce_change(subject);
  return {};
}

// With `room` that file's blocks are what the record is written to: given back while we are the
// only writer, so that no other one gets them. Its row then stays, for deleting would need room
// too.
Result<void> SqliteStore::write(const SealedRecord& record, Revision expected, Room* room) {
  const auto& subject = record.summary.subject;
  auto transaction = SqliteTransaction::begin(*writer_.connection);
  if (!transaction) return std::move(transaction).error();
  if (room != nullptr) {
    room->reset();
  } else if (auto done = forget(kDeleteRoom, subject); !done) {
    return done;  // first, so that the record finds its pages free
  }
  if (auto done = forget(kDeleteClaim, subject); !done) return done;
  const auto written = put(record, expected);
  if (!written) return written.error();
  if (!*written) {
    const auto verdict = judge(record, expected);
    if (!verdict) return verdict.error();
    if (*verdict == SaveVerdict::conflict) return save_conflict(subject);
  }
  return transaction->commit();
}

Result<void> SqliteStore::remove(std::string_view subject, Revision expected) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const std::lock_guard guard(writer_.mutex);
  {
    auto transaction = SqliteTransaction::begin(*writer_.connection);
    if (!transaction) return std::move(transaction).error();
    const auto stored = stored_revision(subject);
    if (!stored) return stored.error();
    if (*stored && **stored != expected) return remove_conflict(subject);
    for (const auto* sql : {kDeleteSession, kDeleteClaim, kDeleteRoom}) {
      if (auto done = forget(sql, subject); !done) return done;
    }
    if (auto done = transaction->commit(); !done) return done;
  }
  locks_->announce_change(subject);
  static_cast<void>(files_->remove(room_path(subject)));  // holds nothing, and may not be there
  // The box still lies in the log; it is gone with it, unless another process is reading right now.
  static_cast<void>(writer_.connection->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  return {};
}

std::optional<std::int64_t> read_position(std::string_view text) {
  std::int64_t id = 0;
  if (text.empty()) return id;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

ListedSession listed(const SqliteQuery& row, std::int64_t id) {
  auto record = read_record(row, 1);
  if (record) {
    auto name = record->summary.subject;
    return {.name = std::move(name),
            .summary = std::move(record->summary),
            .error = {},
            .sealed_with = sealed_with(record->box)};
  }
  return {.name = sqlite_row_name(row, 1, id), .summary = {}, .error = std::move(record).error()};
}

Result<SessionPage> SqliteStore::list(std::string_view cursor, std::size_t limit) {
  if (auto fine = check_list_limit(limit); !fine) return std::move(fine).error();
  const auto text = read_cursor(cursor);
  if (!text) return text.error();
  const auto after = read_position(*text);
  if (!after) return cursor_error();
  const std::lock_guard guard(reader_.mutex);
  auto query = reader_.connection->query(kListRecords);
  if (!query) return std::move(query).error();
  query->integer(1, *after).integer(2, static_cast<std::int64_t>(limit + 1));
  SessionPage page;
  std::int64_t last = 0;
  for (;;) {
    const auto row = query->step();
    if (!row) return row.error();
    if (!*row) return page;
    if (page.sessions.size() == limit) break;
    last = query->integer_at(0).value_or(0);
    page.sessions.push_back(listed(*query, last));
  }
  page.next = make_cursor(std::to_string(last));
  return page;
}

// Lease, room and claim
// -------------------------------------------------------------------------------------------

Result<std::unique_ptr<Lease>> SqliteStore::lease(std::string_view subject, const LockWait& wait) {
  return take_local_lease(
      *locks_, subject, wait,
      [store = shared_from_this(), name = std::string(subject)] { store->release_room(name); });
}

// What a save needs is room in the log. A row of zeros, written twice, makes the log longer than
// the save will be, and a checkpoint then lets the next writer begin at its start. Other writers
// can use that up, also those that then find no room of their own; so there is a file as well.
Result<void> SqliteStore::reserve_room(std::string_view subject, std::size_t size) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const std::lock_guard guard(writer_.mutex);
  auto& connection = *writer_.connection;
  const auto bytes = static_cast<std::int64_t>(size + kRoomMargin);
  for (const auto* sql : {"INSERT OR REPLACE INTO rooms (subject, room) VALUES (?1, zeroblob(?2))",
                          "UPDATE rooms SET room = zeroblob(?2 + 1) WHERE subject = ?1"}) {
    auto query = connection.query(sql);
    if (!query) return std::move(query).error();
    if (auto done = query->text(1, subject).integer(2, bytes).run(); !done) return done;
    rooms_.insert_or_assign(std::string(subject), nullptr);
  }
  if (auto done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)"); !done) return done;
  auto staged = stage_owned(files_, room_path(subject), static_cast<std::size_t>(bytes));
  if (!staged) return std::move(staged).error();
  rooms_.insert_or_assign(std::string(subject), *std::move(staged));
  return {};
}

// What fails here is made good by the next save, reservation or removal of this subject.
void SqliteStore::release_room(std::string_view subject) noexcept {
  const std::lock_guard guard(writer_.mutex);
  const auto found = rooms_.find(subject);
  if (found == rooms_.end()) return;
  static_cast<void>(forget(kDeleteRoom, subject));
  rooms_.erase(found);
}

Result<void> SqliteStore::save_claim(const RefreshClaim& claim) {
  if (auto fine = check_subject(claim.subject); !fine) return fine;
  const std::lock_guard guard(writer_.mutex);
  auto query = writer_.connection->query(
      "INSERT OR REPLACE INTO claims (subject, revision, claim_id, claimed_at, pid, host) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  if (!query) return std::move(query).error();
  return query->text(1, claim.subject)
      .integer(2, static_cast<std::int64_t>(claim.revision.value))
      .integer(3, static_cast<std::int64_t>(claim.id))
      .integer(4, claim.at.time_since_epoch().count())
      .integer(5, claim.pid)
      .text(6, claim.host)
      .run();
}

Result<std::optional<RefreshClaim>> SqliteStore::load_claim(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const std::lock_guard guard(reader_.mutex);
  auto query = reader_.connection->query(
      "SELECT revision, claim_id, claimed_at, pid, host FROM claims WHERE subject = ?1");
  if (!query) return std::move(query).error();
  const auto row = query->text(1, subject).step();
  if (!row) return row.error();
  if (!*row) return std::optional<RefreshClaim>();
  auto claim = read_sqlite_claim(*query, 0, subject);
  if (!claim) return std::move(claim).error();
  return std::optional(std::move(*claim));
}

Result<void> SqliteStore::clear_claim(std::string_view subject, std::uint64_t id) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const std::lock_guard guard(writer_.mutex);
  auto query = writer_.connection->query("DELETE FROM claims WHERE subject = ?1 AND claim_id = ?2");
  if (!query) return std::move(query).error();
  return query->text(1, subject).integer(2, static_cast<std::int64_t>(id)).run();
}

Result<Swept> SqliteStore::sweep(TimePoint now) {
  const std::lock_guard guard(writer_.mutex);
  return sweep_sqlite(*writer_.connection, now);
}

// Pending logins
// --------------------------------------------------------------------------------------------------

Result<void> SqliteStore::save_pending(const PendingRecord& pending, TimePoint now) {
  if (auto fine = check_pending(pending); !fine) return fine;
  const std::lock_guard guard(writer_.mutex);
  auto transaction = SqliteTransaction::begin(*writer_.connection);
  if (!transaction) return std::move(transaction).error();
  if (auto dropped = drop_expired_sqlite_logins(*writer_.connection, now); !dropped) {
    return std::move(dropped).error();
  }
  auto query = writer_.connection->query(
      "INSERT INTO pending_logins (state_digest, expires_at, box) VALUES (?1, ?2, ?3) "
      "ON CONFLICT (state_digest) DO NOTHING");
  if (!query) return std::move(query).error();
  query->text(1, pending.key).integer(2, pending.expires_at.time_since_epoch().count());
  if (auto done = query->blob(3, pending.box).run(); !done) return done;
  if (query->changes() == 0) return pending_exists();
  return transaction->commit();
}

Result<std::optional<PendingRecord>> SqliteStore::take_pending(std::string_view key,
                                                               TimePoint now) {
  const std::lock_guard guard(writer_.mutex);
  auto transaction = SqliteTransaction::begin(*writer_.connection);
  if (!transaction) return std::move(transaction).error();
  std::optional<PendingRecord> taken;
  {
    auto query = writer_.connection->query(
        "DELETE FROM pending_logins WHERE state_digest = ?1 RETURNING expires_at, box");
    if (!query) return std::move(query).error();
    const auto row = query->text(1, key).step();
    if (!row) return row.error();
    if (!*row) return taken;
    const auto expires_at = query->integer_at(0);
    const auto box = query->blob_at(1);
    if (!expires_at || !box) {
      return make_error(
          ErrorCode::corrupt, "pending.malformed",
          "cannot read a pending login: a column does not hold what it should; begin it again");
    }
    taken = PendingRecord{std::string(key), TimePoint(Duration(*expires_at)),
                          Bytes(box->begin(), box->end())};
    if (auto rest = query->run(); !rest) return std::move(rest).error();
  }
  // Gone for good before anybody uses it.
  if (auto done = transaction->commit(); !done) return std::move(done).error();
  if (now >= taken->expires_at) taken.reset();
  return taken;
}

// What lies beside, and aside
// ------------------------------------------------------------------------------------------

Result<SideRecords> SqliteStore::side_records() {
  const std::lock_guard guard(reader_.mutex);
  return sqlite_side_records(*reader_.connection);
}

Result<Quarantined> SqliteStore::quarantine(std::string_view name) {
  const std::lock_guard guard(writer_.mutex);
  auto transaction = SqliteTransaction::begin(*writer_.connection);
  if (!transaction) return std::move(transaction).error();
  const auto row = find_sqlite_row(*writer_.connection, name);
  if (!row) return row.error();
  if (!*row) return no_such_record(name);
  const auto& record = (*row)->record;
  const auto readable = record ? check_readable(*record) : Result<void>(record.error());
  if (readable) return record_is_readable(name);
  if (!is_unreadable(readable.error())) return readable.error();
  auto entry = quarantine_sqlite_row(*writer_.connection, database_, (*row)->id,
                                     {.name = std::string(name),
                                      .at = clock_->now(),
                                      .why = readable.error().detail,
                                      .where = {}});
  if (!entry) return entry;
  if (auto done = transaction->commit(); !done) return std::move(done).error();
  locks_->announce_change(name);
  return entry;
}

Result<std::vector<Quarantined>> SqliteStore::quarantined() {
  const std::lock_guard guard(reader_.mutex);
  return quarantined_sqlite_rows(*reader_.connection, database_);
}

}  // namespace

// Opening
// ---------------------------------------------------------------------------------------------------------

Result<std::shared_ptr<OAuthTokenStore>> SqliteOAuthTokenStore::open(
    const std::filesystem::path& database, std::shared_ptr<Sealer> sealer,
    SqliteStoreOptions options) {
  const auto files = options.files ? options.files : posix_file_system();
  const auto clock = options.clock ? options.clock : std::make_shared<SystemClock>();
  const auto path = place_sqlite_database(*files, database);
  if (!path) return path.error();
  auto locks = LockFile::open(beside_sqlite(*path, ".lock"), clock);
  if (!locks) return std::move(locks).error();
  const auto nonces = beside_sqlite(*path, ".nonces");
  if (auto made = files->make_folder(nonces); !made) return std::move(made).error();
  // One at a time, in all processes and threads: see check_sqlite_files for why nobody may make the
  // file while another has it open.
  const auto whole =
      (*locks)->acquire(LockKind::whole, "", {.deadline = clock->steady_now() + kOpenPatience});
  if (!whole) return whole.error();
  if (auto checked = check_sqlite_files(*files, *path); !checked) return std::move(checked).error();
  std::error_code fault;
  if (!std::filesystem::exists(std::filesystem::symlink_status(*path, fault))) {
    if (auto created = create_sqlite_database(files, *path); !created)
      return std::move(created).error();
  }
  auto writer = open_sqlite_database(*path);
  if (!writer) return std::move(writer).error();
  auto reader = open_sqlite_database(*path);
  if (!reader) return std::move(reader).error();
  if (auto checked = check_sqlite_files(*files, *path); !checked) return std::move(checked).error();
  return std::shared_ptr<OAuthTokenStore>(std::make_shared<SqliteStore>(
      std::move(sealer),
      Parts{*path, files, clock, *locks, NonceFiles(files, clock, *locks, nonces),
            std::move(*writer), std::move(*reader)}));
}

}  // namespace latchkey
