// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.refresh.move;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

// One session on its way from a store to another. latchkey.refresh.migration moves all of them.

export namespace latchkey {

/// A store, and the vault that keeps the keys of its sessions. Neither is null.
struct MigrationPlace {
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<KeyVault> vault;
};

enum class MoveOutcome {
  moved,
  finished,  ///< the target had it already; only the source's record was left to be removed
  gone,      ///< there is none in the source any more
};

/// What stands in the way of a copy, or in favour of one.
enum class MoveVerdict {
  copy,            ///< the target has none, or an older state of the same login
  finish,          ///< the target has this one, or a later state of the same login
  other_login,     ///< the subject has logged in at the target too
  unclear,         ///< the same login in two states, of which none is the later
  target_leaving,  ///< the target's is on its way elsewhere, perhaps to here
};
/// The judgement. Revisions have no order, so the times of the last change tell what is later. But
/// a logout counts more than any other state, and a session that can be used is not given up for
/// one that has ended. A source that is on its way is left to the target only if the copy has
/// arrived, or what the target has is later than it: the target may have had an older state before.
[[nodiscard]] MoveVerdict judge_move(const OAuthSession& source,
                                     const std::optional<OAuthSession>& target);

struct MoveOptions {
  std::stop_token stop{};  ///< ends the waiting for leases; a move that has begun ends by itself
  std::chrono::milliseconds lease_patience{5'000};  ///< for each of the two leases
  std::string target{};                             ///< as MigrationOptions::target
  std::shared_ptr<Random> random;
  std::shared_ptr<Clock> clock;
};

/// Moves one session, under both leases. Its key is put into the target's vault; the source's
/// record becomes one that cannot be used (latchkey.refresh.moving); the session is saved in the
/// target, read back and compared; then the source's record is removed. Every change is a
/// compare-and-swap. So at every moment the session is in one of the stores, and never can both use
/// it. After a failure the source's is as it was, if that can be; a move that was cut off at any
/// point is finished by the next one to the same target. Errors: those of both stores and vaults;
/// locked, "lease.timeout", "lease.lost" (the source's ran out; nothing is changed); locked,
/// "migration.refresh_unfinished" (a refresh of it has begun, in either store, and nobody knows how
/// it ended: it may still be under way); conflict, "migration.other_target" (it is on its way to a
/// target of another name, and may be in use there), "migration.other_login", "migration.unclear";
/// locked, "migration.target_leaving"; key_missing, "vault.key_missing" (the session's key is in
/// neither vault); corrupt, "migration.differs" (the target gives back something else); cancelled.
[[nodiscard]] Result<MoveOutcome> move_session(const MigrationPlace& from, const MigrationPlace& to,
                                               std::string_view subject,
                                               const MoveOptions& options);
/// What move_session to the target of this name would do now, as far as that can be told without
/// doing it. Changes nothing.
[[nodiscard]] Result<MoveOutcome> foresee_move(const MigrationPlace& from, const MigrationPlace& to,
                                               std::string_view subject,
                                               std::string_view target = {});

/// Puts the key `jkt` of `from` into `to`, durably; nothing to do for an empty one, nor if only
/// `to` has it. Errors: those of both; key_missing, "vault.key_missing".
[[nodiscard]] Result<void> copy_key(KeyVault& from, KeyVault& to, std::string_view jkt);

}  // namespace latchkey
