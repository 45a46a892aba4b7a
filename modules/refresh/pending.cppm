// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.refresh.pending;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.store;
import latchkey.store.vault;

// Pending logins as a store keeps them: sealed, under the digest of their state.

export namespace latchkey {

/// PendingRecord::key of the login with this state.
[[nodiscard]] std::string pending_key(std::string_view state);
/// Errors: those of Sealer::seal.
[[nodiscard]] Result<PendingRecord> seal_pending(const PendingLogin& pending, TimePoint expires_at,
                                                 Sealer& sealer);
/// Errors: those of Sealer::open and of parse_pending.
[[nodiscard]] Result<PendingLogin> open_pending(const PendingRecord& record, Sealer& sealer);

}  // namespace latchkey
