// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.refresh.events;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;

// What becomes of sessions, told to the program that keeps them: for a list of accounts on a
// screen, for a log, for an alarm. Only what this process did is told: a session that another
// process renewed or ended is seen by the next SessionKeeper::fresh, and causes no event here.

export namespace latchkey {

enum class SessionEventKind {
  updated,  ///< a new or renewed session was saved
  deleted,  ///< the session can't be used any more
  warning,  ///< it can still be used, or was ended already; something needs attention
};

enum class SessionEventCause {
  // updated
  logged_in,
  refreshed,
  // deleted
  logged_out,
  refused,      ///< the server refused its refresh token (invalid_grant)
  interrupted,  ///< the same after an earlier refresh that was cut off: its new token was lost
  replaced,     ///< by a new login of the same subject
  // warning
  not_durable,         ///< renewed, but not saved yet: `refreshed` follows when it is
  refresh_failed,      ///< for now; `next_attempt` says when it is tried again at the earliest
  logout_unconfirmed,  ///< ended here; the server could not be told
};

[[nodiscard]] constexpr SessionEventKind kind_of(SessionEventCause cause) noexcept {
  if (cause <= SessionEventCause::refreshed) return SessionEventKind::updated;
  if (cause <= SessionEventCause::replaced) return SessionEventKind::deleted;
  return SessionEventKind::warning;
}
/// The enumerator's name. Stable.
[[nodiscard]] std::string_view to_string(SessionEventKind kind) noexcept;
[[nodiscard]] std::string_view to_string(SessionEventCause cause) noexcept;

/// Holds no secret.
struct SessionEvent {
  SessionEventCause cause{};
  std::string subject;
  /// The session as it is after the event; what was ended, for `deleted`. Empty if it could not be
  /// read.
  std::optional<SessionSummary> session{};
  /// Why: of `refused`, `interrupted` and the warnings. A `logout_unconfirmed` has none if the
  /// server offers no way to be told.
  std::optional<Error> error{};
  std::optional<TimePoint> next_attempt{};  ///< of `refresh_failed`

  [[nodiscard]] SessionEventKind kind() const noexcept { return kind_of(cause); }
};

/// Called by SessionKeeper on a thread of its own, for one event after the other: those of a
/// subject in the order in which they happened. No lock is held, and nothing waits for it but
/// SessionKeeper::settle and the keeper's destructor, which returns after the last call. It may use
/// the keeper, but neither settle() nor destroy it. What it throws is caught and forgotten.
using SessionListener = std::function<void(const SessionEvent&)>;

}  // namespace latchkey
