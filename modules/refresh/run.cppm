// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
export module latchkey.refresh.run;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.store;

// One refresh of one session, step by step under its lease: read again, claim, send, save, and only
// then hand out. It knows nothing of threads or caches: that is SessionKeeper's part.

export namespace latchkey {

/// A session that the server has renewed and the store has not taken yet. Whoever holds it holds
/// the lease too, so that nobody else sends the spent refresh token.
struct UnsavedSession {
  std::shared_ptr<const OAuthSession> session;
  Revision expected;
  std::unique_ptr<Lease> lease;
  Error cause;  ///< why the last save failed
};

struct RefreshOrder {
  std::string subject;
  /// Fingerprint of the access token that is due or was rejected: any other one found under the
  /// lease is adopted.
  std::string stale_token;
  LockWait lease_wait;    ///< `stop` ends the order only before its claim is written
  unsigned failures = 0;  ///< in a row, before this one: for the time of the next attempt
};

using Refreshed =
    std::variant<std::shared_ptr<const OAuthSession>, Error, std::unique_ptr<UnsavedSession>>;

/// Runs to its end, and announces what it did while it still holds the lease. Errors: locked,
/// cancelled, login_required, session_dead, refresh_interrupted, client_mismatch, key_missing,
/// those of the store, of the profile's confirmation, of the transport and of the server.
[[nodiscard]] Refreshed run_refresh(const SessionContext& context, const RefreshOrder& order);

/// Tries the save again. True when the matter is settled: `result` then holds the outcome. A
/// conflict settles it only when another revision than the expected one, or none, is stored.
[[nodiscard]] bool try_save_again(const SessionContext& context, UnsavedSession& unsaved,
                                  Refreshed& result);

/// The error of a session that cannot be used, from its state: session_dead, refresh_interrupted,
/// login_required; locked, "session.moving" (see latchkey.refresh.moving).
[[nodiscard]] Error unusable_session_error(const SessionSummary& session);
[[nodiscard]] Error absent_session_error(std::string_view subject);

/// How long a found claim is left alone, because its request may still be under way: from its
/// beginning on, and where a lease can run out (Lease::can_expire) from when ours was taken.
inline constexpr std::chrono::milliseconds kClaimAge{5'000};

}  // namespace latchkey
