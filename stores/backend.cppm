// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.backend;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;

// What the backends of this folder share: the judgement of a compare-and-swap, the bounds of what
// they keep, and leases out of a lock file. Not part of the public hub; useful for writing a
// further backend.

export namespace latchkey {

/// Bound of the encoded clear part, as the box is bounded by kMaxBoxSize.
inline constexpr std::size_t kMaxSummarySize = 64 * 1024;
/// The most rows that a page of a list may have.
inline constexpr std::size_t kMaxListLimit = 1000;

/// What a record must be to be kept. Errors, all invalid_argument: "subject.invalid",
/// "session.no_revision", "session.too_large".
[[nodiscard]] Result<void> check_record(const SealedRecord& record);
/// Errors: invalid_argument, "pending.key" (not base64url of 32 bytes) or "pending.too_large".
[[nodiscard]] Result<void> check_pending(const PendingRecord& pending);
/// Error: invalid_argument, "list.limit".
[[nodiscard]] Result<void> check_list_limit(std::size_t limit);

/// A cursor is opaque to its users: base64url of whatever the backend needs.
[[nodiscard]] std::string make_cursor(std::string_view position);
/// The position; empty for an empty cursor. Error: invalid_argument, "list.cursor".
[[nodiscard]] Result<std::string> read_cursor(std::string_view cursor);
/// For a cursor that decodes to something that is no position.
[[nodiscard]] Error cursor_error();

enum class SaveVerdict { write, already_saved, conflict };
/// The compare of compare-and-swap; `stored` is empty when there is no record.
[[nodiscard]] SaveVerdict judge_save(std::optional<Revision> stored, Revision expected,
                                     Revision coming) noexcept;

[[nodiscard]] Error save_conflict(std::string_view subject);
[[nodiscard]] Error remove_conflict(std::string_view subject);
[[nodiscard]] Error pending_exists();

/// Whether a record with this error may be quarantined: corrupt, wrong_key, schema_too_new.
[[nodiscard]] bool is_unreadable(const Error& error) noexcept;
/// conflict, "store.readable".
[[nodiscard]] Error record_is_readable(std::string_view name);
/// invalid_argument, "store.no_such_record".
[[nodiscard]] Error no_such_record(std::string_view name);

[[nodiscard]] Error lease_timeout(std::string_view subject);
[[nodiscard]] Error lease_cancelled(std::string_view subject);

/// The lease of a store on this machine. `on_release` runs while the lease is still held.
[[nodiscard]] Result<std::unique_ptr<Lease>> take_local_lease(LockFile& locks,
                                                              std::string_view subject,
                                                              const LockWait& wait,
                                                              std::function<void()> on_release);

/// The short lock around one change of files; waits for a bounded time. `name` is a subject, or
/// begins with a line break (which no subject may contain). Error: locked, "store.busy".
[[nodiscard]] Result<std::unique_ptr<HeldLock>> take_write_lock(LockFile& locks, const Clock& clock,
                                                                std::string_view name);

}  // namespace latchkey
