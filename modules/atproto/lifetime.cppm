// SPDX-License-Identifier: MIT
module;
#include <optional>
export module latchkey.atproto.lifetime;
import latchkey.core.time;
import latchkey.session;

// How long the AT Protocol lets a session live, for programs that tell their user in time. A guess
// by the specification's limits, which servers may fall short of or exceed: never a reason to treat
// a session as over.

export namespace latchkey {

/// When a person is likely to be needed again: for a public client 14 days after the login,
/// however often it was refreshed; for a confidential one 180 days after the last refresh (C7.8).
/// Sooner where the session itself knows of an earlier end of its refresh token. Empty for sessions
/// that are bound to no key, which are not of this profile, and for those with a malformed time.
[[nodiscard]] std::optional<TimePoint> likely_end(const SessionSummary& session);

/// True in the two days before likely_end and after it: time to say so.
[[nodiscard]] bool ends_soon(const SessionSummary& session, TimePoint now);

}  // namespace latchkey
