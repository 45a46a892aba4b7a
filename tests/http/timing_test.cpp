// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>

import latchkey.http.timing;

using namespace std::chrono_literals;
using latchkey::share_of;
using latchkey::time_left;

namespace {

const std::chrono::steady_clock::time_point kNow{1'000s};

}  // namespace

TEST_CASE("time_left: is never negative: what takes milliseconds waits for ever then",
          "[http.timing]") {
  CHECK(time_left(kNow - 1ns, kNow) == 0ms);
  CHECK(time_left(kNow - 2ms, kNow) == 0ms);
  CHECK(time_left(kNow - 24h, kNow) == 0ms);
  CHECK(time_left(kNow, kNow) == 0ms);
}

TEST_CASE("time_left: is rounded up", "[http.timing]") {
  CHECK(time_left(kNow + 1ns, kNow) == 1ms);
  CHECK(time_left(kNow + 1ms, kNow) == 1ms);
  CHECK(time_left(kNow + 1500us, kNow) == 2ms);
}

TEST_CASE("share_of: many addresses get two seconds each, as long as there is time",
          "[http.timing]") {
  CHECK(share_of(10s, 1) == 10s);
  CHECK(share_of(10s, 2) == 5s);
  CHECK(share_of(10s, 5) == 2s);
  CHECK(share_of(10s, 8) == 2s);
  CHECK(share_of(2s, 8) == 2s);
  CHECK(share_of(600ms, 3) == 600ms);
  CHECK(share_of(0ms, 3) == 0ms);
  CHECK(share_of(10s, 0) == 10s);
}
