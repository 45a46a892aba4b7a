// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <future>
#include <string>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.database;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.postgres_proxy;

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string opened(const PostgresPlace& place, PostgresOptions options = {}) {
  return outcome(PostgresDatabase::open(place.secret_address(), options));
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// The statements of docs/scaling.md.
std::string documented_grants(const std::string& database, const std::string& role) {
  const auto page = read_text(LATCHKEY_TEST_DATA "/../../docs/scaling.md").value();
  const auto from = page.find("```sql") + 6;
  auto grants = page.substr(from, page.find("```", from) - from);
  return replaced(replaced(grants, "TO sessions", "TO " + role), "DATABASE app",
                  "DATABASE " + database);
}

// A role of its own for the place's database, which may connect and nothing else.
std::string address_of_role(PostgresPlace& place) {
  const auto role = place.name() + "_role";
  place.run("CREATE ROLE " + role + " LOGIN");
  return with_user(place.address(), role);
}

}  // namespace

TEST_CASE("migrate_postgres: an empty database gets its tables, once", "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place) == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
  place.run("INSERT INTO latchkey_nonces VALUES ('o', 'j', 'n', 0)");
  CHECK(opened(place) == "ok");
  CHECK(place.value("SELECT count(*) FROM latchkey_nonces") == "1");
}

TEST_CASE("migrate_postgres: a session of usual size lies in one table with its box",
          "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place) == "ok");
  place.run(
      "INSERT INTO latchkey_sessions SELECT n, 1, 'i', 'r', 't', 'v', 'p', 'c', 'm', 'k', 'u', "
      "'s', 'y', 'j', 'h', 0, 0, 0, 0, 1, 'active', '', NULL, box FROM (SELECT n::text AS n, "
      "string_agg(sha256((n * 100 + part)::text::bytea), '') AS box "
      "FROM generate_series(1, 50) AS n, generate_series(1, 90) AS part GROUP BY n) AS boxes");
  CHECK(place.value("SELECT min(length(box)) FROM latchkey_sessions") == "2880");
  CHECK(place.value("SELECT pg_relation_size(reltoastrelid) FROM pg_class "
                    "WHERE relname = 'latchkey_sessions'") == "0");
}

TEST_CASE("migrate_postgres: of programs that start at once one makes the tables",
          "[postgres][concurrency]") {
  PostgresPlace place;
  std::vector<std::future<std::string>> programs;
  for (int program = 0; program < 8; ++program) {
    programs.push_back(std::async(std::launch::async, [&] { return opened(place); }));
  }
  for (auto& program : programs) CHECK(program.get() == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
}

TEST_CASE("migrate_postgres: a maker that was cut off after its first step is no obstacle",
          "[postgres]") {
  PostgresPlace place;
  place.run(
      "CREATE TABLE latchkey_schema (only_row BIGINT PRIMARY KEY, application TEXT NOT NULL, "
      "version BIGINT NOT NULL)");
  CHECK(opened(place) == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
}

TEST_CASE("migrate_postgres: a connection that is lost in any step is no obstacle", "[postgres]") {
  for (const char* step :
       {"FROM latchkey_schema", "CREATE TABLE IF NOT EXISTS latchkey_schema",
        "CREATE TABLE IF NOT EXISTS latchkey_sessions", "UPDATE latchkey_schema", "COMMIT"}) {
    for (const bool was_heard : {false, true}) {
      PostgresPlace place;
      PostgresProxy proxy(port_of(place.address()));
      if (was_heard) {
        proxy.cut_answer_to(step);
      } else {
        proxy.cut_question_with(step);
      }
      CAPTURE(step, was_heard);
      const auto database =
          PostgresDatabase::open(SecretString(with_port(place.address(), proxy.port())));
      CHECK(outcome(database) == "ok");
      CHECK(proxy.cuts() == 1);
      CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
      CHECK(place.value("SELECT count(*) FROM latchkey_quarantined_keys") == "0");
    }
  }
}

TEST_CASE("migrate_postgres: a newer schema is refused", "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place) == "ok");
  place.run("UPDATE latchkey_schema SET version = 2");
  CHECK(opened(place) == "schema_too_new postgres.schema_version");
  CHECK(opened(place, {.migrate = false}) == "schema_too_new postgres.schema_version");
}

TEST_CASE("migrate_postgres: tables of these names that are another program's stay as they are",
          "[postgres]") {
  PostgresPlace place;
  place.run("CREATE TABLE latchkey_sessions (id BIGINT)");
  CHECK(opened(place) == "corrupt postgres.foreign");
  CHECK(opened(place, {.migrate = false}) == "corrupt postgres.foreign");
  CHECK(place.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'latchkey%'") == "1");
}

TEST_CASE("migrate_postgres: another program's latchkey_schema is refused", "[postgres]") {
  PostgresPlace place;
  place.run("CREATE TABLE latchkey_schema (number BIGINT)");
  CHECK(opened(place) == "corrupt postgres.foreign");
  place.run("DROP TABLE latchkey_schema");
  place.run(
      "CREATE TABLE latchkey_schema (only_row BIGINT PRIMARY KEY, application TEXT, version TEXT)");
  for (const char* row : {"'another', '1'", "'latchkey', 'one'", "'latchkey', '-1'"}) {
    place.run(std::string("DELETE FROM latchkey_schema; INSERT INTO latchkey_schema VALUES (1, ") +
              row + ")");
    CHECK(opened(place) == "corrupt postgres.foreign");
  }
}

TEST_CASE("migrate_postgres: the tables may be in a schema of the role's own", "[postgres]") {
  PostgresPlace place;
  place.run("CREATE TABLE latchkey_sessions (id BIGINT)");
  place.run("CREATE SCHEMA mine");
  place.run("ALTER DATABASE " + place.name() + " SET search_path = mine");
  CHECK(opened(place) == "ok");
  CHECK(place.value("SELECT version FROM mine.latchkey_schema") == "1");
}

TEST_CASE("check_postgres_schema: who may not migrate says that somebody must", "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place, {.migrate = false}) == "locked postgres.schema_old");
  CHECK(place.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'latchkey%'") == "0");
  CHECK(opened(place) == "ok");
  CHECK(opened(place, {.migrate = false}) == "ok");
  place.run("UPDATE latchkey_schema SET version = 0");
  CHECK(opened(place, {.migrate = false}) == "locked postgres.schema_old");
}

TEST_CASE("PostgresDatabase: a role that may make no tables is told so", "[postgres]") {
  PostgresPlace place;
  const auto address = address_of_role(place);
  CHECK(outcome(PostgresDatabase::open(SecretString(address))) ==
        "insecure_location postgres.privilege");
}

TEST_CASE("PostgresDatabase: a role that may only read opens a database, and writes nothing",
          "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place) == "ok");
  const auto address = address_of_role(place);
  place.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + place.name() + "_role");
  const auto database = PostgresDatabase::open(SecretString(address));
  REQUIRE(outcome(database) == "ok");
  CHECK(outcome((*database)->run("SELECT count(*) FROM latchkey_sessions")) == "ok");
  CHECK(outcome((*database)->run("DELETE FROM latchkey_sessions")) ==
        "insecure_location postgres.privilege");
}

TEST_CASE("PostgresDatabase: the documented privileges are enough, and none is missing",
          "[postgres]") {
  PostgresPlace place;
  CHECK(opened(place) == "ok");
  const auto address = address_of_role(place);
  const auto role = place.name() + "_role";
  place.run("REVOKE ALL ON DATABASE " + place.name() +
            " FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC");
  place.run(documented_grants(place.name(), role));
  CHECK(outcome(PostgresDatabase::open(SecretString(address), {.migrate = false})) == "ok");
  CHECK(outcome(PostgresDatabase::open(SecretString(address))) == "ok");
  CHECK(place.value("SELECT string_agg(tablename, ' ') FROM pg_tables "
                    "WHERE tablename LIKE 'latchkey%' AND NOT (" +
                    replaced("has_table_privilege('ROLE', tablename, 'SELECT') AND "
                             "has_table_privilege('ROLE', tablename, 'INSERT') AND "
                             "has_table_privilege('ROLE', tablename, 'UPDATE') AND "
                             "has_table_privilege('ROLE', tablename, 'DELETE'))",
                             "ROLE", role)) == "latchkey_schema");
}
