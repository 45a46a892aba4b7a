// SPDX-License-Identifier: MIT
module;
#include <optional>
export module latchkey.refresh.saving;
import latchkey.core.error;
import latchkey.session;
import latchkey.store;

// Saves that must not be in doubt. Internal to refresh; the hub does not export it.

export namespace latchkey {

/// A save whose last step failed may have put its record in place all the same; then the second
/// one, which this makes, succeeds. Errors: those of OAuthTokenStore::save.
[[nodiscard]] Result<void> save_firmly(OAuthTokenStore& store, const OAuthSession& session,
                                       Revision expected);

/// The claim of a refresh of this very record, if there is one. Error: those of load_claim.
[[nodiscard]] Result<std::optional<RefreshClaim>> counting_claim(OAuthTokenStore& store,
                                                                 const SessionSummary& session);
}  // namespace latchkey
