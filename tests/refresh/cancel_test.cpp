// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
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

// Whoever stops waiting, and whoever ends the program, in every window of a refresh.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

// Stops the first who comes, until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    if (std::exchange(reached_, true)) return;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reached_; });
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false, open_ = false;
};

struct Window {
  const char* name;
  const char* call;
  bool sent;  // what happens after it can't be stopped any more
};

constexpr Window kWindows[] = {
    {"before the lease", "lease", false},
    {"the lease is held", "after:lease", false},
    {"reading again", "load", false},
    {"confirming the issuer", "confirm", false},
    {"reserving room", "reserve_room", false},
    {"writing the claim", "save_claim", true},
    {"the claim is written", "after:save_claim", true},
    {"the request is under way", "post", true},
    {"before the save", "save", true},
    {"after the save", "after:save", true},
};

// A due session whose refresh stops in one window.
struct Stopped {
  Gate gate{};
  World world{};
  std::unique_ptr<SessionKeeper> keeper{};

  explicit Stopped(std::string_view call) {
    world.log_in();
    world.transport = std::make_shared<ScriptedTransport>(
        [this, call](const HttpRequest& request, const SendOptions&) {
          if (call == "post") gate.pass();
          return world.server.answer(request);
        });
    world.context.transport = world.transport;
    world.context.profile.confirm = [this, call](const SessionSummary& session, std::stop_token) {
      if (call == "confirm") gate.pass();
      return Result<std::string>(session.resource_server);
    };
    keeper = world.keeper();
    static_cast<void>(keeper->fresh(kSubject).value());  // from now on callers read the cache
    world.store->set_hook([this, call](std::string_view name) -> std::optional<Error> {
      if (name == call) gate.pass();
      return std::nullopt;
    });
    world.store->set_after([this, call](std::string_view name) {
      if (call == "after:" + std::string(name)) gate.pass();
    });
    world.clock->advance(1h);
  }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;
  // A test that fails leaves the gate closed, and the keeper would wait behind it.
  ~Stopped() { gate.open(); }
  [[nodiscard]] std::future<std::string> call(std::stop_token stop = {}) {
    return std::async(std::launch::async, [this, stop = std::move(stop)] {
      return token_of(keeper->fresh(kSubject, {.stop = stop}));
    });
  }
  void check_saved() {
    world.store->set_hook({});
    world.store->set_after({});
    CHECK(world.server.refreshes() == 1);
    CHECK(world.stored().refresh_token->expose() == "rt-2");
    check_free();
  }
  void check_free() const {
    CHECK_FALSE(world.store->load_claim(kSubject).value().has_value());
    CHECK(world.store->lease(kSubject, {.deadline = world.clock->steady_now()}).has_value());
  }
};

}  // namespace

TEST_CASE("cancelled in any window: at once, and the others still get the token",
          "[keeper][concurrency]") {
  for (const Window& window : kWindows) {
    CAPTURE(window.name);
    Stopped s(window.call);
    std::stop_source first, third;
    auto cancelled = s.call(first.get_token());
    s.gate.wait_until_reached();
    auto patient = s.call();
    auto cancelled_waiter = s.call(third.get_token());
    first.request_stop();
    third.request_stop();
    CHECK(cancelled.get() == "cancelled refresh.cancelled");  // with the gate still closed
    CHECK(s.keeper->is_refreshing(kSubject));
    // Once it is saved, whoever comes finds the new token in the store.
    const std::string waiter = cancelled_waiter.get();
    if (waiter != "at-2" || window.call != std::string("after:save"))
      CHECK(waiter == "cancelled refresh.cancelled");
    s.gate.open();
    CHECK(patient.get() == "at-2");
    REQUIRE(s.keeper->settle(10s));
    CHECK_FALSE(s.keeper->is_refreshing(kSubject));
    s.check_saved();
    CHECK(token_of(s.keeper->fresh(kSubject)) == "at-2");
  }
}

TEST_CASE("out of time in any window: the refresh goes on without the caller",
          "[keeper][concurrency]") {
  for (const Window& window : kWindows) {
    CAPTURE(window.name);
    Stopped s(window.call);
    CHECK(token_of(s.keeper->fresh(kSubject, {.timeout = 1ms})) == "timeout refresh.timeout");
    s.gate.open();
    REQUIRE(s.keeper->settle(10s));
    s.check_saved();
  }
}

TEST_CASE("a keeper that ends in any window: what was sent is saved, what was not leaves no trace",
          "[keeper][concurrency]") {
  for (const Window& window : kWindows) {
    CAPTURE(window.name);
    Stopped s(window.call);
    std::stop_source stop;
    auto caller = s.call(stop.get_token());
    s.gate.wait_until_reached();
    stop.request_stop();
    REQUIRE(caller.get() == "cancelled refresh.cancelled");
    std::jthread ending([&] { s.keeper.reset(); });
    s.gate.open();
    ending.join();
    if (window.sent || s.world.server.refreshes() != 0) {
      s.check_saved();
    } else {
      CHECK(s.world.stored().refresh_token->expose() == "rt-1");
      s.check_free();
    }
    CHECK(token_of(s.world.keeper()->fresh(kSubject)) == "at-2");
    CHECK(s.world.server.replays() == 0);
  }
}

TEST_CASE("a caller that was stopped before it came begins no refresh", "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  std::stop_source stop;
  stop.request_stop();
  world.clock->advance(1h - 20s);
  CHECK(token_of(keeper->fresh(kSubject, {.stop = stop.get_token()})) == "at-1");  // still good
  world.clock->advance(20s);
  CHECK(outcome(keeper->fresh(kSubject, {.stop = stop.get_token()})) ==
        "cancelled refresh.cancelled");
  REQUIRE(keeper->settle(10s));
  CHECK(world.transport->count() == 0);
}

namespace {

// Somebody else can hold the lease for real.
struct Running {
  Gate asked{};
  std::unique_ptr<World> owner = running_world();
  World& world = *owner;

  Running() {
    world.store->set_hook([this](std::string_view call) -> std::optional<Error> {
      if (call == "lease") asked.pass();
      return std::nullopt;
    });
    asked.open();
  }
};

}  // namespace

TEST_CASE("cancelled while somebody else holds the lease: at once, and the others wait on",
          "[keeper][concurrency]") {
  Running r;
  auto held = r.world.store->lease(kSubject, {}).value();
  const auto keeper = r.world.keeper();
  std::stop_source stop;
  auto cancelled = std::async(std::launch::async, [&] {
    return token_of(keeper->fresh(kSubject, {.stop = stop.get_token()}));
  });
  r.asked.wait_until_reached();
  auto patient = std::async(std::launch::async, [&] { return token_of(keeper->fresh(kSubject)); });
  stop.request_stop();
  CHECK(cancelled.get() == "cancelled refresh.cancelled");
  CHECK(r.world.transport->count() == 0);
  held.reset();
  CHECK(patient.get() == "at-2");
}

TEST_CASE("a keeper that ends while somebody else holds the lease ends at once",
          "[keeper][concurrency]") {
  Running r;
  const auto held = r.world.store->lease(kSubject, {}).value();
  auto keeper = r.world.keeper();
  CHECK(token_of(keeper->fresh(kSubject, {.timeout = 1ms})) != "at-2");
  keeper.reset();
  CHECK(r.world.transport->count() == 0);
}

TEST_CASE("a keeper that ends while it leaves a found claim alone sends nothing",
          "[keeper][concurrency]") {
  Running r;
  REQUIRE(r.world.store->save_claim({.subject = std::string(kSubject),
                                     .revision = Revision{1},
                                     .id = 5,
                                     .at = r.world.context.clock->now() + 1h,
                                     .pid = 1,
                                     .host = "elsewhere"}));
  auto keeper = r.world.keeper();
  CHECK(outcome(keeper->fresh(kSubject, {.timeout = 1ms})) == "timeout refresh.timeout");
  keeper.reset();
  CHECK(r.world.transport->count() == 0);
  CHECK(r.world.store->load_claim(kSubject).value()->id == 5);
}
