// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string_view>
export module latchkey.refresh.relocation;
import latchkey.core.error;
import latchkey.refresh.context;

// A session whose resource server has become another one (C7.13). Internal to refresh; the hub does
// not export it.

export namespace latchkey {

/// Asks the profile where the subject's resource server is now, and saves that in the session,
/// durably. True if it is another one than before. The caller holds the subject's lease. Nothing is
/// changed while a refresh of the session has an unknown outcome: its claim belongs to the revision
/// that is stored. Errors: those of SessionProfile::confirm and of the store; conflict, if somebody
/// saved meanwhile; those of a session that is absent or ended.
[[nodiscard]] Result<bool> relocate_session(const SessionContext& context, std::string_view subject,
                                            std::stop_token stop);

}  // namespace latchkey
