// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.database;
import latchkey.test.certificate;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.postgres_place;

// Who is at the other end: passwords, certificates, several hosts.

using namespace latchkey;
using namespace latchkey::test;

namespace {

Result<void> opened(const std::string& address) {
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto database = PostgresDatabase::open(SecretString(address), {.clock = clock});
  return database ? Result<void>() : Result<void>(database.error());
}

// Only its owner may read a server's key.
void give_to_server(const std::filesystem::path& data, const char* name, const std::string& text) {
  struct stat owner{};
  REQUIRE(::stat(data.c_str(), &owner) == 0);
  write_text(data / name, text);
  REQUIRE(::chown((data / name).c_str(), owner.st_uid, owner.st_gid) == 0);
}

void use_tls(PrivateServer& server, const Identity& identity) {
  const auto data = server.folder() / "data";
  give_to_server(data, "server.crt", identity.certificate_pem);
  give_to_server(data, "server.key", identity.key_pem);
  give_to_server(data, "postgresql.auto.conf", "ssl = on\n");
  server.stop();
  server.start();
}

std::string verified(const std::string& address, const TemporaryFile& authority) {
  return outcome(opened(address + "?sslmode=verify-full&sslrootcert=" + authority.path()));
}

}  // namespace

TEST_CASE("PostgresDatabase: the right password opens, a wrong one is not repeated", "[postgres]") {
  PostgresPlace place;
  place.run("GRANT CREATE ON SCHEMA public TO needs_password");
  CHECK(outcome(opened(with_user(place.address(), "needs_password:correct%20horse"))) == "ok");
  const auto refused = opened(with_user(place.address(), "needs_password:hunter2"));
  CHECK(outcome(refused) == "io postgres.refused");
  CHECK(refused.error().message.find("hunter2") == std::string::npos);
  CHECK(outcome(opened(with_user(place.address(), "needs_password"))) == "io postgres.refused");
}

TEST_CASE("PostgresDatabase: an unknown user or database is refused", "[postgres]") {
  CHECK(outcome(opened(with_user(shared_server(), "nobody_here"))) == "io postgres.refused");
  CHECK(outcome(opened(with_database(shared_server(), "nothing_here"))) == "io postgres.refused");
}

TEST_CASE("PostgresDatabase: verify-full takes the server's certificate, and no other",
          "[postgres]") {
  const Authority authority, other;
  const TemporaryFile root(authority.certificate_pem()), other_root(other.certificate_pem());
  PrivateServer server;
  use_tls(server, authority.issue({"127.0.0.1", "localhost"}));
  CHECK(verified(server.address(), root) == "ok");
  CHECK(verified(server.address(), other_root) == "io postgres.tls");
  use_tls(server, authority.issue({"db.example"}));
  CHECK(verified(server.address(), root) == "io postgres.tls");
  CHECK(outcome(opened(server.address() + "?sslmode=verify-full&sslrootcert=/nowhere.pem")) ==
        "io postgres.tls");
}

TEST_CASE("PostgresDatabase: a server without TLS is refused where TLS is demanded", "[postgres]") {
  PostgresPlace place;
  CHECK(outcome(opened(place.address() + "?sslmode=require")) == "io postgres.tls");
}

TEST_CASE("PostgresDatabase: of two hosts the one that is up is taken", "[postgres]") {
  PostgresPlace place;
  auto both = place.address();
  both.insert(both.find('@') + 1, "127.0.0.1:1,");
  CHECK(outcome(opened(both)) == "ok");
}

TEST_CASE("PostgresDatabase: of two hosts the one that takes writes is taken", "[postgres]") {
  PostgresPlace place;
  PrivateServer standby;
  PostgresPlace beside(standby.address());
  beside.run("CREATE DATABASE " + place.name());
  beside.run("ALTER DATABASE " + place.name() + " SET default_transaction_read_only = on");
  const auto both = [&](const std::string& attributes) {
    auto address = place.address();
    return address.insert(address.find('@') + 1,
                          "127.0.0.1:" + std::to_string(port_of(standby.address())) + ',') +
           attributes;
  };
  CHECK(outcome(opened(both(""))) == "ok");
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
  CHECK(outcome(opened(both("?target_session_attrs=any"))) == "io postgres.read_only");
}
