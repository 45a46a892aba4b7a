// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <optional>
export module latchkey.refresh.classify;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;

// The judgements of a refresh, apart from doing it: when one is due, what an answer to it means,
// and how long to wait after a failure. Pure functions.

export namespace latchkey {

/// When a session is due. Before `soft` remaining nothing happens; between the two one caller
/// refreshes and the others keep the token; below `hard` everybody waits.
struct RefreshWindow {
  Duration soft{};
  Duration hard{};
};
/// soft = min(60 s, 10 % of the lifetime) minus a jitter of up to half of it; hard = min(10 s, half
/// of the soft limit before jitter). `jitter_seed` picks the jitter.
[[nodiscard]] RefreshWindow refresh_window(const SessionSummary& session,
                                           std::uint64_t jitter_seed);

enum class Due { no, soon, now };
[[nodiscard]] Due refresh_due(const SessionSummary& session, TimePoint now,
                              const RefreshWindow& window);

/// What became of a refresh request.
enum class Verdict {
  answered,       ///< 200: to be read
  not_consumed,   ///< the server surely has not used the refresh token up: not sent, 429,
                  ///< use_dpop_nonce, a plain refusal
  unknown,        ///< it may have: lost on the way, 5xx
  grant_refused,  ///< invalid_grant
};
struct JudgedAnswer {
  Verdict verdict{};
  std::optional<Error> error{};  ///< for all but `answered`
};
[[nodiscard]] JudgedAnswer judge_refresh(const Result<HttpResponse>& answer, TimePoint now);

/// True for failures after which trying again at once is no use and later may be; false for those
/// that only a person, or whoever holds the lease, can mend.
[[nodiscard]] bool is_transient(const Error& error) noexcept;

/// 1 s doubling to 60 s with the number of failures in a row (1, 2, …), and at least what the
/// server asked for.
[[nodiscard]] Duration back_off(unsigned failures, std::optional<std::chrono::seconds> retry_after);

}  // namespace latchkey
