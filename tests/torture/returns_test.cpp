// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>

import latchkey.test.torture_returns;

using namespace latchkey::test;

TEST_CASE("returns: a session that stays, dies and is followed by a login has not come back",
          "[torture]") {
  Returns returns(1);
  CHECK_FALSE(returns.see(0, "a", true));
  CHECK_FALSE(returns.see(0, "a", true));
  CHECK_FALSE(returns.see(0, "a", false));
  returns.enter_death("a");
  CHECK_FALSE(returns.see(0, "a", false));
  CHECK_FALSE(returns.see(0, "b", true));
  CHECK_FALSE(returns.see(0, "b", false));
}

TEST_CASE("returns: an active session that was dead has come back, and that is told once",
          "[torture]") {
  Returns returns(1);
  CHECK_FALSE(returns.see(0, "a", false));
  returns.enter_death("a");
  CHECK(returns.see(0, "a", true) == "its tombstone");
  CHECK_FALSE(returns.see(0, "a", true));
}

TEST_CASE("returns: a session that an other login had replaced has come back, dead or alive",
          "[torture]") {
  for (const bool active : {true, false}) {
    Returns returns(1);
    CHECK_FALSE(returns.see(0, "a", true));
    CHECK_FALSE(returns.see(0, "b", true));
    CHECK(returns.see(0, "a", active) == "a newer login");
  }
}

TEST_CASE("returns: accounts have nothing to do with each other", "[torture]") {
  Returns returns(2);
  CHECK_FALSE(returns.see(0, "a", true));
  CHECK_FALSE(returns.see(0, "b", true));
  CHECK_FALSE(returns.see(1, "a", true));
}
