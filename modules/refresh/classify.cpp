// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
module latchkey.refresh.classify;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.session;

namespace latchkey {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLongestSoft = 60s;
constexpr Duration kLongestHard = 10s;

}  // namespace

RefreshWindow refresh_window(const SessionSummary& session, std::uint64_t jitter_seed) {
  if (!session.expires_at || *session.expires_at == kMalformedTime) return {};
  const Duration lifetime = std::max(*session.expires_at - session.issued_at, Duration::zero());
  const Duration soft = std::min(kLongestSoft, lifetime / 10);
  const auto jitter = Duration{
      static_cast<Duration::rep>(jitter_seed % static_cast<std::uint64_t>((soft / 2).count() + 1))};
  return {.soft = soft - jitter, .hard = std::min(kLongestHard, soft / 2)};
}

Due refresh_due(const SessionSummary& session, TimePoint now, const RefreshWindow& window) {
  if (!session.expires_at) return Due::no;
  if (session.needs_refresh(now, window.hard)) return Due::now;
  return session.needs_refresh(now, window.soft) ? Due::soon : Due::no;
}

JudgedAnswer judge_refresh(const Result<HttpResponse>& answer, TimePoint now) {
  if (!answer) {
    // A second use_dpop_nonce in a row was answered before the server looked at the token.
    const bool unused = answer.error().delivery == Delivery::not_sent ||
                        answer.error().code == ErrorCode::dpop_refused;
    return {unused ? Verdict::not_consumed : Verdict::unknown, answer.error()};
  }
  if (answer->status == 200) return {.verdict = Verdict::answered};
  Error error = oauth_error("refresh", *answer, now);
  if (answer->status == 429) return {Verdict::not_consumed, std::move(error)};
  if (answer->status >= 500) return {Verdict::unknown, std::move(error)};
  if (error.code == ErrorCode::invalid_grant) return {Verdict::grant_refused, std::move(error)};
  // Other 2xx and 3xx are no answers of a token endpoint: nothing says what happened to the token.
  if (answer->status < 400) return {Verdict::unknown, std::move(error)};
  return {Verdict::not_consumed, std::move(error)};
}

bool is_transient(const Error& error) noexcept {
  switch (error.code) {
    case ErrorCode::locked:
    case ErrorCode::cancelled:
    case ErrorCode::login_required:
    case ErrorCode::session_dead:
    case ErrorCode::refresh_interrupted:
    case ErrorCode::client_mismatch:
      return false;
    default:
      return true;
  }
}

Duration back_off(unsigned failures, std::optional<std::chrono::seconds> retry_after) {
  const unsigned doublings = std::min(failures == 0 ? 0u : failures - 1, 6u);
  Duration wait = std::min<Duration>(Duration{1s} * (1 << doublings), 60s);
  if (retry_after) wait = std::max<Duration>(wait, *retry_after);
  return wait;
}

}  // namespace latchkey
