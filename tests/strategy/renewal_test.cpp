// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.test.outcome;
import latchkey.test.strategy_rig;

// The single flight of tokens that are obtained anew: who waits, and who does not.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string print_of(std::string_view token) {
  return token_fingerprint(SecretString(token));
}

}  // namespace

TEST_CASE("SA-10: 50 callers without a token cause one request", "[renewal][concurrency]") {
  RenewalRig rig;
  rig.mint.hold();
  const auto answers = rig.get_together(50, [&] {
    rig.mint.wait_for_call(1);
    rig.mint.release();
  });
  CHECK(all_are(answers, "t-1"));
  CHECK(rig.mint.calls() == 1);
  CHECK(rig.mint.peak() == 1);
}

TEST_CASE("SA-10: without credentials every caller is told so, and the next one asks again",
          "[renewal][concurrency]") {
  RenewalRig rig;
  rig.mint.fail_next(cut_cable(ErrorCode::login_required));
  CHECK(rig.get() == "login_required test.cause");
  CHECK(rig.get() == "t-1");
}

TEST_CASE("SA-11: a fresh token is handed out at once, to 200 callers too",
          "[renewal][concurrency]") {
  RenewalRig rig;
  REQUIRE(rig.get() == "t-1");
  rig.mint.hold();
  CHECK(all_are(rig.get_together(200), "t-1"));
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SA-11: the token of an hour is fresh up to a minute before its end", "[renewal]") {
  RenewalRig rig;
  REQUIRE(rig.get() == "t-1");
  rig.clock->advance(1h - 61s);
  CHECK(rig.get() == "t-1");
  CHECK_FALSE(rig.renewal.under_way());
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SA-12: while a token is renewed that is still good, callers get it without waiting",
          "[renewal][concurrency]") {
  DueRig rig;
  rig.mint.hold();
  CHECK(rig.get() == "t-1");
  rig.mint.wait_for_call(2);
  CHECK(all_are(rig.get_together(50), "t-1"));
  CHECK(rig.mint.calls() == 2);
  rig.land();
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-13: a token that ends while it is renewed makes callers wait for the new one",
          "[renewal][concurrency]") {
  DueRig rig;
  rig.mint.hold();
  REQUIRE(rig.get() == "t-1");
  rig.mint.wait_for_call(2);
  rig.clock->advance(20s);
  const auto answers = rig.get_together(50, [&] { rig.mint.release(); });
  CHECK(all_are(answers, "t-2"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-13: a new token that has ended already is an error and no token", "[renewal]") {
  RenewalRig rig;
  rig.mint.set_lifetime(0s);
  CHECK(rig.get() == "token_invalid renewal.expired");
  CHECK(rig.get() == "backing_off strategy.backing_off");
  CHECK(rig.store->stored().empty());
}

TEST_CASE("SA-14: whoever begins a renewal of a good token does not wait for it either",
          "[renewal][concurrency]") {
  DueRig rig;
  rig.mint.hold();
  CHECK(all_are(rig.get_together(50), "t-1"));
  rig.mint.wait_for_call(2);
  rig.land();
  CHECK(rig.mint.calls() == 2);
  CHECK(rig.mint.peak() == 1);
}

TEST_CASE("SA-14: a renewal in the background that fails leaves the good token", "[renewal]") {
  DueRig rig;
  rig.mint.fail_next(cut_cable());
  CHECK(rig.get() == "t-1");
  rig.land();
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 2);
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-1");
  rig.land();
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-14: past the hard limit all wait, and have the old token if that fails",
          "[renewal][concurrency]") {
  DueRig rig;
  rig.clock->advance(15s);
  rig.mint.fail_next(cut_cable());
  rig.mint.hold();
  const auto answers = rig.get_together(50, [&] {
    rig.mint.wait_for_call(2);
    rig.mint.release();
  });
  CHECK(all_are(answers, "t-1"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-15: 50 callers with a token that has ended wait for one request",
          "[renewal][concurrency]") {
  EndedRig rig;
  rig.mint.hold();
  const auto answers = rig.get_together(50, [&] {
    rig.mint.wait_for_call(2);
    rig.mint.release();
  });
  CHECK(all_are(answers, "t-2"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-15: when it fails, all are told the true cause, and a later try succeeds",
          "[renewal][concurrency]") {
  EndedRig rig;
  rig.mint.fail_next(cut_cable());
  rig.mint.hold();
  std::vector<std::string> messages;
  const auto answers = ask_together(
      50,
      [&] {
        const auto session = rig.renewal.get();
        return session ? std::string("a token") : session.error().message;
      },
      [&] {
        rig.mint.wait_for_call(2);
        rig.mint.release();
      });
  for (const auto& message : answers) {
    CHECK(message.find("the cable is cut") != std::string::npos);
  }
  CHECK(rig.mint.calls() == 2);
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-16: a token that nobody knows the end of is good until it is refused", "[renewal]") {
  RenewalRig rig;
  rig.mint.set_lifetime(std::nullopt);
  REQUIRE(rig.get() == "t-1");
  rig.clock->advance(24h * 5000);
  CHECK(rig.get() == "t-1");
  CHECK(rig.get({.rejected = print_of("t-1")}) == "t-2");
  CHECK(rig.get({.rejected = print_of("t-1")}) == "t-2");
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-16: a refused token is not handed out again, also not when no other can be had",
          "[renewal]") {
  RenewalRig rig;
  REQUIRE(rig.get() == "t-1");
  rig.mint.fail_next(cut_cable());
  CHECK(rig.get({.rejected = print_of("t-1")}) == "unreachable test.cause");
  CHECK(rig.get() == "backing_off strategy.backing_off");
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-16: a server that gives the refused token again is asked once a refusal",
          "[renewal]") {
  RenewalRig rig;
  REQUIRE(rig.get() == "t-1");
  rig.mint.repeat();
  CHECK(rig.get({.rejected = print_of("t-1")}) == "t-1");
  CHECK(rig.mint.calls() == 2);
  CHECK(rig.get() == "t-1");
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-16: 50 reports of one refused token cause one request", "[renewal][concurrency]") {
  RenewalRig rig;
  REQUIRE(rig.get() == "t-1");
  const auto answers = ask_together(50, [&] { return rig.get({.rejected = print_of("t-1")}); });
  CHECK(all_are(answers, "t-2"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-24: calls one after the other renew once", "[renewal]") {
  EndedRig rig;
  CHECK(rig.get() == "t-2");
  CHECK(rig.get() == "t-2");
  CHECK(rig.get() == "t-2");
  CHECK(rig.mint.calls() == 2);
}
