// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.refresh.migration;
import latchkey.refresh.moving;
import latchkey.refresh.tombstones;
import latchkey.session;
import latchkey.store;
import latchkey.test.migration_rig;
import latchkey.test.support;

// Sessions that ended long ago.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const TimePoint kToday = kPlantedAt + 24h * 365;

void plant_dead(const MigrationPlace& place, std::string_view subject, Duration since) {
  plant(place, subject, [&](OAuthSession& session) {
    session.state = SessionState::dead;
    session.state_cause = "token.revoked";
    session.state_changed_at = kToday - since;
  });
}

TombstoneOptions today() {
  return {.lease_patience = 0ms, .clock = std::make_shared<ManualClock>(kToday)};
}

}  // namespace

TEST_CASE("remove_tombstones: removes what ended thirty days ago, and nothing younger",
          "[tombstones]") {
  const auto place = open_place("memory", {});
  plant_dead(place, "did:old", kForgottenAfter);
  plant_dead(place, "did:young", kForgottenAfter - 1ms);
  plant_dead(place, "did:future", -1h);
  const auto done = remove_tombstones(*place.store, today()).value();
  CHECK(done.sessions == 3);
  CHECK(done.removed == 1);
  CHECK(done.left == 0);
  CHECK(found(place, "did:old") == "absent");
  CHECK(found(place, "did:young") != "absent");
  CHECK(found(place, "did:future") != "absent");
}

TEST_CASE("remove_tombstones: a session in use, on its way, or not revoked yet is none",
          "[tombstones]") {
  const auto place = open_place("memory", {});
  plant(place, "did:active");
  plant(place, "did:revoking", [](OAuthSession& session) {
    session.state = SessionState::revoking;
    session.state_changed_at = kPlantedAt;
  });
  const auto leaving = plant(place, "did:moving");
  SystemRandom random;
  REQUIRE(place.store->save(as_moving(leaving, kPlantedAt, random), leaving.revision));
  CHECK(remove_tombstones(*place.store, today()).value().removed == 0);
  CHECK(place.store->list("", 10).value().sessions.size() == 3);
}

TEST_CASE("remove_tombstones: a dry run counts and removes nothing", "[tombstones]") {
  const auto place = open_place("memory", {});
  plant_dead(place, "did:old", 24h * 60);
  auto options = today();
  options.dry_run = true;
  CHECK(remove_tombstones(*place.store, options).value().removed == 1);
  CHECK(found(place, "did:old") != "absent");
}

TEST_CASE("remove_tombstones: a login that happens meanwhile stays", "[tombstones]") {
  const auto place = open_place("memory", {});
  plant_dead(place, "did:old", 24h * 60);
  const auto busy = stepped(place, "store", [&](const std::string& step) {
    if (step == "before:store.lease") plant(place, "did:old");
    return std::optional<Error>();
  });
  const auto done = remove_tombstones(*busy.store, today()).value();
  CHECK(done.removed == 0);
  CHECK(done.left == 0);
  CHECK(is_usable(place, "did:old"));
}

TEST_CASE("remove_tombstones: what is in use or cannot be removed is left, and told",
          "[tombstones]") {
  const auto place = open_place("memory", {});
  plant_dead(place, "did:old", 24h * 60);
  const auto lease =
      place.store->lease("did:old", {.deadline = SystemClock().steady_now() + 5s}).value();
  const auto done = remove_tombstones(*place.store, today()).value();
  CHECK(done.left == 1);
  CHECK(outcome(*done.told_left.at(0).error) == "locked lease.timeout");
  CHECK(found(place, "did:old") != "absent");
}

TEST_CASE("remove_tombstones: a negative age is refused, and a stop ends it", "[tombstones]") {
  const auto place = open_place("memory", {});
  plant_dead(place, "did:old", 24h * 60);
  auto options = today();
  options.age = -1ms;
  CHECK(outcome(remove_tombstones(*place.store, options)) == "invalid_argument tombstones.age");
  options = today();
  std::stop_source stop;
  stop.request_stop();
  options.stop = stop.get_token();
  CHECK(outcome(remove_tombstones(*place.store, options)) == "cancelled tombstones.cancelled");
  CHECK(found(place, "did:old") != "absent");
}
