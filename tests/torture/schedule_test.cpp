// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

import latchkey.sandbox;
import latchkey.test.torture_notes;
import latchkey.test.torture_schedule;

using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

bool is_phase(const Event& event) {
  return event.kind >= Event::Kind::fill_disk;
}

std::size_t count(const Schedule& schedule, Event::Kind kind) {
  return static_cast<std::size_t>(std::count_if(
      schedule.begin(), schedule.end(), [&](const Event& event) { return event.kind == kind; }));
}

}  // namespace

TEST_CASE("schedule: the same seed gives the same events", "[torture]") {
  CHECK(hash_of(make_schedule(7, 60s, {})) == hash_of(make_schedule(7, 60s, {})));
}

TEST_CASE("schedule: another seed gives others", "[torture]") {
  std::set<std::string> hashes;
  for (std::uint64_t seed = 0; seed < 50; ++seed)
    hashes.insert(hash_of(make_schedule(seed, 20s, {})));
  CHECK(hashes.size() == 50);
}

TEST_CASE("schedule: the hash is the same on every machine", "[torture]") {
  CHECK(hash_of(make_schedule(1, 10s, {})) == "ee41973fc99fcb92");
}

TEST_CASE("schedule: a longer run begins like a shorter one, but for its phases", "[torture]") {
  const auto lines = [](std::chrono::seconds length) {
    std::vector<std::string> text;
    for (const Event& event : make_schedule(3, length, {})) {
      if (!is_phase(event) && event.at < 10s) text.push_back(to_string(event));
    }
    return text;
  };
  CHECK(lines(10s) == lines(100s));
}

TEST_CASE("schedule: events are in order and before the end", "[torture]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Schedule schedule = make_schedule(seed, 30s, {});
    CHECK(std::is_sorted(schedule.begin(), schedule.end(),
                         [](const Event& a, const Event& b) { return a.at < b.at; }));
    CHECK(schedule.back().at < 30s);
    CHECK(schedule.front().at >= 0ms);
  }
}

TEST_CASE("schedule: phases do not overlap, and each one ends", "[torture]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<Event::Kind> open;
    for (const Event& event : make_schedule(seed, 60s, {})) {
      if (event.kind == Event::Kind::fill_disk || event.kind == Event::Kind::forbid_writes) {
        CHECK(open.empty());
        open.push_back(event.kind);
      } else if (is_phase(event)) {
        REQUIRE(open.size() == 1);
        CHECK((open[0] == Event::Kind::fill_disk) == (event.kind == Event::Kind::free_disk));
        open.clear();
      }
    }
    CHECK(open.empty());
  }
}

TEST_CASE("schedule: a run of twenty seconds has both phases, whatever its seed", "[torture]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Schedule schedule = make_schedule(seed, 20s, {});
    CHECK(count(schedule, Event::Kind::fill_disk) >= 1);
    CHECK(count(schedule, Event::Kind::forbid_writes) >= 1);
  }
}

TEST_CASE("schedule: a rate of zero is never, and changes nothing else", "[torture]") {
  const Schedule all = make_schedule(5, 30s, {});
  const Schedule without =
      make_schedule(5, 30s, {.kill = 0ms, .pause = 0ms, .full = 0ms, .read_only = 0ms});
  CHECK(count(without, Event::Kind::kill) == 0);
  CHECK(count(without, Event::Kind::pause) == 0);
  CHECK(count(all, Event::Kind::kill_database) == 0);
  CHECK(std::none_of(without.begin(), without.end(), is_phase));
  CHECK(count(without, Event::Kind::fault) == count(all, Event::Kind::fault));
  CHECK(count(without, Event::Kind::expire) == count(all, Event::Kind::expire));
}

TEST_CASE("schedule: pauses come in all lengths, and are aimed at every stage before the save",
          "[torture]") {
  std::set<Stage> aims;
  unsigned shorter = 0, longer = 0;
  for (const Event& event : make_schedule(3, 300s, {})) {
    if (event.kind != Event::Kind::pause) continue;
    aims.insert(event.aim);
    CHECK(event.lasts >= 300ms);
    ++(event.lasts > 6s ? longer : shorter);
  }
  CHECK(aims == std::set{Stage::idle, Stage::claimed, Stage::posting, Stage::answered});
  CHECK(longer > 20);
  CHECK(shorter > longer);
}

TEST_CASE("schedule: where long pauses at one stage are asked for there are no others",
          "[torture]") {
  const Schedule schedule =
      make_schedule(3, 60s, {.only_long_pauses = true, .pause_at = Stage::posting});
  REQUIRE(count(schedule, Event::Kind::pause) > 10);
  for (const Event& event : schedule) {
    if (event.kind != Event::Kind::pause) continue;
    CHECK(event.lasts >= 9'000ms);
    CHECK(event.aim == Stage::posting);
  }
}

TEST_CASE("schedule: a database is killed, restarted and paused in turn, with rest in between",
          "[torture]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    auto end = 0ms;
    std::set<Event::Kind> kinds;
    for (const Event& event : make_schedule(seed, 60s, {.database = 4s})) {
      if (event.kind != Event::Kind::kill_database && event.kind != Event::Kind::pause_database &&
          event.kind != Event::Kind::restart_database)
        continue;
      kinds.insert(event.kind);
      CHECK(event.at >= end + 2s);
      end = event.at + event.lasts;
      CHECK(end < 60s);
    }
    CHECK(kinds.size() == 3);
  }
}

TEST_CASE("schedule: a line of a pause says whom, when and how long", "[torture]") {
  CHECK(to_string(Event{.at = 5ms,
                        .kind = Event::Kind::pause,
                        .number = 7,
                        .lasts = 900ms,
                        .aim = Stage::posting}) == "5 ms pause 7 when posting for 900 ms");
  CHECK(to_string(Event{.at = 5ms, .kind = Event::Kind::kill_database, .lasts = 900ms}) ==
        "5 ms kill_database for 900 ms");
}

TEST_CASE("schedule: every kind of fault but held answers comes, and most cost nothing",
          "[torture]") {
  std::set<std::string_view> kinds;
  std::size_t refreshes = 0, losing = 0;
  for (const Event& event : make_schedule(11, 600s, {})) {
    if (event.kind != Event::Kind::fault) continue;
    kinds.insert(latchkey::sandbox::to_string(event.fault.kind));
    if (event.fault.grant_type.empty()) continue;
    ++refreshes;
    if (loses_answer(event.fault.kind)) ++losing;
  }
  CHECK(kinds.size() == 11);
  CHECK_FALSE(kinds.contains("hold"));  // nobody would release it
  CHECK(losing > refreshes / 8);
  CHECK(losing < refreshes / 2);
}

TEST_CASE("schedule: an answer is not lost by a fault that comes before the server acts",
          "[torture]") {
  using latchkey::sandbox::FaultKind;
  for (const auto kind : {FaultKind::drop_before, FaultKind::status, FaultKind::redirect,
                          FaultKind::nonce_storm, FaultKind::delay})
    CHECK_FALSE(loses_answer(kind));
  CHECK(loses_answer(FaultKind::drop_after));
}
