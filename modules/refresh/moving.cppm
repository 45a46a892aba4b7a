// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string_view>
export module latchkey.refresh.moving;
import latchkey.core.crypto;
import latchkey.core.time;
import latchkey.session;

// A session that is on its way to another store (latchkey.refresh.migration). While a usable copy
// is made there, the record here has its tokens and is good for nothing: whatever interrupts the
// move, never do two stores have a session that can be refreshed.

export namespace latchkey {

/// How SessionSummary::state_cause of a record that is on its way begins; its state is dead. The
/// name of the target follows after a "|", if it has one.
inline constexpr std::string_view kMovingCause = "session.moving";
/// A longer name is cut, and told apart by a hash.
inline constexpr std::size_t kMaxTargetName = 200;

[[nodiscard]] bool is_being_moved(const SessionSummary& session) noexcept;
/// Where to, as far as it is known: printable, at most kMaxTargetName long. Else empty.
[[nodiscard]] std::string_view moving_target(const SessionSummary& session) noexcept;
/// Whether it was sent off to the target of this name.
[[nodiscard]] bool is_being_moved_to(const SessionSummary& session, std::string_view target);
/// The record of an active session while it is on its way, with a revision of its own. `target`:
/// see MigrationOptions::target.
[[nodiscard]] OAuthSession as_moving(const OAuthSession& session, TimePoint now, Random& random,
                                     std::string_view target = {});
/// The session as it was before it was sent off, under the revision of the record.
[[nodiscard]] OAuthSession as_arrived(const OAuthSession& moving);

/// Whether the login of `ours` goes on with what is stored in its place, here or in another store:
/// then its tokens must not be revoked, since that would end the stored session too.
[[nodiscard]] bool goes_on_as(const OAuthSession& ours, const std::optional<OAuthSession>& stored);

}  // namespace latchkey
