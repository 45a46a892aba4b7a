// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.session;
import latchkey.test.sample;

using namespace latchkey;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kExpiry{1'800'000'000'000ms};

SessionSummary expiring(std::optional<TimePoint> at) {
  SessionSummary summary;
  summary.expires_at = at;
  summary.refresh_expires_at = at;
  return summary;
}

TimePoint instant(std::string_view text) {
  return parse_rfc3339(text).value();
}

}  // namespace

TEST_CASE("is_expired: is true from the very millisecond of the expiry on", "[session]") {
  const auto session = expiring(kExpiry);
  CHECK_FALSE(session.is_expired(kExpiry - 1ms));
  CHECK(session.is_expired(kExpiry));
  CHECK(session.is_expired(kExpiry + 1ms));
}

TEST_CASE("is_expired: a missing time is unknown and not expired", "[session]") {
  CHECK_FALSE(expiring(std::nullopt).is_expired(TimePoint::max()));
}

TEST_CASE("is_expired: a malformed time is expired, whatever the clock says", "[session]") {
  const auto session = expiring(kMalformedTime);
  CHECK(session.is_expired(kExpiry));
  CHECK(session.is_expired(TimePoint::min()));
  CHECK(session.is_expired(TimePoint{}));
}

TEST_CASE("is_expired: offsets other than UTC are compared as instants", "[session]") {
  const auto session = expiring(instant("2026-11-20T14:00:00+02:00"));
  CHECK_FALSE(session.is_expired(instant("2026-11-20T11:59:59.999Z")));
  CHECK(session.is_expired(instant("2026-11-20T12:00:00Z")));
  CHECK(session.is_expired(instant("2026-11-20T04:00:00-08:00")));
}

TEST_CASE("time_until_expiry: is what is left, and never negative", "[session]") {
  const auto session = expiring(kExpiry);
  CHECK(session.time_until_expiry(kExpiry - 90s) == 90s);
  CHECK(session.time_until_expiry(kExpiry - 1ms) == 1ms);
  CHECK(session.time_until_expiry(kExpiry) == 0ms);
  CHECK(session.time_until_expiry(kExpiry + 1ms) == 0ms);
  CHECK(session.time_until_expiry(TimePoint::max()) == 0ms);
}

TEST_CASE("time_until_expiry: is empty if unknown and zero if malformed", "[session]") {
  CHECK_FALSE(expiring(std::nullopt).time_until_expiry(kExpiry).has_value());
  CHECK(expiring(kMalformedTime).time_until_expiry(kExpiry) == 0ms);
  CHECK(expiring(kMalformedTime).time_until_expiry(TimePoint::min()) == 0ms);
}

TEST_CASE("time_until_expiry: does not overflow between the ends of time", "[session]") {
  CHECK(expiring(TimePoint::max()).time_until_expiry(TimePoint::min()) == Duration::max());
  CHECK(expiring(TimePoint::min()).time_until_expiry(TimePoint::max()) == 0ms);
}

TEST_CASE("needs_refresh: is true exactly at the threshold", "[session]") {
  const auto session = expiring(kExpiry);
  CHECK_FALSE(session.needs_refresh(kExpiry - 60s - 1ms));
  CHECK(session.needs_refresh(kExpiry - 60s));
  CHECK(session.needs_refresh(kExpiry - 60s + 1ms));
  CHECK(session.needs_refresh(kExpiry));
  CHECK(session.needs_refresh(kExpiry + 1h));
}

TEST_CASE("needs_refresh: with a zero threshold it is is_expired", "[session]") {
  const auto session = expiring(kExpiry);
  CHECK_FALSE(session.needs_refresh(kExpiry - 1ms, 0ms));
  CHECK(session.needs_refresh(kExpiry, 0ms));
}

TEST_CASE("needs_refresh: a negative threshold waits that long after the expiry", "[session]") {
  const auto session = expiring(kExpiry);
  CHECK_FALSE(session.needs_refresh(kExpiry, -5s));
  CHECK_FALSE(session.needs_refresh(kExpiry + 5s - 1ms, -5s));
  CHECK(session.needs_refresh(kExpiry + 5s, -5s));
}

TEST_CASE("needs_refresh: huge thresholds and times do not overflow", "[session]") {
  CHECK(expiring(kExpiry).needs_refresh(TimePoint{}, Duration::max()));
  CHECK_FALSE(expiring(kExpiry).needs_refresh(kExpiry + 1h, Duration::min()));
  CHECK_FALSE(expiring(TimePoint::max()).needs_refresh(TimePoint::min(), Duration::max() - 1ms));
  CHECK(expiring(TimePoint::min()).needs_refresh(TimePoint::max(), Duration::min()));
}

TEST_CASE("needs_refresh: missing is no need, malformed is need at any threshold", "[session]") {
  CHECK_FALSE(expiring(std::nullopt).needs_refresh(TimePoint::max(), Duration::max()));
  CHECK(expiring(kMalformedTime).needs_refresh(kExpiry));
  CHECK(expiring(kMalformedTime).needs_refresh(kExpiry, Duration::min()));
  CHECK(expiring(kMalformedTime).needs_refresh(TimePoint::min(), -1h));
}

TEST_CASE("refresh_expired: turns true at its time, and does not look at the access token's",
          "[session]") {
  auto session = expiring(kExpiry);
  session.expires_at = kExpiry - 1h;
  CHECK_FALSE(session.refresh_expired(kExpiry - 1ms));
  CHECK(session.refresh_expired(kExpiry));
  CHECK(session.refresh_expired(kExpiry + 1ms));
}

TEST_CASE("refresh_expired: missing is unknown, malformed is expired", "[session]") {
  CHECK_FALSE(expiring(std::nullopt).refresh_expired(TimePoint::max()));
  CHECK(expiring(kMalformedTime).refresh_expired(kExpiry));
  CHECK(expiring(kMalformedTime).refresh_expired(TimePoint::min()));
}

TEST_CASE("clone: copies every member and every token into buffers of its own", "[session]") {
  const auto session = test::sample_session();
  const auto copy = session.clone();
  CHECK(static_cast<const SessionSummary&>(copy) == test::sample_summary());
  CHECK(copy.access_token == session.access_token);
  CHECK(copy.refresh_token == session.refresh_token);
  CHECK(copy.id_token == session.id_token);
  CHECK(copy.access_token.expose().data() != session.access_token.expose().data());
}

TEST_CASE("clone: tokens that are absent stay absent", "[session]") {
  OAuthSession session;
  session.access_token = SecretString("only");
  const auto copy = session.clone();
  CHECK_FALSE(copy.refresh_token.has_value());
  CHECK_FALSE(copy.id_token.has_value());
}

TEST_CASE("session names: every enumerator survives its text, and other text is refused",
          "[session]") {
  for (const auto state : {SessionState::active, SessionState::dead, SessionState::revoking}) {
    CHECK(session_state_from(to_string(state)) == state);
  }
  for (const auto method :
       {ClientAuthMethod::none, ClientAuthMethod::client_secret_basic,
        ClientAuthMethod::client_secret_post, ClientAuthMethod::private_key_jwt}) {
    CHECK(client_auth_method_from(to_string(method)) == method);
  }
  for (const std::string_view text : {"", "Active", "active ", "unknown", "0"}) {
    CHECK_FALSE(session_state_from(text).has_value());
    CHECK_FALSE(client_auth_method_from(text).has_value());
  }
}

TEST_CASE("token_fingerprint: is the beginning of base64url(SHA-256), as another tool computes it",
          "[session]") {
  // printf abc | openssl dgst -sha256 -binary | base64
  CHECK(token_fingerprint(SecretString("abc")) == "ungWv48Bz-pBQUDe");
  CHECK(token_fingerprint(SecretString("abd")) != token_fingerprint(SecretString("abc")));
  CHECK(token_fingerprint(SecretString("")).size() == 16);
}
