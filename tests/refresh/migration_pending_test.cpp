// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.oauth.authorization;
import latchkey.refresh.migration;
import latchkey.refresh.pending;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.migration_rig;

// Moving logins that have begun and not ended.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

PendingLogin login_under_way(std::string_view jkt) {
  PendingLogin pending;
  pending.state = "state";
  pending.dpop_jkt = jkt;
  pending.created_at = kPlantedAt;
  return pending;
}

}  // namespace

TEST_CASE("migrate_sessions: logins under way are finished at the target", "[migration]") {
  const MigrationPlaces places("sqlite", "file");
  const std::string jkt = sha256_base64url("key of the login");
  REQUIRE(places.source.vault->put(jkt, SecretBytes(as_bytes("key"))));
  const PendingLogin pending = login_under_way(jkt);
  const auto options = at_once();
  const TimePoint now = options.clock->now();
  const auto record = seal_pending(pending, now + 1min, places.source.store->sealer()).value();
  REQUIRE(places.source.store->save_pending(record, now));
  CHECK(places.migrate(options).pending == 1);
  CHECK_FALSE(places.source.store->take_pending(record.key, now).value());
  const auto taken = places.target.store->take_pending(record.key, now).value();
  REQUIRE(taken);
  CHECK(taken->expires_at == record.expires_at);
  const auto opened = open_pending(*taken, places.target.store->sealer()).value();
  CHECK(opened.state == pending.state);
  CHECK(places.target.vault->get(jkt).value());
  CHECK(places.migrate(options).pending == 0);
}

TEST_CASE("migrate_sessions: a login under way that a cut-off run has copied is not kept twice",
          "[migration]") {
  const MigrationPlaces places;
  const auto options = at_once();
  const TimePoint now = options.clock->now();
  const auto pending = login_under_way("");
  REQUIRE(places.source.store->save_pending(
      seal_pending(pending, now + 1min, places.source.store->sealer()).value(), now));
  REQUIRE(places.target.store->save_pending(
      seal_pending(pending, now + 1min, places.target.store->sealer()).value(), now));
  CHECK(places.migrate(options).pending == 1);
  CHECK_FALSE(places.source.store->take_pending(pending_key(pending.state), now).value());
  CHECK(places.target.store->take_pending(pending_key(pending.state), now).value());
}

TEST_CASE("migrate_sessions: a login whose browser comes back to the source meanwhile is used once",
          "[migration]") {
  const MigrationPlaces places;
  const auto options = at_once();
  const TimePoint now = options.clock->now();
  const auto pending = login_under_way("");
  const std::string key = pending_key(pending.state);
  REQUIRE(places.source.store->save_pending(
      seal_pending(pending, now + 1min, places.source.store->sealer()).value(), now));
  const auto target = stepped(places.target, "target", [&](const std::string& step) {
    if (step == "after:target.save_pending")
      CHECK(places.source.store->take_pending(key, now).value());
    return std::optional<Error>();
  });
  REQUIRE(migrate_sessions(places.source, target, options));
  CHECK_FALSE(places.target.store->take_pending(key, now).value());
}

TEST_CASE("migrate_sessions: expired logins are passed over, unreadable ones reported and left",
          "[migration]") {
  const MigrationPlaces places;
  const auto options = at_once();
  const TimePoint now = options.clock->now();
  PendingLogin expired = login_under_way("");
  expired.state = "expired";
  REQUIRE(places.source.store->save_pending(
      seal_pending(expired, now, places.source.store->sealer()).value(), now - 1min));
  REQUIRE(places.source.store->save_pending(
      {.key = pending_key("strange"), .expires_at = now + 1min, .box = {1, 2, 3}}, now - 1min));
  const auto report = places.migrate(options);
  CHECK(report.pending == 0);
  REQUIRE(report.left == 1);
  CHECK(report.told_left[0].name.starts_with("login under way "));
  CHECK(places.source.store->side_records().value().pending.size() == 2);
  CHECK(places.target.store->side_records().value().pending.empty());
}
