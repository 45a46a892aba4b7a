// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.pool;
import latchkey.test.outcome;
import latchkey.test.postgres_place;

using namespace latchkey;
using namespace latchkey::test;
using std::chrono::milliseconds;

namespace {

std::shared_ptr<PostgresDatabase> open(const PostgresPlace& place, PostgresOptions options = {}) {
  return PostgresDatabase::open(place.secret_address(), std::move(options)).value();
}

std::ptrdiff_t entries(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

}  // namespace

TEST_CASE("PostgresDatabase: values come back as they were given", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  const std::vector<unsigned char> bytes{0, 1, 0xff, '\\', '\''};
  const auto rows = database->run("SELECT $1::text, $2::bigint, $3::bytea, $4::text",
                                  {PostgresValue::text("it's \xc3\xa9"), PostgresValue::integer(-5),
                                   PostgresValue::bytes(bytes), PostgresValue::null()});
  REQUIRE(outcome(rows) == "ok");
  CHECK(rows->text(0, 0) == std::string_view("it's \xc3\xa9"));
  CHECK(rows->integer(0, 1) == -5);
  CHECK(rows->bytes(0, 2) == bytes);
  CHECK(rows->is_null(0, 3));
}

TEST_CASE("PostgresDatabase: bytes come back also where a role asked for another form",
          "[postgres]") {
  PostgresPlace place;
  place.run("ALTER DATABASE " + place.name() + " SET bytea_output = 'escape'");
  const std::vector<unsigned char> bytes{0, 'a', 0xff};
  const auto rows = open(place)->run("SELECT $1::bytea", {PostgresValue::bytes(bytes)});
  CHECK(rows.value().bytes(0, 0) == bytes);
}

TEST_CASE("PostgresDatabase: a column of another kind is empty, not something else", "[postgres]") {
  PostgresPlace place;
  const auto rows = open(place)->run("SELECT 'x', '99999999999999999999', 'f'").value();
  CHECK_FALSE(rows.integer(0, 0));
  CHECK_FALSE(rows.integer(0, 1));
  CHECK_FALSE(rows.bytes(0, 2));
}

TEST_CASE("PostgresDatabase: text that PostgreSQL cannot keep is refused", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  using namespace std::string_view_literals;
  CHECK(outcome(database->run("SELECT $1::text", {PostgresValue::text("a\0b"sv)})) ==
        "invalid_argument postgres.text");
  CHECK(outcome(database->run("SELECT $1::text", {PostgresValue::text("\xff\xfe")})) ==
        "invalid_argument postgres.text");
  CHECK(outcome(database->run("SELECT 1")) == "ok");
}

TEST_CASE("PostgresDatabase: a database in another encoding is refused", "[postgres]") {
  PostgresPlace place(shared_server(),
                      "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
  CHECK(outcome(PostgresDatabase::open(place.secret_address())) ==
        "invalid_argument postgres.encoding");
}

TEST_CASE("PostgresDatabase: commits are durable also where a database is set up without",
          "[postgres]") {
  PostgresPlace place;
  place.run("ALTER DATABASE " + place.name() + " SET synchronous_commit = off");
  CHECK(open(place)->run("SHOW synchronous_commit").value().text(0, 0) == std::string_view("on"));
  place.run("ALTER DATABASE " + place.name() + " SET synchronous_commit = remote_apply");
  CHECK(open(place)->run("SHOW synchronous_commit").value().text(0, 0) ==
        std::string_view("remote_apply"));
}

TEST_CASE("PostgresDatabase: a statement that takes too long is ended, and nothing else",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place, {.statement_timeout = milliseconds(200)});
  CHECK(outcome(database->run("SELECT pg_sleep(60)")) == "io postgres.timeout");
  CHECK(outcome(database->run("SELECT 1")) == "ok");
  CHECK(database->counts().connects == 1);
  CHECK(database->counts().repeated == 0);
}

TEST_CASE("PostgresDatabase: a row that another transaction holds too long is locked",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place, {.lock_timeout = milliseconds(100)});
  place.run("BEGIN; UPDATE latchkey_schema SET version = version");
  CHECK(outcome(database->run("UPDATE latchkey_schema SET version = version")) ==
        "locked postgres.busy");
  place.run("ROLLBACK");
  CHECK(outcome(database->run("UPDATE latchkey_schema SET version = version")) == "ok");
}

TEST_CASE("PostgresDatabase: a pool whose connections are all in use says so in time",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place, {.max_connections = 1, .pool_wait = milliseconds(50)});
  const auto done = database->transaction([&](PostgresConnection&) -> Result<void> {
    const auto rows = database->run("SELECT 1");
    CHECK(outcome(rows) == "locked postgres.pool");
    return {};
  });
  CHECK(outcome(done) == "ok");
}

TEST_CASE("PostgresDatabase: leases have one connection more, which no other call may take",
          "[postgres]") {
  PostgresPlace place;
  const auto database = open(place, {.max_connections = 1, .pool_wait = milliseconds(50)});
  const auto done = database->transaction([&](PostgresConnection&) -> Result<void> {
    CHECK(outcome(database->run_once("SELECT 1", {}, PostgresLane::leases)) == "ok");
    CHECK(outcome(database->run("SELECT 1", {}, PostgresLane::leases)) == "ok");
    // It is idle now, and stays kept for leases.
    CHECK(outcome(database->run("SELECT 1")) == "locked postgres.pool");
    return {};
  });
  CHECK(outcome(done) == "ok");
  CHECK(outcome(database->run("SELECT 1")) == "ok");
  CHECK(database->counts().connections == 2);
}

TEST_CASE("PostgresDatabase: sixteen threads share four connections", "[postgres][concurrency]") {
  PostgresPlace place;
  const auto database = open(place, {.max_connections = 4});
  place.run("CREATE TABLE sums (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)");
  place.run("INSERT INTO sums VALUES (1, 0)");
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 16; ++thread) {
      threads.emplace_back([&] {
        for (int round = 0; round < 25; ++round) {
          if (!database->run("UPDATE sums SET n = n + 1 WHERE id = 1")) ++failed;
        }
      });
    }
  }
  CHECK(failed == 0);
  CHECK(place.value("SELECT n FROM sums") == "400");
  CHECK(database->counts().connects <= 4);
}

TEST_CASE("PostgresDatabase: a warm statement is one round trip", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  const auto once = [&] { static_cast<void>(database->run("SELECT 1").value()); };
  once();
  const auto before = database->counts().statements;
  once();
  CHECK(database->counts().statements == before + 1);
}

TEST_CASE("PostgresDatabase: what the server refuses keeps its SQLSTATE", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  place.run("CREATE TABLE notes (id BIGINT PRIMARY KEY)");
  CHECK(outcome(database->run("INSERT INTO notes VALUES (1)")) == "ok");
  CHECK(outcome(database->run("INSERT INTO notes VALUES (1)")) == "io postgres.constraint");
  CHECK(outcome(database->run("INSERT INTO notes VALUES (NULL)")) == "io postgres.constraint");
  CHECK(outcome(database->run("SELECT nothing FROM notes")) == "corrupt postgres.schema");
  CHECK(outcome(database->run("SELECT 1 FROM nowhere")) == "corrupt postgres.schema");
  CHECK(outcome(database->run("SELECT 1 / 0")) == "io postgres.failed");
  CHECK(outcome(database->run("SELEC")) == "io postgres.failed");
  CHECK(database->counts().connects == 1);
}

// Behind a pooler, programs share sessions, and may be of different versions.
TEST_CASE("PostgresDatabase: a prepared statement is called by its text", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place, {.max_connections = 1});
  CHECK(outcome(database->run("SELECT 'something to be kept'")) == "ok");
  const auto rows = database->run(
      "SELECT count(*), sum(CASE WHEN name = 'latchkey_' || "
      "left(encode(sha256(convert_to(statement, 'UTF8')), 'hex'), 32) THEN 0 ELSE 1 END) "
      "FROM pg_prepared_statements");
  REQUIRE(outcome(rows) == "ok");
  CHECK(rows->integer(0, 0) >= 2);
  CHECK(rows->integer(0, 1) == 0);
}

TEST_CASE("PostgresDatabase: a transaction whose work fails leaves nothing", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  place.run("CREATE TABLE notes (id BIGINT PRIMARY KEY)");
  const auto done = database->transaction([](PostgresConnection& connection) -> Result<void> {
    static_cast<void>(connection.run("INSERT INTO notes VALUES (1)").value());
    return make_error(ErrorCode::conflict, "test.stop", "stop");
  });
  CHECK(outcome(done) == "conflict test.stop");
  CHECK(place.value("SELECT count(*) FROM notes") == "0");
  CHECK(outcome(database->run("INSERT INTO notes VALUES (2)")) == "ok");
}

TEST_CASE("PostgresDatabase: a failure that the work keeps to itself is no commit", "[postgres]") {
  PostgresPlace place;
  const auto database = open(place);
  place.run("CREATE TABLE notes (id BIGINT PRIMARY KEY)");
  const auto done = database->transaction([](PostgresConnection& connection) -> Result<void> {
    static_cast<void>(connection.run("INSERT INTO notes VALUES (1)").value());
    static_cast<void>(connection.run("SELECT nothing FROM nowhere").has_value());
    return {};
  });
  CHECK(outcome(done) == "io postgres.failed");
  CHECK(place.value("SELECT count(*) FROM notes") == "0");
}

TEST_CASE("PostgresDatabase: a transaction that cannot be serialized is run again", "[postgres]") {
  PostgresPlace place;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(place, {.clock = clock});
  place.run("CREATE TABLE sums (n BIGINT NOT NULL)");
  place.run("INSERT INTO sums VALUES (0)");
  int attempts = 0;
  const auto done = database->transaction([&](PostgresConnection& connection) -> Result<void> {
    ++attempts;
    static_cast<void>(connection.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").value());
    static_cast<void>(connection.run("SELECT n FROM sums").value());
    if (attempts < 3) place.run("UPDATE sums SET n = n + 10");
    const auto rows = connection.run("UPDATE sums SET n = n + 1");
    return rows ? Result<void>() : Result<void>(rows.error());
  });
  CHECK(outcome(done) == "ok");
  CHECK(attempts == 3);
  CHECK(place.value("SELECT n FROM sums") == "21");
  CHECK(database->counts().repeated == 2);
  CHECK(clock->slept() > milliseconds(0));
  CHECK(database->counts().connects == 1);
}

TEST_CASE("PostgresDatabase: a transaction that never can be is given up after the recovery time",
          "[postgres]") {
  PostgresPlace place;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = open(place, {.recovery = milliseconds(1'000), .clock = clock});
  const auto done = database->transaction([](PostgresConnection&) -> Result<void> {
    return postgres_error("40001", "ERROR:  could not serialize access");
  });
  CHECK(outcome(done) == "locked postgres.serialization");
  CHECK(clock->slept() <= milliseconds(1'000));
}

TEST_CASE("PostgresDatabase: neither descriptors nor threads are left behind", "[postgres]") {
  PostgresPlace place;
  static_cast<void>(open(place));
  const auto descriptors = entries("/proc/self/fd");
  const auto threads = entries("/proc/self/task");
  for (int round = 0; round < 200; ++round) static_cast<void>(open(place));
  CHECK(entries("/proc/self/fd") == descriptors);
  CHECK(entries("/proc/self/task") == threads);
}
