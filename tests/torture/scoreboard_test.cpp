// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <vector>

import latchkey.core.time;
import latchkey.test.folder;
import latchkey.test.torture_notes;
import latchkey.test.torture_scoreboard;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr TimePoint at(int milliseconds) {
  return TimePoint{Duration{milliseconds}};
}

}  // namespace

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
  Slot* const slot = writer.take(3, at(1));
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

TEST_CASE("scoreboard: an ordered halt is obeyed once, at its stage, and then gone", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard driver(folder.path() / "board");
  Scoreboard writer(folder.path() / "board");
  CHECK_FALSE(writer.obey_halt(Stage::claimed));
  driver.order_halt(Stage::answered);
  CHECK_FALSE(writer.obey_halt(Stage::claimed));
  CHECK(writer.obey_halt(Stage::answered));
  CHECK_FALSE(writer.obey_halt(Stage::answered));
  CHECK_FALSE(driver.withdraw_halt());
}

TEST_CASE("scoreboard: a halt that was withdrawn, or whose process is gone, is obeyed by nobody",
          "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  board.order_halt(Stage::claimed);
  CHECK(board.withdraw_halt());
  CHECK_FALSE(board.obey_halt(Stage::claimed));
  board.order_halt(Stage::claimed);
  static_cast<void>(board.clear());
  CHECK_FALSE(board.obey_halt(Stage::claimed));
}

TEST_CASE("scoreboard: a claim has no request, whatever the slot held before", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  Slot* const slot = board.take(0, at(1));
  slot->request = 77;
  slot->stage = Stage::idle;
  REQUIRE(board.take(1, at(1)) == slot);
  const auto cut = board.clear();
  REQUIRE(cut.size() == 1);
  CHECK(cut[0].request == 0);
  CHECK(cut[0].stage == Stage::claimed);
}

TEST_CASE("scoreboard: what has ended is collected once, and is not under way", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  Slot* const slot = board.take(2, at(5));
  set(slot->checked, at(6));
  set(slot->saved, at(9));
  CHECK(board.collect().empty());
  slot->stage = Stage::saved;
  CHECK(board.read().empty());
  const auto ended = board.collect();
  REQUIRE(ended.size() == 1);
  CHECK(ended[0].stage == Stage::saved);
  CHECK(ended[0].claimed == at(5));
  CHECK(ended[0].checked == at(6));
  CHECK(ended[0].saved == at(9));
  CHECK(board.collect().empty());
}

TEST_CASE("scoreboard: a slot's times are not those of the refresh before", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  Slot* const slot = board.take(0, at(5));
  set(slot->checked, at(6));
  set(slot->saved, at(9));
  slot->stage = Stage::idle;
  REQUIRE(board.take(0, at(20)) == slot);
  const auto notes = board.read();
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].claimed == at(20));
  CHECK_FALSE(notes[0].checked);
  CHECK_FALSE(notes[0].saved);
}

TEST_CASE("scoreboard: reading changes nothing", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  REQUIRE(board.take(0, at(1)) != nullptr);
  CHECK(board.read().size() == 1);
  CHECK(board.read().size() == 1);
}

TEST_CASE("scoreboard: what ended before its writer did was not cut off", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  board.take(0, at(1))->stage = Stage::over;
  CHECK(board.clear().empty());
  CHECK(board.collect().empty());
}

TEST_CASE("scoreboard: what was cleared is not reported again", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  REQUIRE(board.take(0, at(1)) != nullptr);
  CHECK(board.clear().size() == 1);
  CHECK(board.clear().empty());
}

TEST_CASE("scoreboard: when all slots are taken there is none", "[torture]") {
  const TemporaryFolder folder;
  Scoreboard board(folder.path() / "board");
  for (std::size_t i = 0; i < Scoreboard::kSlots; ++i) CHECK(board.take(0, at(1)) != nullptr);
  CHECK(board.take(0, at(1)) == nullptr);
}

TEST_CASE("scoreboard: a file that can't be made is an exception", "[torture]") {
  CHECK_THROWS_AS(Scoreboard("/nowhere/board"), std::runtime_error);
}
