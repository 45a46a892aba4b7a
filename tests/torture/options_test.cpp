// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

import latchkey.test.torture_options;
import latchkey.test.torture_place;
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;
import latchkey.test.torture_worker;

using namespace latchkey::test;
using namespace std::chrono_literals;

using Words = std::vector<std::string>;

TEST_CASE("options: without any, a minute is split over all stores", "[torture]") {
  const auto runs = runs_of(parse_command_line({}), 5);
  REQUIRE(runs.size() == 3);
  for (const RunOptions& run : runs) {
    CHECK(run.length == 20s);
    CHECK(run.seed == 5);
    CHECK(run.sabotage == Sabotage::none);
    CHECK_FALSE(run.end_at_first_loss);
  }
}

TEST_CASE("options: with PostgreSQL there are four stores, and only that one's server fails",
          "[torture]") {
  CommandLine line = parse_command_line({});
  line.has_postgres = true;
  const auto runs = runs_of(line, 5);
  REQUIRE(runs.size() == 4);
  for (const RunOptions& run : runs) {
    CHECK(run.length == 15s);
    CHECK(run.rates.pause > 0ms);
    CHECK((run.rates.database > 0ms) == (run.store == "postgres"));
    CHECK((run.rates.full > 0ms) == (run.store != "postgres"));
  }
}

TEST_CASE("options: the time of a lease is that of the database's", "[torture]") {
  const auto runs = runs_of(parse_command_line({"--store", "postgres", "--lease-time", "900"}), 5);
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].store == "postgres");
  CHECK(runs[0].lease_time == 900ms);
}

TEST_CASE("options: a store that is named gets all the time", "[torture]") {
  const auto runs = runs_of(parse_command_line({"--store", "file", "--seconds", "7"}), 5);
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].store == "file");
  CHECK(runs[0].length == 7s);
}

TEST_CASE("options: what can't be understood is refused", "[torture]") {
  for (const Words& words :
       {Words{"--seconds"}, Words{"--seconds", "0"}, Words{"--seconds", "-1"},
        Words{"--seconds", "5x"}, Words{"--seconds", ""}, Words{"--seed", "99999999999999999999"},
        Words{"--store", "postgresql"}, Words{"--lease-time", "0"}, Words{"--sabotage", "all"},
        Words{"--processes", "1000"}, Words{"--threads", "0"}, Words{"--loud", "1"}, Words{"5"},
        Words{"--sabotages", "--sabotage", "room"}, Words{"--sabotages", "--control", "room"},
        Words{"--sabotage", "lease", "--control", "room"}}) {
    CAPTURE(words);
    CHECK_THROWS_AS(parse_command_line(words), std::runtime_error);
  }
}

TEST_CASE(
    "options: all sabotages are runs that end at the first loss, with no scripted fault to hide "
    "behind, each where it costs something",
    "[torture]") {
  CommandLine line = parse_command_line({"--sabotages"});
  line.has_postgres = true;
  const auto runs = runs_of(line, 5);
  REQUIRE(runs.size() == 4);
  for (const RunOptions& run : runs) {
    CHECK(run.store == "file");
    CHECK(run.sabotage != Sabotage::none);
    CHECK(run.end_at_first_loss);
    CHECK(run.length <= 60s);
    CHECK(run.rates.fault == 0ms);
    CHECK(run.rates.database == 0ms);
    CHECK(run.rates.pause == 0ms);
  }
}

TEST_CASE("options: of a store that is named, all sabotages are those that break it", "[torture]") {
  const auto of = [](const std::string& store) {
    std::set<Sabotage> sabotages;
    for (const RunOptions& run :
         runs_of(parse_command_line({"--sabotages", "--store", store}), 5)) {
      CHECK(run.store == store);
      sabotages.insert(run.sabotage);
    }
    return sabotages;
  };
  using enum Sabotage;
  CHECK(of("sqlite") == std::set{lease, handout, reread, room});
  CHECK(of("postgres") == std::set(kExpiringSabotages.begin(), kExpiringSabotages.end()));
}

TEST_CASE("options: a control run differs from the run with a sabotage by the sabotage",
          "[torture]") {
  for (const std::string name : {"lease", "handout", "reread", "room", "check", "compare"}) {
    const auto control = runs_of(parse_command_line({"--control", name}), 5);
    const auto broken = runs_of(parse_command_line({"--sabotage", name}), 5);
    REQUIRE(control.size() == 1);
    CHECK(control[0].store == broken[0].store);
    CHECK(control[0].sabotage == Sabotage::none);
    CHECK_FALSE(control[0].end_at_first_loss);
    CHECK(hash_of(make_schedule(5, control[0].length, control[0].rates)) ==
          hash_of(make_schedule(5, broken[0].length, broken[0].rates)));
  }
}

TEST_CASE("worker: its command line says everything", "[torture]") {
  const WorkerOptions options{.site = {.store = "postgres",
                                       .folder = "/tmp/a",
                                       .address = "postgresql://h:1/d",
                                       .lease_time = 700ms},
                              .board = "/tmp/b",
                              .scene = {.pds = "p", .plc = "q", .subjects = {"s", "t"}},
                              .threads = 3,
                              .seed = 18446744073709551615u,
                              .sabotage = Sabotage::room};
  const WorkerOptions read = worker_options(to_words(options));
  CHECK(to_words(read) == to_words(options));
  CHECK(read.seed == options.seed);
  CHECK(read.site.address == options.site.address);
  CHECK(read.site.lease_time == 700ms);
  CHECK(read.scene.subjects == options.scene.subjects);
}

TEST_CASE("worker: a command line that is too short or no number is refused", "[torture]") {
  CHECK_THROWS_AS(worker_options({"sqlite"}), std::runtime_error);
  Words words = to_words({.site = {.store = "file", .folder = "/tmp/a"},
                          .board = "/tmp/b",
                          .scene = {.pds = "p", .plc = "q", .subjects = {"s"}}});
  words[8] = "12x";
  CHECK_THROWS_AS(worker_options(words), std::runtime_error);
  words[8] = "12";
  words[9] = "everything";
  CHECK_THROWS_AS(worker_options(words), std::runtime_error);
}
