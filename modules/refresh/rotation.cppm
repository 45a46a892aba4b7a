// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.refresh.rotation;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault.managed;

// A new data key for a vault, and everything that the old ones sealed sealed anew: the vault's keys
// and the sessions of a store. Sessions are saved as a refresh saves them, under their lease and by
// compare-and-swap, so that whoever else works with them goes on. Pending logins are left: they end
// within half an hour, and no data key is dropped sooner (kDataKeyGrace).

export namespace latchkey {

/// What the sessions of a store are sealed with.
struct SealedSessions {
  std::map<std::string, std::size_t> by_data_key;  ///< counts by sealed_with(); "": not sealed
  /// Sessions that do not say, and why; kMostListed of them at most.
  std::vector<ListedSession> unreadable;
  std::size_t unreadable_count = 0;  ///< all of them
};
/// Lists all sessions, a page at a time, and opens none. Errors: those of OAuthTokenStore::list.
[[nodiscard]] Result<SealedSessions> count_sealed_sessions(OAuthTokenStore& store);

/// Seals one session with the newest data key: under its lease, with a new revision. False if that
/// was not needed, or there is no session any more. Errors: locked, "lease.timeout" (somebody is
/// changing it, which seals it anew as well), "lease.lost" (ours ran out before the save),
/// "rotation.refresh_unfinished" (a refresh of it has an unknown outcome: its tokens may still be
/// saved over this revision, so that it must stay); those of OAuthTokenStore::load and save.
[[nodiscard]] Result<bool> reseal_session(OAuthTokenStore& store, std::string_view subject,
                                          Random& random, const LockWait& wait);

enum class RotationStage { keys, sessions };

struct RotationOptions {
  /// Called after each key and session, by one thread at a time. The total grows when others add
  /// some meanwhile.
  std::function<void(RotationStage, std::size_t done, std::size_t total)> progress{};
  std::stop_token stop{};
  std::chrono::milliseconds lease_patience{5000};  ///< for each session
  /// How many sessions are sealed anew at once. A store that is far away, or that waits for its
  /// disk, gains from more than one; each may need a connection of the store's.
  std::size_t workers = 1;
  std::shared_ptr<Random> random{};  ///< default: the system's
  std::shared_ptr<Clock> clock{};    ///< default: the system's
};

struct RotationReport {
  bool new_data_key = false;  ///< false: an unfinished rotation was resumed
  std::size_t keys = 0, keys_resealed = 0;
  std::size_t sessions = 0, sessions_resealed = 0;
  /// Keys that are not under the new data key, and why; kMostListed of them at most.
  std::vector<Error> keys_left;
  std::size_t keys_left_count = 0;           ///< all of them
  std::vector<ListedSession> sessions_left;  ///< the same of sessions
  std::size_t sessions_left_count = 0;
};

/// Rotates the vault, or finishes a rotation that was interrupted: a new data key is made only if
/// no key and no session of this store is sealed with an older one. May be stopped, killed and run
/// again at any point, beside programs that use both. `store` must be sealed by the vault. Errors:
/// those of ManagedKeyVault::add_data_key and reseal_keys; cancelled, "vault.cancelled"; those of
/// OAuthTokenStore::list; io, when three sessions in a row could not be sealed anew for it: the
/// store is out of reach, and the next run goes on from there.
[[nodiscard]] Result<RotationReport> rotate_vault(ManagedKeyVault& vault, OAuthTokenStore& store,
                                                  const RotationOptions& options = {});

/// Drops the data keys that neither a key of the vault nor a session of this store is sealed with.
/// Call it only if the vault seals no other store. Errors: those of
/// ManagedKeyVault::drop_old_data_keys; the first error of a session that cannot be read, since it
/// may need any of them.
[[nodiscard]] Result<std::size_t> drop_old_data_keys(ManagedKeyVault& vault,
                                                     OAuthTokenStore& store);

}  // namespace latchkey
