// SPDX-License-Identifier: MIT
#include <atomic>
#include <barrier>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

}  // namespace

TEST_CASE("64 threads on one expired session: one refresh, and all get the new token",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  std::atomic<int> good = 0;
  {
    std::barrier start(64);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 64; ++i) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        if (token_of(keeper->fresh(kSubject)) == "at-2") ++good;
      });
    }
  }
  CHECK(good == 64);
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("16 keepers over one store: one refresh, fifteen adoptions", "[keeper][concurrency]") {
  const auto world = running_world();
  std::atomic<int> good = 0;
  {
    std::barrier start(16);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&] {
        const auto keeper = world->keeper();
        start.arrive_and_wait();
        if (token_of(keeper->fresh(kSubject)) == "at-2") ++good;
      });
    }
  }
  CHECK(good == 16);
  CHECK(world->server.refreshes() == 1);
}

TEST_CASE("between soft and hard one caller refreshes and the others keep the token",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h - 20s);
  world.transport->hold();
  std::string first;
  std::jthread refresher([&] { first = token_of(keeper->fresh(kSubject)); });
  world.transport->wait_for(1);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");  // returns while the refresh is under way
  world.transport->release();
  refresher.join();
  CHECK(first == "at-2");
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("a cancelled caller strands nobody: the refresh goes on and the others get it",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  world.transport->hold();
  std::stop_source stop;
  std::string first, second;
  std::jthread cancelled(
      [&] { first = token_of(keeper->fresh(kSubject, {.stop = stop.get_token()})); });
  world.transport->wait_for(1);
  std::jthread patient([&] { second = token_of(keeper->fresh(kSubject)); });
  stop.request_stop();
  cancelled.join();
  CHECK(first == "cancelled refresh.cancelled");
  world.transport->release();
  patient.join();
  CHECK(second == "at-2");
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}

TEST_CASE("a caller whose time is over leaves the refresh running", "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  world.transport->hold();
  CHECK(outcome(keeper->fresh(kSubject, {.timeout = 1ms})) == "timeout refresh.timeout");
  world.transport->release();
  REQUIRE(keeper->settle(10s));
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}

TEST_CASE("a keeper that ends waits for the refresh it has sent, and saves it",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  auto keeper = world.keeper();
  world.transport->hold();
  std::stop_source stop;
  std::jthread caller(
      [&] { static_cast<void>(keeper->fresh(kSubject, {.stop = stop.get_token()}).has_value()); });
  world.transport->wait_for(1);
  stop.request_stop();
  caller.join();
  std::jthread releaser([&] { world.transport->release(); });
  keeper.reset();
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}

TEST_CASE("a waiter outlives the shorter deadline of who waits for the lease first",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  std::promise<void> asked, go;
  std::atomic<int> leases = 0;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "lease" || leases++ != 0) return std::nullopt;
    asked.set_value();
    go.get_future().wait();
    return make_error(ErrorCode::locked, "lease.timeout", "another process holds the lease");
  });
  auto starter = std::async(std::launch::async, [&] { return token_of(keeper->fresh(kSubject)); });
  asked.get_future().wait();
  auto waiter = std::async(std::launch::async, [&] { return token_of(keeper->fresh(kSubject)); });
  // The waiter may come before or after the first flight has ended, and its own flight may end
  // before the starter wakes up.
  go.set_value();
  const std::string started = starter.get();
  if (started != "at-2") CHECK(started == "locked lease.timeout");
  CHECK(waiter.get() == "at-2");
  CHECK(leases == 2);
}

TEST_CASE("a lease that another process holds is an error before the caller's time is over",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto held = world.store->lease(kSubject, {}).value();
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "locked lease.timeout");
  CHECK(world.clock->slept() == 44s);
  CHECK(world.transport->count() == 0);
}

TEST_CASE(
    "a store that hangs: only who asks it waits for it, the others go when their time is over",
    "[keeper][concurrency]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  std::promise<void> asked, answer;
  world.store->set_hook([&, first = true](std::string_view call) mutable -> std::optional<Error> {
    if (call == "load" && std::exchange(first, false)) {
      asked.set_value();
      answer.get_future().wait();
    }
    return std::nullopt;
  });
  auto patient = std::async(std::launch::async, [&] { return token_of(keeper->fresh(kSubject)); });
  asked.get_future().wait();
  CHECK(token_of(keeper->fresh(kSubject, {.timeout = 20ms})) == "timeout session.timeout");
  std::stop_source stop;
  stop.request_stop();
  CHECK(token_of(keeper->fresh(kSubject, {.stop = stop.get_token()})) ==
        "cancelled refresh.cancelled");
  CHECK_FALSE(keeper->is_refreshing(kSubject));
  answer.set_value();
  CHECK(patient.get() == "at-1");
}

TEST_CASE("a store that hangs while an unsaved session is saved keeps no caller",
          "[keeper][concurrency]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  std::promise<void> asked, answer;
  world.store->set_hook([&, saves = 0](std::string_view call) mutable -> std::optional<Error> {
    if (call != "save" || ++saves > 2) return std::nullopt;
    if (saves == 2) {
      asked.set_value();
      answer.get_future().wait();
    }
    return make_error(ErrorCode::io, "io.no_space", "the disk is full");
  });
  const auto keeper = world.keeper();
  CHECK(token_of(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  asked.get_future().wait();
  CHECK(token_of(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  CHECK(keeper->unsaved(kSubject) != nullptr);
  answer.set_value();
  REQUIRE(keeper->settle(10s));
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}
