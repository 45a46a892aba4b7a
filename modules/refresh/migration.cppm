// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.refresh.migration;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
export import latchkey.refresh.move;

// Moves everything that a store keeps into another one, of whatever kind, with the keys: sessions,
// tombstones, logouts that wait for their confirmation, and logins under way. One at a time, beside
// programs that use either store; may be stopped, killed and run again at any point, also by two at
// once. See latchkey.refresh.move for one session.

export namespace latchkey {

/// Of what is left where it was, so many are told one by one.
inline constexpr std::size_t kMaxToldLeft = 1000;

struct MigrationOptions {
  /// Called after each session.
  std::function<void(std::size_t done, std::size_t total)> progress{};
  std::stop_token stop{};
  std::chrono::milliseconds lease_patience{5'000};  ///< for each lease
  /// The target's name, such as its address without user and password; it is kept, in clear, with a
  /// session that is on its way, so that after a cut no run to a target of another name takes the
  /// session: its copy may be in use at the first. The same target must always have the same name.
  std::string target{};
  /// Only counts what it would do; changes nothing.
  bool dry_run = false;
  std::shared_ptr<Random> random{};  ///< default: the system's
  std::shared_ptr<Clock> clock{};    ///< default: the system's
};

struct MigrationReport {
  std::size_t sessions = 0;  ///< found in the source
  std::size_t moved = 0;
  std::size_t finished = 0;  ///< were in the target already, and are no longer in the source
  std::size_t gone = 0;      ///< ended or moved by somebody else meanwhile
  std::size_t pending = 0;   ///< logins under way that were moved
  std::size_t left = 0;      ///< sessions and logins under way that stay in the source
  std::vector<ListedSession> told_left;  ///< kMaxToldLeft of them, and why
  /// In the source at the end: what was left, and what programs have put there meanwhile.
  std::size_t remaining = 0;
};

/// Nonces are not moved: without one a request takes one more round trip. Keys stay in the source's
/// vault, where they are of no use to anybody; collect_abandoned_keys removes them. Expired logins
/// under way are passed over. Errors: invalid_argument, "migration.same_store"; cancelled,
/// "migration.cancelled" (what was moved is moved); those of OAuthTokenStore::list and side_records
/// of the source; an io error of a session or a login under way, if three in a row have met one: a
/// disk or server fails then.
[[nodiscard]] Result<MigrationReport> migrate_sessions(const MigrationPlace& from,
                                                       const MigrationPlace& to,
                                                       const MigrationOptions& options = {});

}  // namespace latchkey
