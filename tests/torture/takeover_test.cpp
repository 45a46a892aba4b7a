// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

import latchkey.core.time;
import latchkey.test.torture_notes;
import latchkey.test.torture_takeover;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr ExpiringLease kLease{.time = Duration{1'500}, .claim_age = Duration{5'000}};

constexpr TimePoint at(int milliseconds) {
  return TimePoint{Duration{1'000'000 + milliseconds}};
}

// Worker 1 spends a token and is stopped before it saves; worker 2 takes over, waits, and sends the
// token again.
struct Takeover {
  RefreshNote consumer{
      .worker = 1, .request = 11, .stage = Stage::answered, .claimed = at(0), .checked = at(10)};
  RefreshNote replayer{
      .worker = 2, .request = 22, .stage = Stage::over, .claimed = at(5'000), .checked = at(5'010)};
  std::vector<Stop> stops{
      {.worker = 1, .from = at(20), .until = at(8'000), .under_way = {consumer}}};

  [[nodiscard]] Cause cause() const {
    return judge_takeover(&consumer, &replayer, stops, kLease).cause;
  }
  [[nodiscard]] std::string story() const {
    return judge_takeover(&consumer, &replayer, stops, kLease).story;
  }
};

// Worker 2 checks and is stopped before it sends; worker 1 takes over, spends the token and saves;
// then worker 2 sends it.
struct LateSender : Takeover {
  LateSender() {
    replayer.claimed = at(0);
    replayer.checked = at(10);
    consumer.claimed = at(5'000);
    consumer.checked = at(5'010);
    consumer.saved = at(5'050);
    consumer.stage = Stage::saved;
    RefreshNote waiting = replayer;
    waiting.stage = Stage::claimed;
    waiting.request = 0;
    stops = {{.worker = 2, .from = at(12), .until = at(8'000), .under_way = {waiting}}};
  }
};

}  // namespace

TEST_CASE("takeover: who was stopped with the answer, past lease and claim, is in the window",
          "[torture]") {
  CHECK(Takeover().cause() == Cause::paused_saving);
}

TEST_CASE("takeover: who was stopped while the request was under way is in the window",
          "[torture]") {
  Takeover takeover;
  takeover.stops[0].under_way[0].stage = Stage::posting;
  CHECK(takeover.cause() == Cause::paused_posting);
}

TEST_CASE("takeover: a stop that has not ended is one", "[torture]") {
  Takeover takeover;
  takeover.stops[0].until = TimePoint::max();
  CHECK(takeover.cause() == Cause::paused_saving);
}

TEST_CASE(
    "takeover: when the database was away over the save it is in the window, under a name of "
    "its own",
    "[torture]") {
  Takeover takeover;
  takeover.stops[0].worker.reset();
  CHECK(takeover.cause() == Cause::unreachable);
}

TEST_CASE("takeover: who reached the database again for long enough should have saved: LOST",
          "[torture]") {
  Takeover takeover;
  takeover.stops[0].worker.reset();
  takeover.stops[0].until = at(1'000);
  CHECK(takeover.cause() == Cause::unreachable);  // four seconds
  takeover.replayer.claimed = at(5'999);
  CHECK(takeover.cause() == Cause::unreachable);
  takeover.replayer.claimed = at(6'000);
  CHECK(takeover.cause() == Cause::lost);
  CHECK(takeover.story().find("reach the database for 5000 ms") != std::string::npos);
}

TEST_CASE("takeover: a second outage, or a stop of who had the answer, takes its time to save away",
          "[torture]") {
  Takeover takeover;
  takeover.replayer.claimed = at(6'500);
  takeover.stops = {{.from = at(20), .until = at(1'000)}};
  CHECK(takeover.cause() == Cause::lost);
  takeover.stops.push_back({.from = at(1'600), .until = at(1'700)});
  CHECK(takeover.cause() == Cause::unreachable);
  takeover.stops[1].worker = 1;
  CHECK(takeover.cause() == Cause::unreachable);
  takeover.stops[1].worker = 2;  // whoever else
  CHECK(takeover.cause() == Cause::lost);
  takeover.stops[1] = {.from = at(6'500), .until = at(7'000)};  // too late to matter
  CHECK(takeover.cause() == Cause::lost);
}

TEST_CASE("takeover: when nobody was stopped it is LOST", "[torture]") {
  Takeover takeover;
  takeover.stops.clear();
  CHECK(takeover.cause() == Cause::lost);
  CHECK(takeover.story().find("nobody had stood still") != std::string::npos);
}

TEST_CASE("takeover: a stop of another worker excuses nothing, nor does one of who took over",
          "[torture]") {
  Takeover takeover;
  for (const unsigned other : {0U, 2U}) {
    takeover.stops[0].worker = other;
    CHECK(takeover.cause() == Cause::lost);
  }
}

TEST_CASE("takeover: a stop too short to lose the lease excuses nothing", "[torture]") {
  Takeover takeover;
  takeover.stops[0].until = at(20 + 749);
  CHECK(takeover.cause() == Cause::lost);
  takeover.stops[0].until = at(20 + 750);  // half of the lease's time
  CHECK(takeover.cause() == Cause::paused_saving);
}

TEST_CASE("takeover: a stop that was over before the check excuses nothing: the check renews",
          "[torture]") {
  Takeover takeover;
  takeover.consumer.checked = at(2'000);
  takeover.stops[0].until = at(2'000);
  CHECK(takeover.cause() == Cause::lost);
}

TEST_CASE("takeover: a stop that began after the other's claim excuses nothing", "[torture]") {
  Takeover takeover;
  takeover.stops[0].from = at(4'500);
  CHECK(takeover.cause() == Cause::lost);
}

TEST_CASE("takeover: several short stops are not a long one", "[torture]") {
  Takeover takeover;
  takeover.stops = {{.worker = 1, .from = at(20), .until = at(600)},
                    {.worker = 1, .from = at(1'000), .until = at(1'600)}};
  CHECK(takeover.cause() == Cause::lost);
}

TEST_CASE("takeover: claims less than five seconds apart are LOST, whoever was stopped",
          "[torture]") {
  Takeover takeover;
  takeover.replayer.claimed = at(4'999);
  CHECK(takeover.cause() == Cause::lost);
  CHECK(takeover.story().find("4999 ms apart") != std::string::npos);
  takeover.replayer.claimed = at(5'000);
  CHECK(takeover.cause() == Cause::paused_saving);
}

TEST_CASE("takeover: two that hold the lease at once are LOST", "[torture]") {
  Takeover takeover;
  takeover.replayer.claimed = at(1);
  takeover.replayer.checked = at(11);
  CHECK(takeover.cause() == Cause::lost);
}

TEST_CASE("takeover: a check after the save is LOST, whoever was stopped", "[torture]") {
  Takeover takeover;
  takeover.consumer.saved = at(5'009);
  CHECK(takeover.cause() == Cause::lost);
  CHECK(takeover.story().find("1 ms after its answer had been saved") != std::string::npos);
}

TEST_CASE("takeover: a save between the other's check and its request is the gap", "[torture]") {
  Takeover takeover;
  takeover.stops[0].until = at(5'012);
  takeover.consumer.saved = at(5'015);
  CHECK(takeover.cause() == Cause::check_gap);
}

TEST_CASE("takeover: no check is LOST, whoever sent without", "[torture]") {
  Takeover takeover;
  takeover.replayer.checked.reset();
  CHECK(takeover.cause() == Cause::lost);
  Takeover other;
  other.consumer.checked.reset();
  CHECK(other.cause() == Cause::lost);
}

TEST_CASE("takeover: who was stopped between check and request is the gap", "[torture]") {
  CHECK(LateSender().cause() == Cause::check_gap);
}

TEST_CASE("takeover: who woke up, checked and sent all the same is LOST", "[torture]") {
  LateSender late;
  late.replayer.checked = at(8'001);
  CHECK(late.cause() == Cause::lost);
}

TEST_CASE("takeover: who was stopped before the check, and not after, is LOST", "[torture]") {
  LateSender late;
  late.replayer.checked = at(4'990);
  late.stops[0].until = at(4'990);
  CHECK(late.cause() == Cause::lost);
}

TEST_CASE(
    "takeover: who was stopped between check and request and was the first to send is the "
    "gap",
    "[torture]") {
  Takeover takeover;
  takeover.stops[0].under_way[0].request = 0;
  takeover.stops[0].under_way[0].stage = Stage::claimed;
  CHECK(takeover.cause() == Cause::check_gap);
}

TEST_CASE("takeover: a request of which nothing was noted is LOST", "[torture]") {
  const Takeover takeover;
  CHECK(judge_takeover(nullptr, &takeover.replayer, takeover.stops, kLease).cause == Cause::lost);
  CHECK(judge_takeover(&takeover.consumer, nullptr, takeover.stops, kLease).cause == Cause::lost);
  Takeover unclaimed;
  unclaimed.replayer.claimed.reset();
  CHECK(unclaimed.cause() == Cause::lost);
}
