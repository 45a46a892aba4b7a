// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>
export module latchkey.refresh.tombstones;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;

// Sessions that have ended are kept with their cause, so that whoever comes back learns why. Those
// that nobody came back to can go.

export namespace latchkey {

inline constexpr Duration kForgottenAfter = std::chrono::hours(30 * 24);

struct TombstoneOptions {
  Duration age = kForgottenAfter;  ///< since the session ended; not negative
  bool dry_run = false;            ///< only counts
  std::stop_token stop{};
  std::chrono::milliseconds lease_patience{1'000};  ///< for each session
  std::shared_ptr<Clock> clock{};                   ///< default: the system's
};

struct RemovedTombstones {
  std::size_t sessions = 0;              ///< looked at
  std::size_t removed = 0;               ///< with dry_run: would be
  std::size_t left = 0;                  ///< could not be removed, or not be read
  std::vector<ListedSession> told_left;  ///< the first hundred of them, and why
};

/// Whether the session ended that long ago. One on its way to another store has not ended.
[[nodiscard]] bool is_forgotten(const SessionSummary& session, TimePoint now, Duration age);

/// Removes the forgotten sessions, each under its lease and by compare-and-swap: a login that
/// happens meanwhile stays. Their keys stay in the vault, unless the store takes them along.
/// Errors: invalid_argument, "tombstones.age"; cancelled, "tombstones.cancelled"; those of
/// OAuthTokenStore::list.
[[nodiscard]] Result<RemovedTombstones> remove_tombstones(OAuthTokenStore& store,
                                                          const TombstoneOptions& options = {});

}  // namespace latchkey
