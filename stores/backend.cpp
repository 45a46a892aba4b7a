// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.backend;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;

namespace latchkey {
namespace {

constexpr std::size_t kPendingKeyBytes = 32;
constexpr std::chrono::seconds kWriteLockPatience{10};

Error invalid(std::string_view detail, std::string message) {
  return make_error(ErrorCode::invalid_argument, detail, std::move(message));
}

std::string shown(std::string_view subject) {
  return printable(subject, 100);
}

class LocalLease final : public Lease {
 public:
  LocalLease(std::unique_ptr<HeldLock> lock, std::function<void()> on_release)
      : lock_(std::move(lock)), on_release_(std::move(on_release)) {}
  ~LocalLease() override {
    if (on_release_) on_release_();
  }
  bool still_held() override { return true; }

 private:
  std::unique_ptr<HeldLock> lock_;
  std::function<void()> on_release_;
};

}  // namespace

Result<void> check_record(const SealedRecord& record) {
  const auto& summary = record.summary;
  if (auto fine = check_subject(summary.subject); !fine) return fine;
  if (summary.revision.is_none()) {
    return invalid("session.no_revision", "cannot save the session of " + shown(summary.subject) +
                                              ": it has no revision; draw one for each save");
  }
  const auto clear = canonical_summary(summary).size();
  if (clear <= kMaxSummarySize && record.box.size() <= kMaxBoxSize) return {};
  return invalid("session.too_large",
                 "cannot save the session of " + shown(summary.subject) + ": it has " +
                     std::to_string(clear) + " bytes of clear and " +
                     std::to_string(record.box.size()) + " of sealed data, over the limits of " +
                     std::to_string(kMaxSummarySize) + " and " + std::to_string(kMaxBoxSize) +
                     "; ask the server for smaller tokens");
}

Result<void> check_pending(const PendingRecord& pending) {
  const auto key = base64url_decode(pending.key);
  if (!key || key->size() != kPendingKeyBytes) {
    return invalid("pending.key", "cannot keep a pending login: its key is not a SHA-256");
  }
  if (pending.box.size() <= kMaxBoxSize) return {};
  return invalid("pending.too_large", "cannot keep a pending login: it is larger than " +
                                          std::to_string(kMaxBoxSize) +
                                          " bytes; shorten its app state");
}

Result<void> check_list_limit(std::size_t limit) {
  if (limit >= 1 && limit <= kMaxListLimit) return {};
  return invalid("list.limit", "cannot list sessions: a page has 1 to " +
                                   std::to_string(kMaxListLimit) + " rows, not " +
                                   std::to_string(limit));
}

std::string make_cursor(std::string_view position) {
  return base64url_encode(as_bytes(position));
}

Result<std::string> read_cursor(std::string_view cursor) {
  const auto position = base64url_decode(cursor);
  if (!position) return cursor_error();
  return std::string(as_text(*position));
}

Error cursor_error() {
  return invalid(
      "list.cursor",
      "cannot list sessions: the cursor is none of this store's; begin with an empty one");
}

SaveVerdict judge_save(std::optional<Revision> stored, Revision expected,
                       Revision coming) noexcept {
  if (stored && *stored == coming) return SaveVerdict::already_saved;
  const bool as_expected = stored ? *stored == expected : expected.is_none();
  return as_expected ? SaveVerdict::write : SaveVerdict::conflict;
}

Error save_conflict(std::string_view subject) {
  return make_error(ErrorCode::conflict, "store.conflict",
                    "cannot save the session of " + shown(subject) +
                        ": the stored one has changed meanwhile; load it again");
}

Error remove_conflict(std::string_view subject) {
  return make_error(ErrorCode::conflict, "store.conflict",
                    "cannot remove the session of " + shown(subject) +
                        ": the stored one has changed meanwhile; load it again");
}

Error pending_exists() {
  return make_error(ErrorCode::conflict, "pending.exists",
                    "cannot keep a pending login: its state is in use; begin the login again");
}

bool is_unreadable(const Error& error) noexcept {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::wrong_key ||
         error.code == ErrorCode::schema_too_new;
}

Error record_is_readable(std::string_view name) {
  return make_error(ErrorCode::conflict, "store.readable",
                    "cannot move the record " + printable(name, 200) +
                        " aside: it can be read; log out instead to end its session");
}

Error no_such_record(std::string_view name) {
  return invalid("store.no_such_record", "cannot move the record " + printable(name, 200) +
                                             " aside: there is none; list the sessions to see "
                                             "which there are");
}

Error lease_timeout(std::string_view subject) {
  return make_error(ErrorCode::locked, "lease.timeout",
                    "cannot lease the session of " + shown(subject) +
                        ": another thread or process is changing it; try again later");
}

Error lease_cancelled(std::string_view subject) {
  return make_error(ErrorCode::cancelled, "lease.cancelled",
                    "waiting for the lease of the session of " + shown(subject) +
                        " was cancelled: the caller stopped it");
}

Result<std::unique_ptr<Lease>> take_local_lease(LockFile& locks, std::string_view subject,
                                                const LockWait& wait,
                                                std::function<void()> on_release) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  auto lock = locks.acquire(LockKind::lease, subject, wait);
  if (lock) {
    return std::unique_ptr<Lease>(
        std::make_unique<LocalLease>(std::move(*lock), std::move(on_release)));
  }
  if (lock.error().code == ErrorCode::locked) return lease_timeout(subject);
  if (lock.error().code == ErrorCode::cancelled) return lease_cancelled(subject);
  return std::move(lock).error();
}

Result<std::unique_ptr<HeldLock>> take_write_lock(LockFile& locks, const Clock& clock,
                                                  std::string_view name) {
  auto lock =
      locks.acquire(LockKind::write, name, {.deadline = clock.steady_now() + kWriteLockPatience});
  if (lock || lock.error().code != ErrorCode::locked) return lock;
  return make_error(ErrorCode::locked, "store.busy",
                    "cannot change the store: another process has held its write lock for " +
                        std::to_string(kWriteLockPatience.count()) +
                        " seconds; see what hangs, and try again");
}

}  // namespace latchkey
