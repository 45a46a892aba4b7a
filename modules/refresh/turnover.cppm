// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string_view>
export module latchkey.refresh.turnover;
import latchkey.core.error;
import latchkey.refresh.context;
import latchkey.session;

// The two ends of a session: a new login put in place of whatever was there, and a logout. The caller holds the lease.

export namespace latchkey {

/// See SessionKeeper::save_login.
[[nodiscard]] Result<std::shared_ptr<const OAuthSession>> put_login(const SessionContext& context,
                                                                    OAuthSession session);

enum class EndedAs { revoked, not_logged_in, pending, forgotten };
/// See SessionKeeper::logout. With `erase_at_once` nothing stays here even if the server can't be reached.
enum class WhenUnreachable { keep_to_revoke, erase_at_once };
[[nodiscard]] Result<EndedAs> end_session(const SessionContext& context, std::string_view subject,
                                          WhenUnreachable unreachable);

}  // namespace latchkey
