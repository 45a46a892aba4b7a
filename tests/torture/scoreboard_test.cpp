// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <stdexcept>
#include <vector>

import latchkey.test.folder;
import latchkey.test.torture_books;
import latchkey.test.torture_scoreboard;

using namespace latchkey::test;

TEST_CASE("scoreboard: a new one has nothing under way", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  CHECK(board.clear().empty());
  CHECK(board.counters().calls == 0);
}

TEST_CASE("scoreboard: another mapping of the file sees what was written", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard writer(folder.path() / "board");
  Scoreboard reader(folder.path() / "board");
  Slot* const slot = writer.take(3);
  REQUIRE(slot != nullptr);
  slot->request = 77;
  slot->stage = Stage::posting;
  ++writer.counters().calls;
  const auto cut = reader.clear();
  REQUIRE(cut.size() == 1);
  CHECK(cut[0].subject == 3);
  CHECK(cut[0].request == 77);
  CHECK(cut[0].stage == Stage::posting);
  CHECK(reader.counters().calls == 1);
}

TEST_CASE("scoreboard: a claim has no request, whatever the slot held before", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  Slot* const slot = board.take(0);
  slot->request = 77;
  slot->stage = Stage::idle;
  REQUIRE(board.take(1) == slot);
  const auto cut = board.clear();
  REQUIRE(cut.size() == 1);
  CHECK(cut[0].request == 0);
  CHECK(cut[0].stage == Stage::claimed);
}

TEST_CASE("scoreboard: what was cleared is not reported again", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  REQUIRE(board.take(0) != nullptr);
  CHECK(board.clear().size() == 1);
  CHECK(board.clear().empty());
}

TEST_CASE("scoreboard: when all slots are taken there is none", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  for (std::size_t i = 0; i < Scoreboard::kSlots; ++i) CHECK(board.take(0) != nullptr);
  CHECK(board.take(0) == nullptr);
}

TEST_CASE("scoreboard: a file that can't be made is an exception", "[torture]") {
  CHECK_THROWS_AS(Scoreboard("/nowhere/board"), std::runtime_error);
}
