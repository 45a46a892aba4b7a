// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
export module latchkey.refresh.outcome;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;

// What a refresh that was asked for came to, and operations that are done again with a renewed
// token when a server refuses the one they had.

export namespace latchkey {

enum class RefreshOutcome {
  not_needed,        ///< more than the threshold is left, or nobody knows how much
  refreshed,         ///< renewed, here or meanwhile by another process
  no_refresh_token,  ///< due, and there is nothing to renew it with: only a login helps
};
struct RefreshResult {
  RefreshOutcome outcome{};
  std::shared_ptr<const OAuthSession> session;  ///< never null
};

/// Renews a session if `threshold` or less is left of it, or if its token is
/// `options.rejected`. Only `refreshed` took a request. An empty refresh token counts as none.
/// Errors: those of SessionKeeper::fresh, also while the old token is still good: the refresh was
/// asked for. Thread-safe.
[[nodiscard]] Result<RefreshResult> refresh_if_needed(SessionKeeper& keeper,
                                                      std::string_view subject,
                                                      Duration threshold = std::chrono::seconds{60},
                                                      const FreshOptions& options = {});

/// True if the error is a server's refusal of the access token that a request carried: HTTP status
/// 401 with the code token_invalid or the OAuth error invalid_token (RFC 6750 §3.1). What its
/// message says does not matter.
[[nodiscard]] bool refuses_token(const Error& error) noexcept;

/// The same for the outcome of an operation; an HttpResponse is looked into.
template <class T>
[[nodiscard]] bool refuses_token(const Result<T>& outcome) {
  if (!outcome) return refuses_token(outcome.error());
  if constexpr (std::is_same_v<T, HttpResponse>) {
    return refuses_token(*outcome);
  } else {
    return false;
  }
}

/// Calls `operation(session)`, which gives a Result, with a session that is good. If its outcome
/// refuses_token(), the session is renewed, unless another process has done so, and the operation
/// is called once more; that second outcome stands. Errors also: those of SessionKeeper::fresh. As
/// thread-safe as `operation` is.
template <class Operation>
[[nodiscard]] std::invoke_result_t<Operation&, const OAuthSession&> with_auto_refresh(
    SessionKeeper& keeper, std::string_view subject, Operation&& operation,
    FreshOptions options = {}) {
  auto session = keeper.fresh(subject, options);
  if (!session) return std::move(session).error();
  auto outcome = operation(**session);
  if (!refuses_token(outcome)) return outcome;
  options.rejected = token_fingerprint((*session)->access_token);
  session = keeper.fresh(subject, options);
  if (!session) return std::move(session).error();
  return operation(**session);
}

}  // namespace latchkey
