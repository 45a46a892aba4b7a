// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.store.postgres.connection;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string error_of(std::string_view sqlstate) {
  return outcome(postgres_error(sqlstate, "ERROR:  what the server says"));
}

std::string refusal_of(std::string_view cause) {
  return outcome(postgres_refusal("connection to server at \"db\" (10.0.0.1), port 5432 failed: " +
                                  std::string(cause)));
}

}  // namespace

TEST_CASE("postgres_error: a SQLSTATE tells what a program can do about it", "[postgres]") {
  CHECK(error_of("40001") == "locked postgres.serialization");
  CHECK(error_of("40P01") == "locked postgres.serialization");
  CHECK(error_of("40003") == "locked postgres.serialization");
  CHECK(error_of("55P03") == "locked postgres.busy");
  CHECK(error_of("53300") == "locked postgres.busy");
  CHECK(error_of("23505") == "io postgres.constraint");
  CHECK(error_of("42P07") == "locked postgres.constraint");
  CHECK(error_of("42710") == "locked postgres.constraint");
  CHECK(error_of("57014") == "io postgres.timeout");
  CHECK(error_of("53100") == "io postgres.no_space");
  CHECK(error_of("53200") == "io postgres.failed");
  CHECK(error_of("25006") == "io postgres.read_only");
  CHECK(error_of("57P01") == "io postgres.shutting_down");
  CHECK(error_of("08P01") == "io postgres.connection_lost");
  CHECK(error_of("26000") == "io postgres.session_lost");
  CHECK(error_of("42501") == "insecure_location postgres.privilege");
  CHECK(error_of("42P01") == "corrupt postgres.schema");
  CHECK(error_of("42703") == "corrupt postgres.schema");
  CHECK(error_of("XX001") == "corrupt postgres.damaged");
  CHECK(error_of("22021") == "invalid_argument postgres.text");
}

TEST_CASE("postgres_error: none is a conflict, which would say that somebody saved first",
          "[postgres]") {
  for (const char* state : {"40000", "40001", "40002", "40003", "40P01", "23000", "23502", "23503",
                            "23505", "23514", "23P01", "42P07", "42710", "55P03"}) {
    CAPTURE(state);
    CHECK(postgres_error(state, "ERROR:  refused").code != ErrorCode::conflict);
  }
}

TEST_CASE("postgres_error: an unknown SQLSTATE, or none, is a failure like any other",
          "[postgres]") {
  CHECK(error_of("ZZ999") == "io postgres.failed");
  CHECK(error_of("4") == "io postgres.failed");
  CHECK(error_of("") == "io postgres.failed");
}

TEST_CASE("postgres_error: repeats the first line only, for the others quote rows and parameters",
          "[postgres]") {
  const auto error = postgres_error("23505",
                                    "ERROR:  23505: duplicate key value\nDETAIL:  Key "
                                    "(subject)=(did:plc:someone) already exists.\n"
                                    "CONTEXT:  unnamed portal parameter $2 = 'sealed'");
  CHECK(error.message.find(": duplicate key value (23505)") != std::string::npos);
  CHECK(error.message.find("did:plc:someone") == std::string::npos);
  CHECK(error.message.find("sealed") == std::string::npos);
  CHECK(error.message.find('\n') == std::string::npos);
}

TEST_CASE("postgres_refusal: libpq's text tells why there is no connection", "[postgres]") {
  CHECK(refusal_of("Connection refused") == "io postgres.unreachable");
  CHECK(refusal_of("timeout expired") == "io postgres.unreachable");
  CHECK(refusal_of("server closed the connection unexpectedly") == "io postgres.unreachable");
  CHECK(refusal_of("FATAL:  password authentication failed for user \"u\"") ==
        "io postgres.refused");
  CHECK(refusal_of("FATAL:  role \"u\" does not exist") == "io postgres.refused");
  CHECK(refusal_of("FATAL:  no pg_hba.conf entry for host, SSL off") == "io postgres.refused");
  CHECK(refusal_of("FATAL:  the database system is starting up") == "io postgres.starting");
  CHECK(refusal_of("FATAL:  sorry, too many clients already") ==
        "io postgres.too_many_connections");
  CHECK(refusal_of("session is read-only") == "io postgres.read_only");
  CHECK(refusal_of("SSL error: certificate verify failed") == "io postgres.tls");
  CHECK(refusal_of("server certificate for \"a\" does not match host name \"b\"") ==
        "io postgres.tls");
}

TEST_CASE("postgres_refusal: a server's text in another language is not an absent server",
          "[postgres]") {
  CHECK(refusal_of("FATAL:  Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen") ==
        "io postgres.refused_unclear");
  CHECK(refusal_of("ВАЖНО:  роль \"u\" не существует") == "io postgres.refused_unclear");
  CHECK(refusal_of("FATAL:  pgbouncer cannot connect to server") == "io postgres.refused_unclear");
  CHECK(refusal_of("Verbindungsaufbau abgelehnt") == "io postgres.unreachable");
}

TEST_CASE("postgres_refusal: a missing certificate file is not a missing role or database",
          "[postgres]") {
  CHECK(refusal_of("root certificate file \"/nowhere\" does not exist") == "io postgres.tls");
}

TEST_CASE("postgres_refusal: a handshake that is cut is not a refused certificate", "[postgres]") {
  CHECK(refusal_of("SSL SYSCALL error: EOF detected") == "io postgres.unreachable");
}

TEST_CASE("postgres_refusal: of several hosts the one that waiting does not mend is told",
          "[postgres]") {
  CHECK(outcome(postgres_refusal(
            "connection to server at \"a\" failed: Connection refused\n"
            "connection to server at \"b\" failed: FATAL:  password authentication failed")) ==
        "io postgres.refused");
  CHECK(outcome(postgres_refusal("connection to server at \"a\" failed: Connection refused\n"
                                 "connection to server at \"b\" failed: session is read-only")) ==
        "io postgres.read_only");
}

TEST_CASE("postgres_refusal: nothing of libpq's text is repeated", "[postgres]") {
  for (const char* text :
       {"missing \"=\" after \"hunter2\" in connection info string",
        "could not translate host name \"hunter2@db\" to address: Name or service not known",
        "invalid port number: \"hunter2\"", "something new about hunter2"}) {
    CHECK(postgres_refusal(text).message.find("hunter2") == std::string::npos);
  }
}
