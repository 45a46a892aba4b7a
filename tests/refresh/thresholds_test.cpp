// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// Tokens that do not live long: neither a refresh storm nor a moment without a good token.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

// A session whose tokens live that long from its first refresh on; its answers take `latency`.
struct ShortLived {
  World world{};
  Duration lifetime;

  explicit ShortLived(std::chrono::seconds seconds, Duration latency = 0ms) : lifetime(seconds) {
    world.server.set_lifetime(seconds);
    world.transport = std::make_shared<ScriptedTransport>(
        [this, latency](const HttpRequest& request, const SendOptions&) {
          world.clock->advance(latency);
          return world.server.answer(request);
        });
    world.context.transport = world.transport;
    world.log_in();
    world.clock->advance(1h);
  }
  // Good now, and for a moment still.
  [[nodiscard]] bool gives_good_token(SessionKeeper& keeper) const {
    const auto session = keeper.fresh(kSubject);
    return session && !(*session)->is_expired(world.clock->now() + 1ms);
  }
};

}  // namespace

TEST_CASE(
    "C7.7: short-lived tokens: every call gets a good one, and each is used for most of its life",
    "[keeper]") {
  const auto seconds = GENERATE(3600s, 60s, 10s, 1s);
  ShortLived s(seconds);
  const auto keeper = s.world.keeper();
  constexpr int kLives = 20, kCallsALife = 50;
  for (int call = 0; call < kLives * kCallsALife; ++call) {
    if (!s.gives_good_token(*keeper)) FAIL("no good token in call " << call);
    s.world.clock->advance(s.lifetime / kCallsALife);
  }
  CAPTURE(seconds.count());
  CHECK(s.world.server.refreshes() >= kLives);
  CHECK(s.world.server.refreshes() <= kLives * 10 / 9 + 1);  // at most a tenth is given away
  CHECK(s.world.server.replays() == 0);
}

TEST_CASE("short-lived tokens: two processes that take turns do not take them from each other",
          "[keeper]") {
  const auto seconds = GENERATE(60s, 10s, 1s);
  ShortLived s(seconds);
  const std::unique_ptr<SessionKeeper> keepers[] = {s.world.keeper(), s.world.keeper()};
  constexpr int kLives = 20, kCallsALife = 50;
  for (int call = 0; call < kLives * kCallsALife; ++call) {
    if (!s.gives_good_token(*keepers[call % 2])) FAIL("no good token in call " << call);
    s.world.clock->advance(s.lifetime / kCallsALife);
  }
  CAPTURE(seconds.count());
  CHECK(s.world.server.refreshes() <= kLives * 10 / 9 + 1);
  CHECK(s.world.server.replays() == 0);
}

TEST_CASE("short-lived tokens: what an answer takes counts as part of the token's life",
          "[keeper]") {
  const auto seconds = GENERATE(60s, 10s, 1s);
  ShortLived s(seconds, 300ms);
  const auto keeper = s.world.keeper();
  for (int call = 0; call < 1000; ++call) {
    if (!s.gives_good_token(*keeper)) FAIL("no good token in call " << call);
    s.world.clock->advance(s.lifetime / 50);
  }
  CAPTURE(seconds.count());
  CHECK(s.world.server.refreshes() <= 1000 / 25);
}

TEST_CASE("short-lived tokens: one that was over before it arrived causes one request a call",
          "[keeper]") {
  ShortLived s(1s, 2s);
  const auto keeper = s.world.keeper();
  for (unsigned call = 1; call <= 5; ++call) {
    CHECK(token_of(keeper->fresh(kSubject)) == "at-" + std::to_string(call + 1));
    CHECK(s.world.server.refreshes() == call);
  }
}

TEST_CASE("short-lived tokens: a refresh that fails costs at most the first back-off", "[keeper]") {
  const auto seconds = GENERATE(60s, 10s, 1s);
  ShortLived s(seconds);
  const auto keeper = s.world.keeper();
  REQUIRE(s.gives_good_token(*keeper));
  s.world.clock->advance(s.lifetime - s.lifetime / 20);  // past the soft limit, before the hard one
  s.world.server.next(Fault::drop_before);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");  // still good
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(s.world.server.refreshes() == 2);
  s.world.clock->advance(1s);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-3");
}

TEST_CASE("a token that runs out while its refresh hangs is not handed out", "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h - 20s);
  world.transport->push([&](const HttpRequest&, const SendOptions&) {
    world.clock->advance(30s);
    return Result<HttpResponse>(json_answer(503, "{}"));
  });
  CHECK(outcome(keeper->fresh(kSubject)).rfind("provider_error", 0) == 0);
  CHECK(outcome(keeper->fresh(kSubject)) == "backing_off refresh.backing_off");
}
