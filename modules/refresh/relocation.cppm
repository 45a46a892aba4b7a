// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string_view>
export module latchkey.refresh.relocation;
import latchkey.core.error;
import latchkey.refresh.context;
import latchkey.store;

// A session whose resource server has become another one (C7.13). Internal to refresh; the hub does
// not export it.

export namespace latchkey {

struct Relocation {
  bool asked = false;          ///< the profile was, whatever came of it
  Result<bool> moved = false;  ///< true if the resource server is another one than before
};

/// Asks the profile where the subject's resource server is now, and saves that in the session,
/// durably. `lease` is the subject's. Nothing is changed while a refresh of the session has an
/// unknown outcome: its claim belongs to the revision that is stored. As the question takes its
/// time and a lease may run out meanwhile, all that is looked at once more before the save. Errors:
/// those of SessionProfile::confirm and of the store; locked, "lease.lost"; conflict, if somebody
/// saved meanwhile; those of a session that is absent or ended.
[[nodiscard]] Relocation relocate_session(const SessionContext& context, std::string_view subject,
                                          Lease& lease, std::stop_token stop);

}  // namespace latchkey
