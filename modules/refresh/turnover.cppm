// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string_view>
export module latchkey.refresh.turnover;
import latchkey.core.error;
import latchkey.refresh.context;
import latchkey.refresh.run;
import latchkey.session;

// The two ends of a session: a new login put in place of whatever was there, and a logout. The
// caller holds the lease; events are announced under it. `unsaved`: the session that the lease was
// held for, if it was renewed and the store has not taken it yet; it counts in place of the stored
// one.

export namespace latchkey {

/// See SessionKeeper::save_login. On an error what was stored is stored still.
[[nodiscard]] Result<std::shared_ptr<const OAuthSession>> put_login(
    const SessionContext& context, OAuthSession session, const UnsavedSession* unsaved = nullptr);

enum class EndedAs { revoked, not_logged_in, pending, forgotten };
struct EndOfSession {
  Result<EndedAs> outcome;
  bool settled =
      false;  ///< an unsaved session has been dealt with; if not, it is still the only good one
};
/// See SessionKeeper::logout. With `erase_at_once` nothing stays here even if the server can't be
/// reached.
enum class WhenUnreachable { keep_to_revoke, erase_at_once };
[[nodiscard]] EndOfSession end_session(const SessionContext& context, std::string_view subject,
                                       WhenUnreachable unreachable,
                                       const UnsavedSession* unsaved = nullptr);

/// How long a logout that the server has not confirmed is kept: by then what it would revoke has
/// expired.
inline constexpr std::chrono::hours kLongestRevoking{14 * 24};

}  // namespace latchkey
