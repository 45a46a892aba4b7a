// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.refresh.moving;
import latchkey.core.crypto;
import latchkey.core.time;
import latchkey.session;

// A session that is on its way to another store (latchkey.refresh.migration). While a usable copy
// is made there, the record here has its tokens and is good for nothing: whatever interrupts the
// move, never do two stores have a session that can be refreshed.

export namespace latchkey {

/// SessionSummary::state_cause of a record that is on its way; its state is dead.
inline constexpr std::string_view kMovingCause = "session.moving";

[[nodiscard]] bool is_being_moved(const SessionSummary& session) noexcept;
/// The record of an active session while it is on its way, with a revision of its own.
[[nodiscard]] OAuthSession as_moving(const OAuthSession& session, TimePoint now, Random& random);
/// The session as it was before it was sent off, under the revision of the record.
[[nodiscard]] OAuthSession as_arrived(const OAuthSession& moving);

}  // namespace latchkey
