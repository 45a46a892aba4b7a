// SPDX-License-Identifier: MIT
#include <atomic>
#include <barrier>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.postgres_store_place;
import latchkey.test.rules;

// Leases as rows, of machines that know nothing of each other.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

LockWait patient() {
  return {.deadline = SystemClock().steady_now() + 1min};
}
LockWait at_once() {
  return {.deadline = SystemClock().steady_now()};
}

// Until the database says something else; a minute at most.
std::string changed(PostgresStorePlace& place, std::string_view column, const std::string& before) {
  const auto deadline = std::chrono::steady_clock::now() + 1min;
  std::string now = before;
  while (now == before && std::chrono::steady_clock::now() < deadline)
    now = place.lease(column, kAlice);
  return now;
}

}  // namespace

TEST_CASE("postgres lease: one machine has it, and others are told so", "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  auto held = a.store->lease(kAlice, at_once());
  REQUIRE(outcome(held) == "ok");
  CHECK(outcome(b.store->lease(kAlice, at_once())) == "locked lease.timeout");
  CHECK((*held)->still_held());
  held->reset();
  CHECK(outcome(b.store->lease(kAlice, at_once())) == "ok");
}

TEST_CASE("postgres lease: the fence grows with each holder", "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  for (const auto* expected : {"1", "2", "3", "4"}) {
    const auto held = (expected[0] % 2 == 0 ? a : b).store->lease(kAlice, at_once()).value();
    CHECK(place.lease("fence", kAlice) == expected);
  }
}

TEST_CASE("postgres lease: one that has run out and that nobody has taken is still held",
          "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  const auto held = a.store->lease(kAlice, at_once()).value();
  place.expire_lease(kAlice);
  CHECK(held->still_held());
  CHECK(place.lease("expires_at > clock_timestamp()", kAlice) == "t");
  CHECK(outcome(b.store->lease(kAlice, at_once())) == "locked lease.timeout");
}

TEST_CASE("postgres lease: one that has run out is taken over, and its holder is told",
          "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  const auto first = a.store->lease(kAlice, at_once()).value();
  place.expire_lease(kAlice);
  const auto second = b.store->lease(kAlice, at_once());
  REQUIRE(outcome(second) == "ok");
  CHECK(place.lease("fence", kAlice) == "2");
  CHECK_FALSE(first->still_held());
  CHECK_FALSE(first->still_held());
  CHECK((*second)->still_held());
}

TEST_CASE("postgres lease: who waits takes over as soon as the lease has run out",
          "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  const auto first = a.store->lease(kAlice, at_once()).value();
  auto second = std::async(std::launch::async, [&] { return b.store->lease(kAlice, patient()); });
  place.expire_lease(kAlice);
  CHECK(outcome(second.get()) == "ok");
}

TEST_CASE("postgres lease: releasing a lost one does not touch its successor's row",
          "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  auto first = a.store->lease(kAlice, at_once()).value();
  place.expire_lease(kAlice);
  const auto second = b.store->lease(kAlice, at_once()).value();
  const std::string holder = place.lease("holder", kAlice);
  first.reset();
  CHECK(place.lease("holder", kAlice) == holder);
  CHECK(place.lease("expires_at > clock_timestamp()", kAlice) == "t");
  CHECK(second->still_held());
  CHECK(outcome(a.store->lease(kAlice, at_once())) == "locked lease.timeout");
}

TEST_CASE("postgres lease: a released row is nobody's, so that no late renewal revives it",
          "[postgres][lease]") {
  PostgresStorePlace place;
  static_cast<void>(place.machine().store->lease(kAlice, at_once()).value());
  CHECK(place.lease("holder", kAlice) == "0");
  CHECK(place.lease("expires_at < clock_timestamp()", kAlice) == "t");
}

TEST_CASE("postgres lease: it is renewed while it is held, also when its store is gone",
          "[postgres][lease][concurrency]") {
  PostgresStorePlace place({.lease_time = 300ms});
  Machine a = place.machine();
  const Machine b = place.machine();
  const auto held = a.store->lease(kAlice, at_once()).value();
  a = {};
  std::string expiry = place.lease("expires_at", kAlice);
  for (int renewals = 0; renewals < 5; ++renewals) {
    const std::string next = changed(place, "expires_at", expiry);
    REQUIRE(next > expiry);
    expiry = next;
  }
  CHECK(place.lease("fence", kAlice) == "1");
  CHECK(outcome(b.store->lease(kAlice, at_once())) == "locked lease.timeout");
}

TEST_CASE("postgres lease: it is renewed while others use all connections of the pool",
          "[postgres][lease][concurrency]") {
  PostgresStorePlace place({.lease_time = 300ms});
  const Machine a = place.machine(0, {.max_connections = 1});
  const auto held = a.store->lease(kAlice, at_once()).value();
  const auto done = a.database->transaction([&](PostgresConnection&) -> Result<void> {
    std::string expiry = place.lease("expires_at", kAlice);
    for (int renewals = 0; renewals < 3; ++renewals) {
      const std::string next = changed(place, "expires_at", expiry);
      CHECK(next > expiry);
      expiry = next;
    }
    CHECK(held->still_held());
    return {};
  });
  CHECK(outcome(done) == "ok");
}

TEST_CASE("postgres lease: the thread of a former holder renews nothing that was taken over",
          "[postgres][lease][concurrency]") {
  PostgresStorePlace place({.lease_time = 300ms});
  const Machine a = place.machine();
  const auto first = a.store->lease(kAlice, at_once()).value();
  place.database().run(
      "UPDATE latchkey_leases SET holder = 7, fence = 2, expires_at = "
      "clock_timestamp() + INTERVAL '1 hour'");
  const std::string expiry = place.lease("expires_at", kAlice);
  // A whole turn of the thread: another lease of this store is renewed twice.
  const auto other = a.store->lease(kBob, at_once()).value();
  std::string seen = place.lease("expires_at", kBob);
  for (int turns = 0; turns < 2; ++turns) {
    std::string now = seen;
    while (now == seen) now = place.lease("expires_at", kBob);
    seen = now;
  }
  CHECK(place.lease("expires_at", kAlice) == expiry);
  CHECK_FALSE(first->still_held());
}

TEST_CASE("postgres lease: others in the same process wait without asking the database",
          "[postgres][lease][concurrency]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  auto held = a.store->lease(kAlice, at_once()).value();
  const auto before = a.database->counts().statements;
  std::vector<std::future<std::string>> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.push_back(
        std::async(std::launch::async, [&] { return outcome(a.store->lease(kAlice, patient())); }));
  }
  CHECK(outcome(a.store->lease(kAlice, {.deadline = SystemClock().steady_now() + 20ms})) ==
        "locked lease.timeout");
  CHECK(a.database->counts().statements == before);
  held.reset();
  for (auto& waiter : waiters) CHECK(waiter.get() == "ok");
}

TEST_CASE("postgres lease: a wait can be stopped, in the process and for another one",
          "[postgres][lease][concurrency]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  const auto held = a.store->lease(kAlice, at_once()).value();
  for (const auto& store : {a.store, b.store}) {
    std::stop_source stop;
    auto wait = patient();
    wait.stop = stop.get_token();
    auto waiter = std::async(std::launch::async, [&] { return store->lease(kAlice, wait); });
    stop.request_stop();
    CHECK(outcome(waiter.get()) == "cancelled lease.cancelled");
  }
}

TEST_CASE("postgres lease: a subject's lease keeps nobody from another subject's",
          "[postgres][lease]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  const auto alice = a.store->lease(kAlice, at_once()).value();
  CHECK(outcome(a.store->lease(kBob, at_once())) == "ok");
}

TEST_CASE("postgres lease: 64 threads on two machines, one holder at a time",
          "[postgres][lease][concurrency]") {
  constexpr int kThreads = 64, kRounds = 3;
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  std::atomic<int> holders = 0;
  int count = 0;  // not atomic: the lease guards it
  on_threads(kThreads, [&](int thread) {
    for (int i = 0; i < kRounds; ++i) {
      const auto held = (thread % 2 == 0 ? a : b).store->lease(kAlice, patient()).value();
      expect(holders.fetch_add(1) == 0, "one at a time");
      ++count;
      holders.fetch_sub(1);
    }
  });
  CHECK(count == kThreads * kRounds);
  CHECK(place.lease("fence", kAlice) == std::to_string(kThreads * kRounds));
}

TEST_CASE("postgres lease: without a database nothing is said to be held, and nothing leased",
          "[postgres][lease]") {
  PrivateServer server;
  const auto database =
      PostgresDatabase::open(SecretString(server.address()), {.recovery = 100ms}).value();
  const auto store =
      PostgresOAuthTokenStore::open(database, store_sessions_unsealed(), kQuickStore).value();
  auto held = store->lease(kAlice, at_once()).value();
  CHECK(held->still_held());
  server.kill();
  CHECK_FALSE(held->still_held());
  held.reset();
  CHECK(store->lease(kAlice, at_once()).error().code == ErrorCode::io);
  server.start();
  CHECK(outcome(store->lease(kBob, at_once())) == "ok");
  // The row that could not be released runs out by itself.
  CHECK(outcome(store->lease(kAlice, at_once())) == "locked lease.timeout");
}
