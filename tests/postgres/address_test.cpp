// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.address;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.test.certificate;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.programs;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr PostgresAddressDefaults kDefaults{.connect_timeout = std::chrono::seconds(5),
                                            .answer_timeout = std::chrono::milliseconds(11'000)};

Result<SecretString> complete(std::string_view address) {
  return complete_postgres_address(SecretString(address), kDefaults);
}

bool has(const Result<SecretString>& address, std::string_view part) {
  return address && address->expose().find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("complete_postgres_address: what was left open gets bounds and a name", "[postgres]") {
  for (const char* address : {"", "postgresql://host/db", "host=host dbname=db"}) {
    const auto complete_address = complete(address);
    CHECK(has(complete_address, "connect_timeout='5'"));
    CHECK(has(complete_address, "target_session_attrs='read-write'"));
    CHECK(has(complete_address, "fallback_application_name='latchkey'"));
    CHECK(has(complete_address, "keepalives_idle='30'"));
    CHECK(has(complete_address, "tcp_user_timeout='11000'"));
  }
}

TEST_CASE("complete_postgres_address: what the address says stays", "[postgres]") {
  const auto address = complete(
      "postgresql://host/db?connect_timeout=3&target_session_attrs=primary&keepalives_idle=9");
  CHECK(has(address, "connect_timeout='3'"));
  CHECK_FALSE(has(address, "connect_timeout='5'"));
  CHECK(has(address, "target_session_attrs='primary'"));
  CHECK_FALSE(has(address, "read-write"));
  CHECK_FALSE(has(address, "keepalives_idle='30'"));
}

TEST_CASE("complete_postgres_address: any server is taken only where the address says so",
          "[postgres]") {
  CHECK_FALSE(has(complete("target_session_attrs=any"), "read-write"));
  const Variable elsewhere("PGTARGETSESSIONATTRS", "any");
  CHECK(has(complete(""), "target_session_attrs='read-write'"));
}

TEST_CASE("complete_postgres_address: the environment comes before our defaults", "[postgres]") {
  const Variable timeout("PGCONNECT_TIMEOUT", "7");
  const Variable attributes("PGTARGETSESSIONATTRS", "primary");
  const auto address = complete("postgresql://host/db");
  CHECK_FALSE(has(address, "connect_timeout"));
  CHECK_FALSE(has(address, "target_session_attrs"));
}

TEST_CASE("complete_postgres_address: a service's settings come before our defaults",
          "[postgres]") {
  const TemporaryFile services("[sessions]\nhost=db.example\nconnect_timeout=7\n");
  const Variable file("PGSERVICEFILE", services.path());
  CHECK_FALSE(has(complete("service=sessions"), "connect_timeout"));
  CHECK(has(complete("service=sessions"), "service='sessions'"));
  const Variable service("PGSERVICE", "sessions");
  CHECK_FALSE(has(complete(""), "connect_timeout"));
}

TEST_CASE("complete_postgres_address: quotes and backslashes in a password stay what they are",
          "[postgres]") {
  CHECK(has(complete("postgresql://u:it's%5Cme%20%3D@host/db"), R"(password='it\'s\\me =')"));
}

TEST_CASE("complete_postgres_address: several hosts stay several hosts", "[postgres]") {
  const auto address = complete("postgresql://a:1,b:2/db");
  CHECK(has(address, "host='a,b'"));
  CHECK(has(address, "port='1,2'"));
}

TEST_CASE("complete_postgres_address: an address that cannot be read is not repeated",
          "[postgres]") {
  for (const char* address : {"hunter2", "postgresql://u:hunter2@host/db?nosuch=1",
                              "password=hunter2 =", "postgresql://u:hunter2@[host/db"}) {
    const auto refused = complete(address);
    CHECK(outcome(refused) == "invalid_argument postgres.address");
    CHECK(refused.error().message.find("hunter2") == std::string::npos);
  }
}

TEST_CASE("PostgresDatabase: an empty address leads where libpq's environment says", "[postgres]") {
  PostgresPlace place;
  const std::string port = std::to_string(port_of(place.address()));
  const Variable host("PGHOST", "127.0.0.1");
  const Variable with_port("PGPORT", port);
  const Variable user("PGUSER", "postgres");
  const Variable database("PGDATABASE", place.name());
  CHECK(outcome(PostgresDatabase::open(SecretString())) == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
}

TEST_CASE("PostgresDatabase: a service leads where pg_service.conf says", "[postgres]") {
  PostgresPlace place;
  const TemporaryFile services("[sessions]\nhost=127.0.0.1\nuser=postgres\nport=" +
                               std::to_string(port_of(place.address())) +
                               "\ndbname=" + place.name() + "\n");
  const Variable file("PGSERVICEFILE", services.path());
  CHECK(outcome(PostgresDatabase::open(SecretString("service=sessions"))) == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
  CHECK(outcome(PostgresDatabase::open(SecretString("service=unknown"))) ==
        "invalid_argument postgres.address");
}
