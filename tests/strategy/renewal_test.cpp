// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.test.outcome;
import latchkey.test.random;
import latchkey.test.strategy_rig;

// The single flight of tokens that are obtained anew (SA-10 to SA-24). Tokens live an hour: with
// the jitter, they are due between 60 and 30 s before their end, and callers wait from 10 s on.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Rig {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kRigNow);
  TokenMint mint{clock};
  std::shared_ptr<ScriptedTokenStore> store = std::make_shared<ScriptedTokenStore>();
  std::vector<std::string> warnings;
  TokenRenewal renewal{{.purpose = "obtain a test token",
                        .source = mint.source(),
                        .store = store,
                        .clock = clock,
                        .random = std::make_shared<FixedRandom>(1),
                        .on_warning = [this](const Error& e) { warnings.push_back(e.detail); }}};

  std::string get(const TokenOptions& options = {}) {
    const auto session = renewal.get(options);
    return session ? std::string((*session)->access_token.expose()) : outcome(session);
  }
  std::vector<std::string> get_together(unsigned count, const std::function<void()>& meanwhile = {}) {
    return ask_together(count, [this] { return get(); }, meanwhile);
  }
  // Waits until a renewal in the background has ended.
  void land() {
    mint.release();
    while (renewal.under_way()) static_cast<void>(clock->sleep_for(0ms, {}));
  }
};

// A Rig whose token is due and still good.
struct DueRig : Rig {
  DueRig() {
    REQUIRE(get() == "t-1");
    clock->advance(1h - 20s);
  }
};

// One whose token has ended.
struct EndedRig : Rig {
  EndedRig() {
    REQUIRE(get() == "t-1");
    clock->advance(1h);
  }
};

Error failure(ErrorCode code = ErrorCode::unreachable) {
  return make_error(code, "test.cause", "the cable is cut");
}

bool all_are(const std::vector<std::string>& answers, std::string_view expected) {
  return std::all_of(answers.begin(), answers.end(),
                     [&](const auto& answer) { return answer == expected; });
}

std::string print_of(std::string_view token) {
  return token_fingerprint(SecretString(token));
}

}  // namespace

TEST_CASE("SA-10: 50 callers without a token cause one request", "[renewal][concurrency]") {
  Rig rig;
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
  Rig rig;
  rig.mint.fail_next(failure(ErrorCode::login_required));
  CHECK(rig.get() == "login_required test.cause");
  CHECK(rig.get() == "t-1");
}

TEST_CASE("SA-11: a fresh token is handed out at once, to 200 callers too",
          "[renewal][concurrency]") {
  Rig rig;
  REQUIRE(rig.get() == "t-1");
  rig.mint.hold();
  CHECK(all_are(rig.get_together(200), "t-1"));
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SA-11: the token of an hour is fresh up to a minute before its end", "[renewal]") {
  Rig rig;
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
  Rig rig;
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
  rig.mint.fail_next(failure());
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
  rig.mint.fail_next(failure());
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
  rig.mint.fail_next(failure());
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
  Rig rig;
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
  Rig rig;
  REQUIRE(rig.get() == "t-1");
  rig.mint.fail_next(failure());
  CHECK(rig.get({.rejected = print_of("t-1")}) == "unreachable test.cause");
  CHECK(rig.get() == "backing_off strategy.backing_off");
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-16: 50 reports of one refused token cause one request", "[renewal][concurrency]") {
  Rig rig;
  REQUIRE(rig.get() == "t-1");
  const auto answers =
      ask_together(50, [&] { return rig.get({.rejected = print_of("t-1")}); });
  CHECK(all_are(answers, "t-2"));
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-17: a caller who has given up before begins nothing", "[renewal]") {
  Rig rig;
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
  Rig rig;
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
  Rig rig;
  rig.mint.set_lifetime(std::chrono::seconds(1'790'000'000));
  CHECK(rig.get() == "token_invalid renewal.expires_at");
  rig.mint.set_lifetime(24h * 366);
  rig.clock->advance(1s);
  CHECK(rig.get() == "t-2");
}

TEST_CASE("SA-20: a token is saved before it is handed out", "[renewal]") {
  Rig rig;
  CHECK(rig.get() == "t-1");
  CHECK(rig.store->stored() == "t-1");
  rig.clock->advance(1h);
  CHECK(rig.get() == "t-2");
  CHECK(rig.store->stored() == "t-2");
  CHECK(rig.store->saves() == 2);
}

TEST_CASE("SA-20: a token that can be had again is handed out with a warning if it can't be saved",
          "[renewal]") {
  Rig rig;
  rig.store->fail_saves(make_error(ErrorCode::io, "test.disk_full", "the disk is full"));
  CHECK(rig.get() == "t-1");
  CHECK(rig.warnings == std::vector<std::string>{"test.disk_full"});
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SA-20: one with a refresh token is not, and waits to be saved before anything is sent",
          "[renewal]") {
  Rig rig;
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
  Rig rig;
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    rig.mint.fail_next(failure());
    CHECK(rig.get() == "unreachable test.cause");
    rig.clock->advance(wait - 1ms);
    CHECK(rig.get() == "backing_off strategy.backing_off");
    rig.clock->advance(1ms);
  }
  CHECK(rig.get() == "t-1");
  CHECK(rig.mint.calls() == 9);
}

TEST_CASE("SA-22: what the server asks for is waited, and said to the caller", "[renewal]") {
  Rig rig;
  Error limited = failure(ErrorCode::rate_limited);
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
  Rig rig;
  rig.mint.rotate();
  REQUIRE(rig.get() == "t-1");
  rig.clock->advance(1h);
  rig.mint.fail_next(failure());
  CHECK(rig.get() == "unreachable test.cause");
  rig.clock->advance(1s);
  rig.mint.hold();
  CHECK(rig.get({.timeout = 1ms}) == "timeout strategy.timeout");
  rig.land();
  CHECK(rig.get() == "t-2");
  CHECK(rig.mint.held() == std::vector<std::string>{"no token", "r-1", "r-1"});
}

TEST_CASE("SA-24: calls one after the other renew once", "[renewal]") {
  EndedRig rig;
  CHECK(rig.get() == "t-2");
  CHECK(rig.get() == "t-2");
  CHECK(rig.get() == "t-2");
  CHECK(rig.mint.calls() == 2);
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
