// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.dpop;
import latchkey.http;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace std::chrono_literals;
using latchkey::test::answer;

namespace {

constexpr std::string_view kOrigin = "https://as.example";
constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";
// The middle of the second that kDate stands for.
const TimePoint kDateTime = parse_rfc3339("1994-11-06T08:49:37.500Z").value();

// The offset learnt from kDate when our clock was `ahead` of the server's, and the way took `trip`
// in all.
Duration learnt(Duration ahead, Duration trip = 0ms) {
  ClockSkew skew;
  skew.learn(kOrigin, answer(200, {{"Date", kDate}}), kDateTime + ahead - trip / 2,
             kDateTime + ahead + trip / 2);
  return skew.offset(kOrigin);
}

}  // namespace

TEST_CASE("ClockSkew: nothing is corrected before anything was learnt", "[skew]") {
  CHECK(ClockSkew{}.offset(kOrigin) == 0ms);
}

TEST_CASE("C6.10: ClockSkew: corrects a clock that is minutes ahead or behind", "[skew]") {
  CHECK(std::chrono::abs(learnt(10min) + 10min) <= 1ms);
  CHECK(std::chrono::abs(learnt(-10min) - 10min) <= 1ms);
}

TEST_CASE("ClockSkew: two seconds are the least it corrects", "[skew]") {
  CHECK(learnt(0ms) == 0ms);
  CHECK(learnt(1990ms) == 0ms);
  CHECK(learnt(-1990ms) == 0ms);
  CHECK(learnt(2010ms) < -2s);
  CHECK(learnt(-2010ms) > 2s);
}

TEST_CASE("ClockSkew: what the time of travel explains is not corrected", "[skew]") {
  CHECK(learnt(8s, 20s) == 0ms);
  CHECK(learnt(-8s, 20s) == 0ms);
  CHECK(learnt(20s, 20s) < -18s);
}

TEST_CASE("ClockSkew: a date more than a day away is not believed", "[skew]") {
  CHECK(learnt(23h) < -22h);
  CHECK(learnt(25h) == 0ms);
  CHECK(learnt(-25h) == 0ms);
}

TEST_CASE("ClockSkew: a date that is missing, malformed, repeated or cached teaches nothing",
          "[skew]") {
  ClockSkew skew;
  const auto learn = [&](const HttpResponse& response) {
    skew.learn(kOrigin, response, kDateTime + 1h, kDateTime + 1h);
    return skew.offset(kOrigin);
  };
  CHECK(learn(answer(200)) == 0ms);
  CHECK(learn(answer(200, {{"Date", "1994-11-06T08:49:37Z"}})) == 0ms);
  CHECK(learn(answer(200, {{"Date", kDate}, {"Date", kDate}})) == 0ms);
  CHECK(learn(answer(200, {{"Date", kDate}, {"Age", "3600"}})) == 0ms);
  skew.learn(kOrigin, answer(200, {{"Date", kDate}}), kDateTime + 2h, kDateTime + 1h);
  CHECK(skew.offset(kOrigin) == 0ms);
  CHECK(learn(answer(200, {{"Date", kDate}})) < -59min);
}

TEST_CASE("ClockSkew: each origin has its own, and a good clock clears it", "[skew]") {
  ClockSkew skew;
  skew.learn(kOrigin, answer(200, {{"Date", kDate}}), kDateTime + 1h, kDateTime + 1h);
  CHECK(skew.offset("https://pds.example") == 0ms);
  CHECK(skew.offset(kOrigin) != 0ms);
  skew.learn(kOrigin, answer(200, {{"Date", kDate}}), kDateTime, kDateTime);
  CHECK(skew.offset(kOrigin) == 0ms);
}

TEST_CASE("ClockSkew: thousands of origins do not grow it without bound", "[skew]") {
  ClockSkew skew;
  for (int i = 0; i < 1500; ++i) {
    skew.learn("https://" + std::to_string(i), answer(200, {{"Date", kDate}}), kDateTime + 1h,
               kDateTime + 1h);
  }
  int kept = 0;
  for (int i = 0; i < 1500; ++i) kept += skew.offset("https://" + std::to_string(i)) != 0ms ? 1 : 0;
  CHECK(kept == 1000);
  CHECK(skew.offset("https://1499") != 0ms);
}
