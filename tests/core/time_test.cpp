// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

TimePoint at_ms(long long milliseconds) {
  return TimePoint(std::chrono::milliseconds(milliseconds));
}

}  // namespace

TEST_CASE("rfc 3339: reads what the grammar allows", "[time]") {
  struct Row {
    std::string_view text;
    long long milliseconds;
  };
  for (const auto& row : {
           Row{"1970-01-01T00:00:00Z", 0},
           Row{"2026-11-20T09:30:00Z", 1795167000000},
           Row{"2026-11-20t09:30:00z", 1795167000000},
           Row{"2026-11-20T09:30:00.5Z", 1795167000500},
           Row{"2026-11-20T09:30:00.25Z", 1795167000250},
           Row{"2026-11-20T09:30:00.123Z", 1795167000123},
           Row{"2026-11-20T09:30:00.123999999Z", 1795167000123},
           Row{"2026-11-20T10:30:00+01:00", 1795167000000},
           Row{"2026-11-20T04:00:00-05:30", 1795167000000},
           Row{"2026-11-20T09:30:00-00:00", 1795167000000},
           Row{"1969-12-31T23:59:59.999Z", -1},
           Row{"2024-02-29T00:00:00Z", 1709164800000},
           Row{"2000-02-29T00:00:00Z", 951782400000},
           Row{"1990-12-31T23:59:60Z", 662688000000},
           Row{"9999-12-31T23:59:59Z", 253402300799000},
       }) {
    INFO(row.text);
    const auto time = parse_rfc3339(row.text);
    REQUIRE(time.has_value());
    CHECK(*time == at_ms(row.milliseconds));
  }
}

TEST_CASE("rfc 3339: refuses everything else", "[time]") {
  for (const std::string_view text : {"",
                                      "2026",
                                      "2026-11-20",
                                      "2026-11-20T09:30Z",
                                      "2026-11-20T09:30:00",
                                      "2026-11-20 09:30:00Z",
                                      "2026-11-20T09:30:00Z ",
                                      " 2026-11-20T09:30:00Z",
                                      "2026-11-20T09:30:00.Z",
                                      "2026-11-20T09:30:00,5Z",
                                      "2026-11-20T09:30:00.1234567890Z",
                                      "2026-11-20T24:00:00Z",
                                      "2026-11-20T09:60:00Z",
                                      "2026-11-20T09:30:61Z",
                                      "2026-00-20T09:30:00Z",
                                      "2026-13-20T09:30:00Z",
                                      "2026-11-00T09:30:00Z",
                                      "2026-11-31T09:30:00Z",
                                      "2025-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-11-20T09:30:00+24:00",
                                      "2026-11-20T09:30:00+01:60",
                                      "2026-11-20T09:30:00+0100",
                                      "2026-11-20T09:30:00+01",
                                      "+026-11-20T09:30:00Z",
                                      "-026-11-20T09:30:00Z",
                                      "12026-11-20T09:30:00Z",
                                      "2026-1-20T09:30:00Z",
                                      "2026-11-20T9:30:00Z",
                                      "2026-11-20T09:30:00ZZ",
                                      "2026-11-20T09:30:00+01:00Z",
                                      "20261120T093000Z",
                                      "malformed",
                                      "1795167000"}) {
    INFO(text);
    CHECK(outcome(parse_rfc3339(text)) == "invalid_argument time.malformed");
  }
  CHECK(outcome(parse_rfc3339(std::string_view("2026-11-20T09:30:00Z\0", 21))) ==
        "invalid_argument time.malformed");
}

TEST_CASE("rfc 3339: writes UTC, with milliseconds only when there are some", "[time]") {
  CHECK(format_rfc3339(at_ms(0)) == "1970-01-01T00:00:00Z");
  CHECK(format_rfc3339(at_ms(1795167000000)) == "2026-11-20T09:30:00Z");
  CHECK(format_rfc3339(at_ms(1795167000250)) == "2026-11-20T09:30:00.250Z");
  CHECK(format_rfc3339(at_ms(1795167000007)) == "2026-11-20T09:30:00.007Z");
  CHECK(format_rfc3339(at_ms(-1)) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("rfc 3339: what is written reads back as itself", "[time]") {
  for (const long long ms :
       {0LL, 1LL, 999LL, -1LL, -86400000LL, 951782399999LL, 253402300799999LL}) {
    INFO(ms);
    const auto back = parse_rfc3339(format_rfc3339(at_ms(ms)));
    REQUIRE(back.has_value());
    CHECK(*back == at_ms(ms));
  }
}

TEST_CASE("rfc 3339: a malformed time stays malformed and lies before every real time", "[time]") {
  CHECK(format_rfc3339(kMalformedTime) == "malformed");
  CHECK_FALSE(parse_rfc3339(format_rfc3339(kMalformedTime)).has_value());
  CHECK(kMalformedTime < at_ms(-62'135'596'799'999));
}

TEST_CASE("http date: reads the fixed form", "[time]") {
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == at_ms(784111777000));
  CHECK(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT") == at_ms(0));
  CHECK(parse_http_date("Fri, 20 Nov 2026 09:30:00 GMT") == at_ms(1795167000000));
}

TEST_CASE("http date: anything else is no date", "[time]") {
  for (const std::string_view text :
       {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Xxx 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37", "120", "1994-11-06T08:49:37Z"}) {
    INFO(text);
    CHECK_FALSE(parse_http_date(text).has_value());
  }
}

TEST_CASE("manual clock: stands still until it is moved", "[time]") {
  ManualClock clock(at_ms(1000));
  const auto steady = clock.steady_now();
  CHECK(clock.now() == at_ms(1000));
  CHECK(clock.now() == at_ms(1000));
  clock.advance(250ms);
  CHECK(clock.now() == at_ms(1250));
  CHECK(clock.steady_now() - steady == 250ms);
  CHECK(clock.slept() == 0ms);
}

TEST_CASE("manual clock: a sleep takes no time and moves it", "[time]") {
  ManualClock clock(at_ms(0));
  CHECK(clock.sleep_for(1h, {}));
  CHECK(clock.sleep_for(1ms, {}));
  CHECK(clock.now() == at_ms(3'600'001));
  CHECK(clock.slept() == 1h + 1ms);
}

TEST_CASE("manual clock: a stopped sleep does not move it", "[time]") {
  ManualClock clock(at_ms(0));
  std::stop_source stop;
  stop.request_stop();
  CHECK_FALSE(clock.sleep_for(1h, stop.get_token()));
  CHECK(clock.now() == at_ms(0));
}

TEST_CASE("system clock: is the machine's clock in whole milliseconds", "[time]") {
  const SystemClock clock;
  const auto before = std::chrono::system_clock::now();
  const auto now = clock.now();
  const auto after = std::chrono::system_clock::now();
  CHECK(now >= before - 1ms);
  CHECK(now <= after);
  CHECK(clock.steady_now() <= clock.steady_now());
}

TEST_CASE("system clock: a sleep lasts at least as long as asked", "[time]") {
  SystemClock clock;
  const auto before = clock.steady_now();
  CHECK(clock.sleep_for(2ms, {}));
  CHECK(clock.steady_now() - before >= 2ms);
  CHECK(clock.sleep_for(0ms, {}));
}

TEST_CASE("system clock: a sleep ends when it is stopped", "[time][concurrency]") {
  SystemClock clock;
  std::stop_source stop;
  bool slept = true;
  std::thread sleeper([&] { slept = clock.sleep_for(24h, stop.get_token()); });
  stop.request_stop();
  sleeper.join();
  CHECK_FALSE(slept);
  CHECK_FALSE(clock.sleep_for(24h, stop.get_token()));
}
