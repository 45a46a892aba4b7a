// SPDX-License-Identifier: MIT
module;
#include <algorithm>
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
import latchkey.store.nonce_files;
import latchkey.store.record;
import latchkey.store.record_file;
import latchkey.store.vault;

namespace latchkey {
namespace {

using Path = std::filesystem::path;

constexpr std::string_view kFolderNotSynced = "io.folder_not_synced";
constexpr std::string_view kPendingLock = "\npending";  // a name that no subject can have

// Room that is held for coming saves. It lives no longer than its lease: its file's name belongs to
// whoever holds that.
class Rooms {
 public:
  void begin_lease(std::string_view subject) {
    const std::lock_guard guard(mutex_);
    rooms_.insert_or_assign(std::string(subject), Room{});
  }
  void end_lease(std::string_view subject) noexcept { auto room = extract(subject); }
  // False if this subject is not leased through this store.
  bool put(std::string_view subject, std::unique_ptr<StagedFile> file, std::size_t size) {
    const std::lock_guard guard(mutex_);
    const auto found = rooms_.find(subject);
    if (found == rooms_.end()) return false;
    found->second = Room{std::move(file), size};
    return true;
  }
  [[nodiscard]] bool is_leased(std::string_view subject) {
    const std::lock_guard guard(mutex_);
    return rooms_.contains(subject);
  }
  // The room, if it is there; one that is too small is given up.
  std::unique_ptr<StagedFile> take(std::string_view subject, std::size_t size) {
    const std::lock_guard guard(mutex_);
    const auto found = rooms_.find(subject);
    if (found == rooms_.end()) return nullptr;
    auto room = std::exchange(found->second, Room{});
    return room.size >= size ? std::move(room.file) : nullptr;
  }

 private:
  struct Room {
    std::unique_ptr<StagedFile> file;
    std::size_t size = 0;
  };
  Room extract(std::string_view subject) noexcept {
    const std::lock_guard guard(mutex_);
    const auto found = rooms_.find(subject);
    if (found == rooms_.end()) return {};
    auto room = std::move(found->second);
    rooms_.erase(found);
    return room;
  }
  std::mutex mutex_;
  std::map<std::string, Room, std::less<>> rooms_;
};

struct Folders {
  explicit Folders(const Path& folder)
      : root(folder),
        sessions(folder / "sessions"),
        claims(folder / "claims"),
        pending(folder / "pending"),
        nonces(folder / "nonces"),
        marker(folder / "format.json"),
        locks(folder / "store.lock") {}
  Path root, sessions, claims, pending, nonces, marker, locks;
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
        nonces_(files_, clock_, locks_, at_.nonces) {}

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
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override;

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
  std::shared_ptr<Rooms> rooms_ = std::make_shared<Rooms>();
  NonceFiles nonces_;
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
  const auto staged =
      stage_as(files_, target.parent_path() / staging_name(subject, StagingPlace::write), 0);
  if (!staged) return staged.error();
  return (*staged)->commit(as_bytes(text), target);
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
  auto staged = stage_as(files_, at_.sessions / staging_name(subject, StagingPlace::room), size);
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
  const auto bytes = read_private(claim_path(subject));
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<RefreshClaim>();
  auto claim = decode_claim_file(as_text((*bytes)->expose()));
  if (!claim) return std::move(claim).error();
  if (claim->subject == subject) return std::optional<RefreshClaim>(std::move(*claim));
  return make_error(ErrorCode::corrupt, "claim.subject_mismatch",
                    "cannot read the refresh claim of " + printable(subject, 100) +
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

// Pending logins
// --------------------------------------------------------------------------------------------------

Result<void> FileStore::save_pending(const PendingRecord& pending, TimePoint now) {
  if (auto fine = check_pending(pending); !fine) return fine;
  const auto lock = take_write_lock(*locks_, *clock_, kPendingLock);
  if (!lock) return lock.error();
  const auto entries = files_->list(at_.pending);
  if (!entries) return entries.error();
  const auto digest = hex_encode(*base64url_decode(pending.key));
  for (const auto& entry : *entries) {
    const auto name = parse_pending_file_name(entry.name);
    if (!name) continue;
    if (now >= name->expires_at) {
      static_cast<void>(files_->remove(at_.pending / entry.name));  // the next login tries again
    } else if (name->digest == digest) {
      return pending_exists();
    }
  }
  return write_under_lock(at_.pending / pending_file_name({digest, pending.expires_at}),
                          kPendingLock, encode_pending_file(pending));
}

Result<std::optional<PendingRecord>> FileStore::take_pending(std::string_view key, TimePoint now) {
  const auto decoded = base64url_decode(key);
  if (!decoded) return std::optional<PendingRecord>();
  const auto digest = hex_encode(*decoded);
  const auto lock = take_write_lock(*locks_, *clock_, kPendingLock);
  if (!lock) return lock.error();
  const auto entries = files_->list(at_.pending);
  if (!entries) return entries.error();
  const auto found = std::find_if(entries->begin(), entries->end(), [&](const FolderEntry& entry) {
    const auto name = parse_pending_file_name(entry.name);
    return name && name->digest == digest;
  });
  if (found == entries->end()) return std::optional<PendingRecord>();
  const auto path = at_.pending / found->name;
  const auto bytes = read_private(path);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<PendingRecord>();
  auto pending = decode_pending_file(as_text((*bytes)->expose()));
  if (!pending) return std::move(pending).error();
  // Gone for good before anybody uses it, also across a power cut.
  if (auto removed = files_->remove(path); !removed) return std::move(removed).error();
  if (auto durable = files_->sync_folder(at_.pending); !durable) return std::move(durable).error();
  if (pending->key == key && now < pending->expires_at)
    return std::optional<PendingRecord>(std::move(*pending));
  return std::optional<PendingRecord>();
}

// Opening
// ---------------------------------------------------------------------------------------------------------

Result<bool> has_marker(FileSystem& files, const Path& marker) {
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
