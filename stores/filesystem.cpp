// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.filesystem;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.file_names;
import latchkey.store.file_rooms;
import latchkey.store.nonce_files;
import latchkey.store.pending_files;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.record_file;
import latchkey.store.staging;
import latchkey.store.vault;

namespace latchkey {
namespace {

using Path = std::filesystem::path;

constexpr std::string_view kFolderNotSynced = "io.folder_not_synced";
constexpr std::chrono::seconds kQuarantinePatience{10};

struct Folders {
  explicit Folders(const Path& folder)
      : root(folder),
        sessions(folder / "sessions"),
        claims(folder / "claims"),
        pending(folder / "pending"),
        nonces(folder / "nonces"),
        quarantine(folder / "quarantine"),
        marker(folder / "format.json"),
        locks(folder / "store.lock") {}
  Path root, sessions, claims, pending, nonces, quarantine, marker, locks;
};

class FileStore final : public OAuthTokenStore {
 public:
  FileStore(std::shared_ptr<Sealer> sealer, std::shared_ptr<FileSystem> files,
            std::shared_ptr<Clock> clock, std::shared_ptr<LockFile> locks, Folders at)
      : OAuthTokenStore(std::move(sealer)),
        files_(std::move(files)),
        clock_(std::move(clock)),
        locks_(std::move(locks)),
        at_(std::move(at)),
        nonces_(files_, clock_, locks_, at_.nonces),
        pending_(files_, clock_, locks_, at_.pending),
        quarantine_(files_, clock_, at_.quarantine) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override;
  Result<void> reserve_room(std::string_view subject, std::size_t size) override;
  void release_room(std::string_view subject) noexcept override { rooms_->take(subject, 0); }
  Result<void> save_claim(const RefreshClaim& claim) override;
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;
  Result<SideRecords> side_records() override;
  Result<Swept> sweep(TimePoint now) override;
  Result<Quarantined> quarantine(std::string_view name) override;
  Result<std::vector<Quarantined>> quarantined() override { return quarantine_.list(); }

  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override {
    return pending_.save(pending, now);
  }
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    return pending_.take(key, now);
  }
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
  [[nodiscard]] Path session_path(std::string_view subject) const {
    return at_.sessions / session_file_name(subject);
  }
  [[nodiscard]] Path claim_path(std::string_view subject) const {
    return at_.claims / session_file_name(subject);
  }

  Result<std::optional<SecretBytes>> read_private(const Path& path) {
    if (auto checked = files_->check_private(path); !checked) return std::move(checked).error();
    return files_->read(path, kMaxRecordFile);
  }
  Result<std::optional<SealedRecord>> read_record(const Path& path);
  Result<std::optional<RefreshClaim>> read_claim(const Path& path);
  Result<std::optional<Path>> listed_file(std::string_view name);
  Result<std::optional<Revision>> stored_revision(std::string_view subject);
  Result<void> write_record(std::string_view subject, std::string_view text);
  Result<void> write_under_lock(const Path& target, std::string_view subject,
                                std::string_view text);
  Result<void> remove_files(std::string_view subject);
  std::optional<ListedSession> listed(const FolderEntry& entry);

  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LockFile> locks_;
  Folders at_;
  std::shared_ptr<HeldRooms> rooms_ = std::make_shared<HeldRooms>();
  NonceFiles nonces_;
  PendingFiles pending_;
  QuarantineFolder quarantine_;
};

// Records
// ---------------------------------------------------------------------------------------------------------

Result<std::optional<SealedRecord>> FileStore::read_record(const Path& path) {
  const auto bytes = read_private(path);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<SealedRecord>();
  auto record = decode_record_file(as_text((*bytes)->expose()));
  if (record) {
    if (session_file_name(record->summary.subject) == path.filename().native()) {
      return std::optional<SealedRecord>(std::move(*record));
    }
    return make_error(
        ErrorCode::corrupt, "record.subject_mismatch",
        "cannot read " + printable(path.native(), 300) + ": it holds the session of " +
            printable(record->summary.subject, 100) +
            ", which belongs into another file; restore it from a backup, or remove it and log in");
  }
  auto error = std::move(record).error();
  error.message += " (" + printable(path.native(), 300) + ')';
  return error;
}

Result<std::optional<SealedRecord>> FileStore::load_record(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  return read_record(session_path(subject));
}

// A record that cannot be read is never overwritten: who would know what it was?
Result<std::optional<Revision>> FileStore::stored_revision(std::string_view subject) {
  const auto stored = read_record(session_path(subject));
  if (!stored) return stored.error();
  if (!*stored) return std::optional<Revision>();
  return std::optional<Revision>((*stored)->summary.revision);
}

Result<void> FileStore::save_record(const SealedRecord& record, Revision expected) {
  if (auto fine = check_record(record); !fine) return fine;
  const auto& subject = record.summary.subject;
  const auto lock = take_write_lock(*locks_, *clock_, subject);
  if (!lock) return lock.error();
  const auto stored = stored_revision(subject);
  if (!stored) return stored.error();
  switch (judge_save(*stored, expected, record.summary.revision)) {
    case SaveVerdict::conflict:
      release_room(subject);
      return save_conflict(subject);
    case SaveVerdict::already_saved:
      release_room(subject);
      // The attempt that put it there may have failed or died right after it did.
      locks_->announce_change(subject);
      return files_->sync_folder(at_.sessions);
    case SaveVerdict::write:
      break;
  }
  auto written = write_record(subject, encode_record_file(record));
  if (!written && written.error().detail != kFolderNotSynced) return written;
  // Visible from here on, durable or not.
  locks_->announce_change(subject);
  if (written)
    static_cast<void>(files_->remove(claim_path(subject)));  // it counts no longer in any case
  return written;
}

Result<void> FileStore::write_record(std::string_view subject, std::string_view text) {
  const auto target = session_path(subject);
  if (const auto room = rooms_->take(subject, text.size())) {
    auto done = room->commit(as_bytes(text), target);
    if (done || done.error().detail == kFolderNotSynced) return done;
    // Another file may still go through, and the session at hand is the only one.
  }
  return write_under_lock(target, subject, text);
}

// With the write lock held.
Result<void> FileStore::write_under_lock(const Path& target, std::string_view subject,
                                         std::string_view text) {
  return replace_owned(files_, target, staging_name(subject, StagingPlace::write), text);
}

Result<void> FileStore::remove(std::string_view subject, Revision expected) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const auto lock = take_write_lock(*locks_, *clock_, subject);
  if (!lock) return lock.error();
  const auto stored = stored_revision(subject);
  if (!stored) return stored.error();
  if (*stored && **stored != expected) return remove_conflict(subject);
  return remove_files(subject);
}

// Also when there is no record: an earlier removal may have failed half way, and whoever logs out
// must not leave anything behind.
Result<void> FileStore::remove_files(std::string_view subject) {
  release_room(subject);
  if (auto removed = files_->remove(session_path(subject)); !removed) return removed;
  locks_->announce_change(subject);
  for (const auto place : {StagingPlace::room, StagingPlace::write}) {
    if (auto removed = files_->remove(at_.sessions / staging_name(subject, place)); !removed)
      return removed;
  }
  if (auto durable = files_->sync_folder(at_.sessions); !durable) return durable;
  if (auto removed = files_->remove(claim_path(subject)); !removed) return removed;
  return files_->remove(at_.claims / staging_name(subject, StagingPlace::write));
}

std::optional<ListedSession> FileStore::listed(const FolderEntry& entry) {
  ListedSession row{.name = entry.name, .summary = {}, .error = {}};
  if (!is_session_file_name(entry.name)) {
    row.error = make_error(ErrorCode::corrupt, "file.foreign",
                           "cannot read " + printable((at_.sessions / entry.name).native(), 300) +
                               ": it is no session of this store; move it elsewhere");
    return row;
  }
  auto record = read_record(at_.sessions / entry.name);
  if (!record) {
    row.error = std::move(record).error();
  } else if (!*record) {
    return std::nullopt;  // removed since the folder was read
  } else {
    row.name = (*record)->summary.subject;
    row.summary = std::move((*record)->summary);
    row.sealed_with = sealed_with((*record)->box);
  }
  return row;
}

Result<SessionPage> FileStore::list(std::string_view cursor, std::size_t limit) {
  if (auto fine = check_list_limit(limit); !fine) return std::move(fine).error();
  const auto after = read_cursor(cursor);
  if (!after) return after.error();
  auto entries = files_->list(at_.sessions);
  if (!entries) return std::move(entries).error();
  std::erase_if(*entries, [&](const FolderEntry& entry) {
    return entry.name.starts_with(kTemporaryPrefix) || entry.name <= *after;
  });
  std::sort(entries->begin(), entries->end(),
            [](const FolderEntry& a, const FolderEntry& b) { return a.name < b.name; });
  SessionPage page;
  const std::string* last = nullptr;
  for (const auto& entry : *entries) {
    if (page.sessions.size() == limit) {
      page.next = make_cursor(*last);
      break;
    }
    last = &entry.name;
    if (auto row = listed(entry)) page.sessions.push_back(std::move(*row));
  }
  return page;
}

// Lease, room and claim
// -------------------------------------------------------------------------------------------

Result<std::unique_ptr<Lease>> FileStore::lease(std::string_view subject, const LockWait& wait) {
  auto lease =
      take_local_lease(*locks_, subject, wait,
                       [rooms = rooms_, name = std::string(subject)] { rooms->end_lease(name); });
  if (lease) rooms_->begin_lease(subject);
  return lease;
}

Result<void> FileStore::reserve_room(std::string_view subject, std::size_t size) {
  if (auto fine = check_subject(subject); !fine) return fine;
  if (!rooms_->is_leased(subject)) {
    return make_error(ErrorCode::invalid_argument, "store.no_lease",
                      "cannot make room for the session of " + printable(subject, 100) +
                          ": its lease is not held through this store; take the lease first");
  }
  release_room(subject);
  auto staged = stage_owned(files_, at_.sessions / staging_name(subject, StagingPlace::room), size);
  if (!staged) return std::move(staged).error();
  rooms_->put(subject, std::move(*staged), size);
  return {};
}

Result<void> FileStore::save_claim(const RefreshClaim& claim) {
  if (auto fine = check_subject(claim.subject); !fine) return fine;
  const auto lock = take_write_lock(*locks_, *clock_, claim.subject);
  if (!lock) return lock.error();
  return write_under_lock(claim_path(claim.subject), claim.subject, encode_claim_file(claim));
}

Result<std::optional<RefreshClaim>> FileStore::load_claim(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  return read_claim(claim_path(subject));
}

Result<std::optional<RefreshClaim>> FileStore::read_claim(const Path& path) {
  const auto bytes = read_private(path);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<RefreshClaim>();
  auto claim = decode_claim_file(as_text((*bytes)->expose()));
  if (!claim) return std::move(claim).error();
  if (session_file_name(claim->subject) == path.filename().native())
    return std::optional<RefreshClaim>(std::move(*claim));
  return make_error(ErrorCode::corrupt, "claim.subject_mismatch",
                    "cannot read the refresh claim " + printable(path.native(), 300) +
                        ": it belongs to another subject; remove the file");
}

// Without fsync: a claim that comes back after a power cut costs a wait of seconds and nothing
// else.
Result<void> FileStore::clear_claim(std::string_view subject, std::uint64_t id) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const auto lock = take_write_lock(*locks_, *clock_, subject);
  if (!lock) return lock.error();
  const auto claim = load_claim(subject);
  if (!claim) return claim.error();
  if (!*claim || (*claim)->id != id) return {};
  return files_->remove(claim_path(subject));
}

// What lies beside, and aside
// ------------------------------------------------------------------------------------------

Result<SideRecords> FileStore::side_records() {
  SideRecords side;
  auto pending = pending_.list();
  if (!pending) return std::move(pending).error();
  side.pending = std::move(*pending);
  const auto entries = files_->list(at_.claims);
  if (!entries) return entries.error();
  for (const auto& entry : *entries) {
    if (entry.name.starts_with(kTemporaryPrefix)) continue;
    ListedClaim row{.name = entry.name, .claim = {}, .error = {}};
    auto claim = read_claim(at_.claims / entry.name);
    if (claim && !*claim) continue;  // cleared since the folder was read
    if (claim) {
      row.name = (*claim)->subject;
      row.claim = std::move(*claim);
    } else {
      row.error = std::move(claim).error();
    }
    side.claims.push_back(std::move(row));
  }
  return side;
}

// A claim whose session is gone: the removal was cut off.
Result<Swept> FileStore::sweep(TimePoint now) {
  const auto pending = pending_.sweep(now);
  if (!pending) return pending.error();
  const auto side = side_records();
  if (!side) return side.error();
  Swept swept{.pending = *pending};
  for (const ListedClaim& row : side->claims) {
    if (!row.claim) continue;
    const auto session = files_->modified_at(session_path(row.name));
    if (!session) return session.error();
    if (*session) continue;
    if (auto done = clear_claim(row.name, row.claim->id); !done) return std::move(done).error();
    ++swept.others;
  }
  return swept;
}

// A row is named by its subject or by its file.
Result<std::optional<Path>> FileStore::listed_file(std::string_view name) {
  const bool plain = name.find('/') == std::string_view::npos && !name.starts_with('.');
  std::vector<Path> candidates;
  if (plain && !name.empty()) candidates.push_back(at_.sessions / name);
  if (check_subject(name)) candidates.push_back(session_path(name));
  for (auto& path : candidates) {
    const auto there = files_->modified_at(path);
    if (!there) return there.error();
    if (*there) return std::optional(std::move(path));
  }
  return std::optional<Path>();
}

// Writers leave alone what they cannot read. So only two may change an unreadable record: another
// quarantine, which the first lock keeps out, and, if its clear part can be read, a writer that can
// open its box, which the second lock keeps out.
Result<Quarantined> FileStore::quarantine(std::string_view name) {
  const auto alone = locks_->acquire(LockKind::whole, "",
                                     {.deadline = clock_->steady_now() + kQuarantinePatience});
  if (!alone) return alone.error();
  const auto path = listed_file(name);
  if (!path) return path.error();
  if (!*path) return no_such_record(name);
  std::unique_ptr<HeldLock> writing;
  if (const auto record = read_record(**path); record && *record) {
    auto lock = take_write_lock(*locks_, *clock_, (*record)->summary.subject);
    if (!lock) return std::move(lock).error();
    writing = std::move(*lock);
  }
  const auto record = read_record(**path);
  if (record && !*record) return no_such_record(name);
  const auto readable = record ? check_readable(**record) : Result<void>(record.error());
  if (readable) return record_is_readable(name);
  if (!is_unreadable(readable.error())) return readable.error();
  auto entry = quarantine_.take(**path, readable.error().detail);
  if (record) locks_->announce_change((*record)->summary.subject);
  return entry;
}

// Opening
// ---------------------------------------------------------------------------------------------------------

Result<bool> has_marker(FileSystem& files, const Path& marker) {
  if (auto checked = files.check_private(marker); !checked) return std::move(checked).error();
  const auto bytes = files.read(marker, kMaxRecordFile);
  if (!bytes) return bytes.error();
  if (!*bytes) return false;
  if (auto known = check_marker_file(as_text((*bytes)->expose())); !known)
    return std::move(known).error();
  return true;
}

Result<void> prepare(const std::shared_ptr<FileSystem>& files, const Folders& at) {
  for (const auto& folder : {at.sessions, at.claims, at.pending, at.nonces}) {
    if (auto made = files->make_folder(folder); !made) return made;
    if (auto checked = files->check_private(folder); !checked) return checked;
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<OAuthTokenStore>> FilesystemOAuthTokenStore::open(
    const std::filesystem::path& folder, std::shared_ptr<Sealer> sealer,
    FilesystemStoreOptions options) {
  const auto files = options.files ? options.files : posix_file_system();
  const auto clock = options.clock ? options.clock : std::make_shared<SystemClock>();
  const Folders at(folder);
  if (auto made = files->make_folder(at.root); !made) return std::move(made).error();
  if (auto checked = files->check_private(at.root); !checked) return std::move(checked).error();
  if (auto checked = files->check_local(at.root); !checked) return std::move(checked).error();
  auto locks = LockFile::open(at.locks, clock);
  if (!locks) return std::move(locks).error();
  auto marked = has_marker(*files, at.marker);
  if (!marked) return std::move(marked).error();
  // Nothing is made in a folder whose format is not known.
  if (auto prepared = prepare(files, at); !prepared) return std::move(prepared).error();
  if (!*marked) {
    const auto lock = take_write_lock(**locks, *clock, "\nformat");
    if (!lock) return lock.error();
    marked = has_marker(*files, at.marker);
    if (!marked) return std::move(marked).error();
    if (!*marked) {
      const auto text = encode_marker_file();
      if (auto written = replace_file(files, at.marker, as_bytes(text)); !written)
        return std::move(written).error();
    }
  }
  return std::shared_ptr<OAuthTokenStore>(
      std::make_shared<FileStore>(std::move(sealer), files, clock, std::move(*locks), at));
}

}  // namespace latchkey
