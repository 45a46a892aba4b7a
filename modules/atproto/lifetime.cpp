// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <optional>
module latchkey.atproto.lifetime;
import latchkey.core.time;
import latchkey.session;

namespace latchkey {
namespace {

constexpr Duration kPublicSession = std::chrono::days{14};
constexpr Duration kConfidentialRefresh = std::chrono::days{180};
constexpr Duration kSoon = std::chrono::days{2};

}  // namespace

std::optional<TimePoint> likely_end(const SessionSummary& session) {
  if (session.dpop_jkt.empty()) return std::nullopt;
  const bool is_public = session.client_auth_method == ClientAuthMethod::none;
  const TimePoint start = is_public ? session.session_started_at : session.issued_at;
  if (start == kMalformedTime || start == TimePoint{}) return std::nullopt;
  const TimePoint end = start + (is_public ? kPublicSession : kConfidentialRefresh);
  return std::min(end, session.refresh_expires_at.value_or(end));
}

bool ends_soon(const SessionSummary& session, TimePoint now) {
  const auto end = likely_end(session);
  return end && *end - now <= kSoon;
}

}  // namespace latchkey
