// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.refresh.pending;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.oauth.pending_device;
import latchkey.store;
import latchkey.store.vault;

// Pending logins as a store keeps them: sealed, under the digest of their state; or of their id, if
// they are a device's.

export namespace latchkey {

/// PendingRecord::key of the login with this state.
[[nodiscard]] std::string pending_key(std::string_view state);
/// Errors: those of Sealer::seal.
[[nodiscard]] Result<PendingRecord> seal_pending(const PendingLogin& pending, TimePoint expires_at,
                                                 Sealer& sealer);
/// Errors: those of Sealer::open and of parse_pending.
[[nodiscard]] Result<PendingLogin> open_pending(const PendingRecord& record, Sealer& sealer);

/// PendingRecord::key of the device login with this id.
[[nodiscard]] std::string pending_device_key(std::string_view id);
/// Errors: those of Sealer::seal.
[[nodiscard]] Result<PendingRecord> seal_pending_device(const PendingDevice& pending,
                                                        Sealer& sealer);
/// Empty if it is a login of the other kind. Errors: those of Sealer::open and of
/// parse_pending_device.
[[nodiscard]] Result<std::optional<PendingDevice>> open_pending_device(const PendingRecord& record,
                                                                       Sealer& sealer);

/// The thumbprint of the key that a login of either kind will need; empty: none. Errors: those of
/// opening it.
[[nodiscard]] Result<std::string> pending_jkt(const PendingRecord& record, Sealer& sealer);

/// The same record sealed by another sealer, whatever is in it. Errors: those of both.
[[nodiscard]] Result<PendingRecord> reseal_pending(const PendingRecord& record, Sealer& from,
                                                   Sealer& to);

}  // namespace latchkey
