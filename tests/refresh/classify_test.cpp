// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.classify;
import latchkey.session;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

OAuthSession living(std::chrono::seconds lifetime) {
  OAuthSession session = sample_session("");
  session.expires_at = session.issued_at + lifetime;
  return session;
}

}  // namespace

TEST_CASE(
    "C7.7: refresh_window: 60 s and 10 s for an hour, a tenth of the lifetime for short tokens",
    "[classify]") {
  struct Row {
    std::chrono::seconds lifetime;
    Duration soft, hard;
  };
  for (const Row& row : {Row{3600s, 60s, 10s}, Row{600s, 60s, 10s}, Row{60s, 6s, 3s},
                         Row{10s, 1s, 500ms}, Row{1s, 100ms, 50ms}}) {
    CAPTURE(row.lifetime.count());
    const RefreshWindow window = refresh_window(living(row.lifetime), 0);
    CHECK(window.soft == row.soft);
    CHECK(window.hard == row.hard);
  }
}

TEST_CASE("refresh_window: jitter takes up to half of soft, and never reaches hard", "[classify]") {
  Duration least = 60s, most = 0s;
  for (std::uint64_t seed = 0; seed < 100'000; seed += 37) {
    const RefreshWindow window = refresh_window(living(3600s), seed);
    least = std::min(least, window.soft);
    most = std::max(most, window.soft);
    REQUIRE(window.soft >= window.hard);
  }
  CHECK(least >= 30s);
  CHECK(least < 31s);
  CHECK(most == 60s);
}

TEST_CASE("refresh_due: changes exactly at the limits", "[classify]") {
  const OAuthSession session = living(3600s);
  const RefreshWindow window = refresh_window(session, 0);
  const TimePoint end = *session.expires_at;
  CHECK(refresh_due(session, end - 60s - 1ms, window) == Due::no);
  CHECK(refresh_due(session, end - 60s, window) == Due::soon);
  CHECK(refresh_due(session, end - 10s - 1ms, window) == Due::soon);
  CHECK(refresh_due(session, end - 10s, window) == Due::now);
  CHECK(refresh_due(session, end + 1h, window) == Due::now);
}

TEST_CASE("refresh_due: an unknown expiry is never due, a malformed one always", "[classify]") {
  OAuthSession session = living(3600s);
  session.expires_at.reset();
  CHECK(refresh_due(session, kNow + 24h * 365, refresh_window(session, 0)) == Due::no);
  session.expires_at = kMalformedTime;
  CHECK(refresh_due(session, kNow, refresh_window(session, 0)) == Due::now);
}

TEST_CASE("judge_refresh: says what may have happened to the refresh token", "[classify]") {
  const auto verdict = [](Result<HttpResponse> answer) {
    return judge_refresh(answer, kNow).verdict;
  };
  const auto failure = [](ErrorCode code, Delivery delivery) {
    Error error = make_error(code, "x", "x");
    error.delivery = delivery;
    return error;
  };
  CHECK(verdict(json_answer(200, "{}")) == Verdict::answered);
  CHECK(verdict(json_answer(400, R"({"error":"invalid_grant"})")) == Verdict::grant_refused);
  CHECK(verdict(json_answer(400, R"({"error":"invalid_request"})")) == Verdict::not_consumed);
  CHECK(verdict(json_answer(401, R"({"error":"invalid_client"})")) == Verdict::not_consumed);
  CHECK(verdict(json_answer(429, "{}")) == Verdict::not_consumed);
  CHECK(verdict(json_answer(500, R"({"error":"invalid_grant"})")) == Verdict::unknown);
  CHECK(verdict(json_answer(503, "busy")) == Verdict::unknown);
  CHECK(verdict(json_answer(204, "")) == Verdict::unknown);
  CHECK(verdict(answer(302, {{"Location", "https://evil.test"}})) == Verdict::unknown);
  CHECK(verdict(failure(ErrorCode::unreachable, Delivery::not_sent)) == Verdict::not_consumed);
  CHECK(verdict(failure(ErrorCode::timeout, Delivery::maybe_sent)) == Verdict::unknown);
  CHECK(verdict(failure(ErrorCode::connection_lost, Delivery::maybe_sent)) == Verdict::unknown);
  CHECK(verdict(failure(ErrorCode::dpop_refused, Delivery::not_sent)) == Verdict::not_consumed);
}

TEST_CASE("back_off: doubles from 1 s to 60 s and honours Retry-After", "[classify]") {
  CHECK(back_off(1, std::nullopt) == 1s);
  CHECK(back_off(2, std::nullopt) == 2s);
  CHECK(back_off(6, std::nullopt) == 32s);
  CHECK(back_off(7, std::nullopt) == 60s);
  CHECK(back_off(1'000'000, std::nullopt) == 60s);
  CHECK(back_off(1, 7s) == 7s);
  CHECK(back_off(7, 7s) == 60s);
  CHECK(back_off(1, 3600s) == 3600s);
}
