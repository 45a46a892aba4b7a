// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.test.outcome;
import latchkey.test.random;
import latchkey.test.strategy_rig;

// Callers who give up, sources that fail, tokens that can't be saved.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

TEST_CASE("SA-17: a caller who has given up before begins nothing", "[renewal]") {
  RenewalRig rig;
  std::stop_source stop;
  stop.request_stop();
  CHECK(rig.get({.stop = stop.get_token()}) == "cancelled strategy.cancelled");
  CHECK(rig.mint.calls() == 0);
}

TEST_CASE("SA-17: a caller who gives up strands nobody: the request goes on",
          "[renewal][concurrency]") {
  EndedRig rig;
  rig.mint.hold();
  std::stop_source stop;
  const auto impatient = ask_together(
      1, [&] { return rig.get({.stop = stop.get_token()}); },
      [&] {
        rig.mint.wait_for_call(2);
        stop.request_stop();
      });
  CHECK(impatient == std::vector<std::string>{"cancelled strategy.cancelled"});
  const auto patient = rig.get_together(50, [&] { rig.mint.release(); });
  CHECK(all_are(patient, "t-2"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-17: a caller whose time is over strands nobody", "[renewal]") {
  EndedRig rig;
  rig.mint.hold();
  CHECK(rig.get({.timeout = 1ms}) == "timeout strategy.timeout");
  rig.land();
  CHECK(rig.get() == "t-2");
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-18: giving up just as the token arrives leaves nothing stuck",
          "[renewal][concurrency]") {
  for (int round = 0; round < 20; ++round) {
    EndedRig rig;
    std::stop_source stop;
    rig.mint.at_end([&] { stop.request_stop(); });
    const std::string answer = rig.get({.stop = stop.get_token()});
    CHECK((answer == "t-2" || answer == "cancelled strategy.cancelled"));
    CHECK(rig.get() == "t-2");
    CHECK(rig.mint.calls() == 2);
  }
}

TEST_CASE("SA-18: a source that throws is an error for all, and leaves nothing stuck",
          "[renewal][concurrency]") {
  RenewalRig rig;
  rig.mint.throw_next();
  rig.mint.hold();
  const auto session = [&] {
    rig.mint.release();
    return rig.renewal.get();
  }();
  CHECK(outcome(session) == "invalid_argument strategy.function_threw");
  CHECK(session.error().message.find("secret-in-what") == std::string::npos);
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-1");
}

TEST_CASE("SA-19: a token that is good for decades is refused", "[renewal]") {
  RenewalRig rig;
  rig.mint.set_lifetime(std::chrono::seconds(1'790'000'000));
  CHECK(rig.get() == "token_invalid renewal.expires_at");
  rig.mint.set_lifetime(24h * 366);
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-20: a token is saved before it is handed out", "[renewal]") {
  RenewalRig rig;
  CHECK(rig.get() == "t-1");
  CHECK(rig.store->stored() == "t-1");
  rig.clock->advance(1h);
  CHECK(rig.get() == "t-2");
  CHECK(rig.store->stored() == "t-2");
  CHECK(rig.store->saves() == 2);
}

TEST_CASE("SA-20: a token that can be had again is handed out with a warning if it can't be saved",
          "[renewal]") {
  RenewalRig rig;
  rig.store->fail_saves(make_error(ErrorCode::io, "test.disk_full", "the disk is full"));
  CHECK(rig.get() == "t-1");
  CHECK(rig.warnings == std::vector<std::string>{"test.disk_full"});
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SA-20: one with a refresh token is not, and waits to be saved before anything is sent",
          "[renewal]") {
  RenewalRig rig;
  rig.mint.rotate();
  rig.store->fail_saves(make_error(ErrorCode::io, "test.disk_full", "the disk is full"));
  CHECK(rig.get() == "session_not_durable renewal.not_durable");
  CHECK(rig.get() == "backing_off strategy.backing_off");
  rig.clock->advance(1s);
  CHECK(rig.get() == "session_not_durable renewal.not_durable");
  CHECK(rig.mint.calls() == 1);
  rig.store->fail_saves(std::nullopt);
  rig.clock->advance(2s);
  CHECK(rig.get() == "t-1");
  CHECK(rig.store->stored() == "t-1");
  CHECK(rig.mint.calls() == 1);
  CHECK(rig.warnings.empty());
}

TEST_CASE("SA-20: what is still unsaved at the end is saved then", "[renewal]") {
  const auto clock = std::make_shared<ManualClock>(kRigNow);
  const auto store = std::make_shared<ScriptedTokenStore>();
  TokenMint mint(clock);
  mint.rotate();
  {
    TokenRenewal renewal({.purpose = "test",
                          .source = mint.source(),
                          .store = store,
                          .clock = clock,
                          .random = std::make_shared<FixedRandom>(1)});
    store->fail_saves(make_error(ErrorCode::io, "test.disk_full", "the disk is full"));
    CHECK(outcome(renewal.get()) == "session_not_durable renewal.not_durable");
    store->fail_saves(std::nullopt);
  }
  CHECK(store->stored() == "t-1");
}

TEST_CASE("SA-22: after failures the next try waits 1 s, doubling to 60 s", "[renewal]") {
  RenewalRig rig;
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    rig.mint.fail_next(cut_cable());
    CHECK(rig.get() == "unreachable test.cause");
    rig.clock->advance(wait - 1ms);
    CHECK(rig.get() == "backing_off strategy.backing_off");
    rig.clock->advance(1ms);
  }
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 9);
}

TEST_CASE("SA-22: what the server asks for is waited, and said to the caller", "[renewal]") {
  RenewalRig rig;
  Error limited = cut_cable(ErrorCode::rate_limited);
  limited.retry_after = 300s;
  rig.mint.fail_next(limited);
  CHECK(rig.get() == "rate_limited test.cause");
  rig.clock->advance(100s);
  const auto session = rig.renewal.get();
  CHECK(outcome(session) == "backing_off strategy.backing_off");
  CHECK(session.error().retry_after == 200s);
  CHECK(session.error().message.find("the cable is cut") != std::string::npos);
  rig.clock->advance(200s);
  CHECK(rig.get() == "t-1");
}

TEST_CASE("SA-23: the refresh token is still there after a failure, and after a caller gave up",
          "[renewal]") {
  RenewalRig rig;
  rig.mint.rotate();
  REQUIRE(rig.get() == "t-1");
  rig.clock->advance(1h);
  rig.mint.fail_next(cut_cable());
  CHECK(rig.get() == "unreachable test.cause");
  rig.clock->advance(1s);
  rig.mint.hold();
  CHECK(rig.get({.timeout = 1ms}) == "timeout strategy.timeout");
  rig.land();
  CHECK(rig.get() == "t-2");
  CHECK(rig.mint.held() == std::vector<std::string>{"no token", "r-1", "r-1"});
}

TEST_CASE("the end of a renewal does not wait for a server that does not answer", "[renewal]") {
  const auto clock = std::make_shared<ManualClock>(kRigNow);
  TokenMint mint(clock);
  mint.hold();
  {
    TokenRenewal renewal({.purpose = "test", .source = mint.source(), .clock = clock});
    CHECK(outcome(renewal.get({.timeout = 1ms})) == "timeout strategy.timeout");
  }
  CHECK(mint.calls() == 1);
}
