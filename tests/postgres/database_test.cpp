// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.test.outcome;
import latchkey.test.postgres_place;

using namespace latchkey;
using namespace latchkey::test;

TEST_CASE("PostgresDatabase: an empty database gets its tables, once", "[postgres]") {
  PostgresPlace place;
  for (int round = 0; round < 2; ++round) {
    const auto database = PostgresDatabase::open(place.secret_address());
    REQUIRE(outcome(database) == "ok");
    const auto rows = (*database)->run("SELECT count(*) FROM latchkey_sessions");
    REQUIRE(outcome(rows) == "ok");
    CHECK(rows->integer(0, 0) == 0);
  }
  CHECK(place.value("SELECT version FROM latchkey_schema") == "1");
}
