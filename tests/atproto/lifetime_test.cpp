// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>

import latchkey.atproto.lifetime;
import latchkey.core;
import latchkey.session;

using namespace latchkey;
using namespace std::chrono_literals;
using std::chrono::days;

namespace {

constexpr TimePoint kNow{std::chrono::milliseconds{1'790'000'000'000}};

SessionSummary of(ClientAuthMethod method) {
  SessionSummary session;
  session.client_auth_method = method;
  session.dpop_jkt = "thumbprint";
  session.session_started_at = kNow;
  session.issued_at = kNow;
  return session;
}

}  // namespace

TEST_CASE("C7.8: a public client's session ends 14 days after its login, refreshed or not",
          "[lifetime]") {
  SessionSummary session = of(ClientAuthMethod::none);
  CHECK(likely_end(session) == kNow + days{14});
  session.issued_at = kNow + days{13};
  CHECK(likely_end(session) == kNow + days{14});
}

TEST_CASE("C7.8: a confidential client's session ends 180 days after its last refresh",
          "[lifetime]") {
  SessionSummary session = of(ClientAuthMethod::private_key_jwt);
  CHECK(likely_end(session) == kNow + days{180});
  session.issued_at = kNow + days{100};
  CHECK(likely_end(session) == kNow + days{280});
}

TEST_CASE("C7.8: the end is told two days ahead, not a moment sooner, and from then on",
          "[lifetime]") {
  const SessionSummary session = of(ClientAuthMethod::none);
  CHECK_FALSE(ends_soon(session, kNow));
  CHECK_FALSE(ends_soon(session, kNow + days{12} - 1ms));
  CHECK(ends_soon(session, kNow + days{12}));
  CHECK(ends_soon(session, kNow + days{14}));
  CHECK(ends_soon(session, kNow + days{100}));
}

TEST_CASE("C7.8: an earlier end that is known counts, a later one does not", "[lifetime]") {
  SessionSummary session = of(ClientAuthMethod::none);
  session.refresh_expires_at = kNow + days{3};
  CHECK(likely_end(session) == kNow + days{3});
  session.refresh_expires_at = kNow + days{90};
  CHECK(likely_end(session) == kNow + days{14});
}

TEST_CASE("C7.8: nothing is guessed of sessions without a key or a time", "[lifetime]") {
  SessionSummary bearer = of(ClientAuthMethod::none);
  bearer.dpop_jkt.clear();
  CHECK(likely_end(bearer) == std::nullopt);
  CHECK_FALSE(ends_soon(bearer, kNow + days{100}));
  SessionSummary timeless = of(ClientAuthMethod::none);
  timeless.session_started_at = TimePoint{};
  CHECK(likely_end(timeless) == std::nullopt);
  timeless.session_started_at = kMalformedTime;
  CHECK(likely_end(timeless) == std::nullopt);
}
