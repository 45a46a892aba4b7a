// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
module latchkey.session;
import latchkey.core.crypto;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::size_t kFingerprintSize = 16;

// a - b, held at the ends: times in a record may be anything.
Duration difference(TimePoint a, TimePoint b) {
  std::int64_t millis = 0;
  if (__builtin_sub_overflow(std::int64_t{a.time_since_epoch().count()},
                             std::int64_t{b.time_since_epoch().count()}, &millis)) {
    millis =
        a < b ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
  }
  return Duration{millis};
}

bool has_passed(const std::optional<TimePoint>& time, TimePoint now) {
  return time && (*time == kMalformedTime || now >= *time);
}

}  // namespace

bool SessionSummary::is_expired(TimePoint now) const {
  return has_passed(expires_at, now);
}

std::optional<Duration> SessionSummary::time_until_expiry(TimePoint now) const {
  if (!expires_at) return std::nullopt;
  if (is_expired(now)) return Duration::zero();
  return difference(*expires_at, now);
}

bool SessionSummary::needs_refresh(TimePoint now, Duration threshold) const {
  if (!expires_at) return false;
  return *expires_at == kMalformedTime || difference(*expires_at, now) <= threshold;
}

bool SessionSummary::refresh_expired(TimePoint now) const {
  return has_passed(refresh_expires_at, now);
}

OAuthSession OAuthSession::clone() const {
  return OAuthSession{static_cast<const SessionSummary&>(*this), access_token.clone(),
                      latchkey::clone(refresh_token), latchkey::clone(id_token)};
}

std::string_view to_string(SessionState state) noexcept {
  switch (state) {
    case SessionState::active:
      return "active";
    case SessionState::dead:
      return "dead";
    case SessionState::revoking:
      return "revoking";
  }
  return "unknown";
}

std::string_view to_string(ClientAuthMethod method) noexcept {
  switch (method) {
    case ClientAuthMethod::none:
      return "none";
    case ClientAuthMethod::client_secret_basic:
      return "client_secret_basic";
    case ClientAuthMethod::client_secret_post:
      return "client_secret_post";
    case ClientAuthMethod::private_key_jwt:
      return "private_key_jwt";
  }
  return "unknown";
}

std::optional<SessionState> session_state_from(std::string_view text) noexcept {
  for (const auto state : {SessionState::active, SessionState::dead, SessionState::revoking}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

std::optional<ClientAuthMethod> client_auth_method_from(std::string_view text) noexcept {
  for (const auto method :
       {ClientAuthMethod::none, ClientAuthMethod::client_secret_basic,
        ClientAuthMethod::client_secret_post, ClientAuthMethod::private_key_jwt}) {
    if (text == to_string(method)) return method;
  }
  return std::nullopt;
}

std::string token_fingerprint(const SecretString& token) {
  return sha256_base64url(token.expose()).substr(0, kFingerprintSize);
}

}  // namespace latchkey
