// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.postgres_proxy;

// A lost connection in any step is a transient error or a completed step, never a guess.

using namespace latchkey;
using namespace latchkey::test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr const char* kCount = R"(
INSERT INTO counts (id, n) VALUES ($1, 1)
ON CONFLICT (id) DO UPDATE SET n = counts.n + 1 RETURNING n)";
// Finds that it has been done already.
constexpr const char* kOnce = R"(
INSERT INTO counts (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = counts.n RETURNING n)";

std::shared_ptr<PostgresDatabase> open(const std::string& address, PostgresOptions options = {}) {
  auto database = PostgresDatabase::open(SecretString(address), std::move(options)).value();
  static_cast<void>(
      database->run("CREATE TABLE IF NOT EXISTS counts (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
          .value());
  return database;
}

Result<PostgresRows> once(PostgresDatabase& database, const std::string& id) {
  return database.run(kOnce, {PostgresValue::text(id)});
}

Result<void> count(PostgresConnection& connection, const std::string& id) {
  const auto rows = connection.run(kCount, {PostgresValue::text(id)});
  return rows ? Result<void>() : Result<void>(rows.error());
}

/// A database, and a proxy before it.
struct Way {
  PostgresPlace place;
  PostgresProxy proxy{port_of(place.address())};
  std::shared_ptr<PostgresDatabase> database = open(with_port(place.address(), proxy.port()));
};

/// True once the server has a statement that waits for a lock.
bool someone_waits(PostgresPlace& place) {
  for (int round = 0; round < 2'000; ++round) {
    if (place.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                    "AND datname = current_database()") != "0") {
      return true;
    }
    std::this_thread::yield();
  }
  return false;
}

}  // namespace

TEST_CASE("PostgresDatabase: a server that was restarted between two statements is not noticed",
          "[postgres]") {
  PrivateServer server;
  const auto database = open(server.address());
  for (const bool orderly : {true, false}) {
    if (orderly) {
      server.stop();
    } else {
      server.kill();
    }
    server.start();
    CHECK(outcome(once(*database, "a")) == "ok");
  }
  CHECK(database->counts().repeated == 2);
}

TEST_CASE("PostgresDatabase: a statement that a crash of the server interrupts is run again",
          "[postgres]") {
  PrivateServer server;
  PostgresPlace place(server.address());
  const auto database = open(place.address());
  CHECK(outcome(once(*database, "a")) == "ok");
  place.run("BEGIN; UPDATE counts SET n = n + 10");
  auto running = std::async(std::launch::async, [&] { return outcome(once(*database, "a")); });
  CHECK(someone_waits(place));
  server.kill();
  server.start();
  CHECK(running.get() == "ok");
  CHECK(place.value("SELECT n FROM counts") == "1");
}

TEST_CASE("PostgresDatabase: a server that does not come back is an error after the recovery time",
          "[postgres]") {
  PrivateServer server;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(server.address(), {.clock = clock});
  server.kill();
  CHECK(outcome(once(*database, "a")) == "io postgres.unreachable");
  CHECK(clock->slept() > seconds(10));
  CHECK(clock->slept() <= seconds(15));
  server.start();
  CHECK(outcome(once(*database, "a")) == "ok");
}

TEST_CASE("PostgresDatabase: after a recovery in vain the calls of the next second try once",
          "[postgres]") {
  PrivateServer server;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(server.address(), {.clock = clock});
  server.kill();
  CHECK(outcome(once(*database, "a")) == "io postgres.unreachable");
  const auto slept = clock->slept();
  for (int i = 0; i < 3; ++i) CHECK(outcome(once(*database, "a")) == "io postgres.unreachable");
  CHECK(clock->slept() == slept);
  clock->advance(seconds(1));
  CHECK(outcome(once(*database, "a")) == "io postgres.unreachable");
  CHECK(clock->slept() > slept);
  server.start();
  CHECK(outcome(once(*database, "a")) == "ok");
  server.kill();
  const auto before = clock->slept();
  CHECK(outcome(once(*database, "a")) == "io postgres.unreachable");
  CHECK(clock->slept() > before);
}

TEST_CASE("PostgresDatabase: run_once tries once", "[postgres]") {
  PrivateServer server;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(server.address(), {.clock = clock});
  server.kill();
  CHECK(database->run_once("SELECT 1").error().code == ErrorCode::io);
  CHECK(outcome(database->run_once("SELECT 1")) == "io postgres.unreachable");
  CHECK(clock->slept() == milliseconds(0));
  CHECK(database->counts().repeated == 0);
  server.start();
  CHECK(outcome(database->run_once("SELECT 1")) == "ok");
}

TEST_CASE("PostgresDatabase: an address where nobody answers is not waited for when it is opened",
          "[postgres]") {
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto refused =
      PostgresDatabase::open(SecretString("postgresql://127.0.0.1:1/x"), {.clock = clock});
  CHECK(outcome(refused) == "io postgres.unreachable");
  CHECK(clock->slept() == milliseconds(0));
}

TEST_CASE("PostgresDatabase: one broken connection takes the idle ones along that are as old",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place.address());
  const auto two_at_once = [&] {
    return database->transaction([&](PostgresConnection&) -> Result<void> {
      const auto rows = database->run("SELECT 1");
      return rows ? Result<void>() : Result<void>(rows.error());
    });
  };
  CHECK(outcome(two_at_once()) == "ok");
  CHECK(database->counts().connections == 2);
  CHECK(place.end_connections() == 2);
  CHECK(outcome(once(*database, "a")) == "ok");
  CHECK(database->counts().repeated == 1);
  CHECK(database->counts().connections == 1);
}

TEST_CASE("PostgresDatabase: a server that is paused ends a call in bounded time", "[postgres]") {
  PrivateServer server;
  const auto database = open(server.address(), {.connect_timeout = seconds(2),
                                                .statement_timeout = milliseconds(200),
                                                .recovery = milliseconds(100)});
  server.pause();
  const auto began = std::chrono::steady_clock::now();
  const auto lost = once(*database, "a");
  CHECK(std::chrono::steady_clock::now() - began < seconds(20));
  CHECK_FALSE(lost.has_value());
  CHECK(lost.error().code == ErrorCode::io);
  server.resume();
  CHECK(outcome(once(*database, "a")) == "ok");
}

TEST_CASE("PostgresDatabase: a statement whose question is lost is carried out once",
          "[postgres]") {
  Way way;
  way.proxy.cut_question_with("needle");
  CHECK(outcome(way.database->run(kCount, {PostgresValue::text("needle")})) == "ok");
  CHECK(way.proxy.cuts() == 1);
  CHECK(way.place.value("SELECT n FROM counts") == "1");
}

TEST_CASE("PostgresDatabase: a statement whose answer is lost is run again, and finds itself done",
          "[postgres]") {
  Way way;
  way.proxy.cut_answer_with("INSERT 0 1");
  const auto rows = once(*way.database, "a");
  REQUIRE(outcome(rows) == "ok");
  CHECK(way.proxy.cuts() == 1);
  CHECK(rows->integer(0, 0) == 1);
  CHECK(way.database->counts().repeated == 1);
}

TEST_CASE("PostgresDatabase: a transaction that loses its connection midway is run again, whole",
          "[postgres]") {
  Way way;
  int attempts = 0;
  way.proxy.cut_question_with("needle");
  const auto done = way.database->transaction([&](PostgresConnection& connection) -> Result<void> {
    ++attempts;
    if (auto counted = count(connection, "a"); !counted) return counted;
    return count(connection, "needle");
  });
  CHECK(outcome(done) == "ok");
  CHECK(attempts == 2);
  CHECK(way.place.value("SELECT n FROM counts WHERE id = 'a'") == "1");
}

TEST_CASE("PostgresDatabase: a commit that was carried out and not answered is not taken for lost",
          "[postgres]") {
  Way way;
  int attempts = 0;
  const auto done = way.database->transaction([&](PostgresConnection& connection) -> Result<void> {
    ++attempts;
    const auto rows = connection.run(kOnce, {PostgresValue::text("a")});
    if (!rows) return rows.error();
    if (attempts == 1) way.proxy.cut_answer_with("COMMIT");
    return {};
  });
  CHECK(outcome(done) == "ok");
  CHECK(attempts == 2);
  CHECK(way.proxy.cuts() == 1);
  CHECK(way.place.value("SELECT n FROM counts WHERE id = 'a'") == "1");
}

TEST_CASE("PostgresDatabase: a connection that leads to a server without writes is replaced",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place.address());
  CHECK(outcome(database->run("SET default_transaction_read_only = on")) == "ok");
  CHECK(outcome(once(*database, "a")) == "ok");
  CHECK(database->counts().repeated == 1);
  CHECK(database->counts().connects == 2);
}

TEST_CASE("PostgresDatabase: without a server that takes writes it says so", "[postgres]") {
  PostgresPlace place;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(place.address(), {.clock = clock});
  place.run("ALTER DATABASE " + place.name() + " SET default_transaction_read_only = on");
  CHECK(place.end_connections() == 1);
  CHECK(outcome(once(*database, "a")) == "io postgres.read_only");
  place.run("SET default_transaction_read_only = off");
  place.run("ALTER DATABASE " + place.name() + " RESET default_transaction_read_only");
  CHECK(outcome(once(*database, "a")) == "ok");
}

TEST_CASE("PostgresDatabase: a prepared statement that a pooler has lost is prepared again",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place.address());
  CHECK(outcome(once(*database, "a")) == "ok");
  CHECK(outcome(database->run("DEALLOCATE ALL")) == "ok");
  CHECK(outcome(once(*database, "a")) == "ok");
  CHECK(database->counts().connects == 2);
}
