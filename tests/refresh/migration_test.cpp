// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.refresh.migration;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.migration_rig;
import latchkey.test.refresh_world;
import latchkey.test.support;

// Moving all that a store keeps into another one.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

TEST_CASE("migrate_sessions: moves every session with its key, from any kind to any other",
          "[migration]") {
  const std::string from = GENERATE("memory", "file", "sqlite");
  const std::string to = GENERATE("memory", "file", "sqlite");
  CAPTURE(from, to);
  const MigrationPlaces places(from, to);
  const OAuthSession alice = plant(places.source);
  plant(places.source, "did:plc:bob");
  const auto report = places.migrate();
  CHECK(report.sessions == 2);
  CHECK(report.moved == 2);
  CHECK(report.left == 0);
  CHECK(report.remaining == 0);
  for (const std::string_view subject : {kMoved, std::string_view("did:plc:bob")}) {
    CHECK(found(places.source, subject) == "absent");
    CHECK(is_usable(places.target, subject));
  }
  OAuthSession moved = std::move(places.target.store->load(kMoved).value().value());
  moved.revision = alice.revision;  // drawn anew, the rest is as it was
  CHECK(static_cast<const SessionSummary&>(moved) == alice);
  CHECK(moved.access_token == alice.access_token);
  CHECK(moved.refresh_token == alice.refresh_token);
  CHECK(moved.id_token == alice.id_token);
}

TEST_CASE("migrate_sessions: tombstones and logouts that wait move as they are", "[migration]") {
  const MigrationPlaces places("sqlite", "file");
  plant(places.source, "did:dead", [](OAuthSession& session) {
    session.state = SessionState::dead;
    session.state_cause = "token.revoked";
    session.state_changed_at = kPlantedAt;
    session.refresh_token.reset();
    session.dpop_jkt = sha256_base64url("a key that is not in the vault");
  });
  REQUIRE(places.source.vault->remove(sha256_base64url("a key that is not in the vault")));
  plant(places.source, "revoking|0011223344556677|did:a", [](OAuthSession& session) {
    session.state = SessionState::revoking;
    session.state_changed_at = kPlantedAt;
  });
  CHECK(places.migrate().moved == 2);
  const auto dead = places.target.store->load("did:dead").value().value();
  CHECK(dead.state_cause == "token.revoked");
  CHECK(dead.state_changed_at == kPlantedAt);
  CHECK(places.target.store->load("revoking|0011223344556677|did:a").value()->state ==
        SessionState::revoking);
}

TEST_CASE("migrate_sessions: a claim of an older revision is not made to count", "[migration]") {
  const MigrationPlaces places;
  plant(places.source);
  REQUIRE(places.source.store->save_claim({.subject = std::string(kMoved),
                                           .revision = {99},
                                           .id = 7,
                                           .at = kPlantedAt,
                                           .pid = 1,
                                           .host = "host"}));
  CHECK(places.migrate().moved == 1);
  CHECK_FALSE(places.target.store->load_claim(kMoved).value());
}

TEST_CASE("migrate_sessions: what cannot be read is reported and left, the rest moves",
          "[migration]") {
  const MigrationPlaces places("file", "sqlite");
  plant(places.source);
  plant(places.source, "did:plc:bob");
  const auto sessions = places.folder.path() / "source" / "sessions" / "sessions";
  const auto broken = sessions / names_in(sessions).front();
  write_text(broken, "{}");
  const auto report = places.migrate();
  CHECK(report.moved == 1);
  REQUIRE(report.left == 1);
  CHECK(report.told_left[0].error->code == ErrorCode::corrupt);
  CHECK(report.remaining == 1);
  CHECK(read_text(broken) == "{}");
}

TEST_CASE("migrate_sessions: a session whose key is lost stays where it is", "[migration]") {
  const MigrationPlaces places;
  const auto session = plant(places.source);
  REQUIRE(places.source.vault->remove(session.dpop_jkt));
  CHECK(places.left() == "key_missing vault.key_missing");
  CHECK(places.source.store->load(kMoved).value()->revision == session.revision);
  CHECK(found(places.target) == "absent");
}

TEST_CASE(
    "migrate_sessions: another key under the same name in the target is no key of the session",
    "[migration]") {
  const MigrationPlaces places;
  const auto session = plant(places.source);
  REQUIRE(places.target.vault->put(session.dpop_jkt, SecretBytes(as_bytes("another"))));
  CHECK(places.left() == "conflict vault.exists");
  CHECK(is_usable(places.source));
  CHECK(found(places.target) == "absent");
}

TEST_CASE("migrate_sessions: another login at the target leaves both as they are", "[migration]") {
  const MigrationPlaces places;
  plant(places.source);
  plant(places.target, kMoved, [](OAuthSession& session) {
    session.login_id = 4711;
    session.access_token = SecretString("theirs");
  });
  CHECK(places.left() == "conflict migration.other_login");
  CHECK(is_usable(places.source));
  CHECK(found(places.target) == "active theirs 4711");
}

TEST_CASE("migrate_sessions: a session that somebody is changing is left for the next run",
          "[migration]") {
  const MigrationPlaces places("file", "sqlite");
  plant(places.source);
  {
    const auto lease =
        places.source.store->lease(kMoved, {.deadline = SystemClock().steady_now() + 5s}).value();
    CHECK(places.left() == "locked lease.timeout");
    CHECK(is_usable(places.source));
  }
  {
    const auto lease =
        places.target.store->lease(kMoved, {.deadline = SystemClock().steady_now() + 5s}).value();
    CHECK(places.left() == "locked lease.timeout");
    CHECK(is_usable(places.source));
  }
  CHECK(places.migrate().moved == 1);
}

TEST_CASE("migrate_sessions: the same store twice is refused", "[migration]") {
  const MigrationPlaces places;
  CHECK(outcome(migrate_sessions(places.source, places.source, at_once())) ==
        "invalid_argument migration.same_store");
}

TEST_CASE("migrate_sessions: two instances of one store keep their sessions", "[migration]") {
  const MigrationPlaces places("sqlite", "memory");
  plant(places.source);
  const auto again = open_place("sqlite", places.folder.path() / "source");
  const auto report = migrate_sessions(places.source, again, at_once()).value();
  CHECK(report.left == 1);
  CHECK(is_usable(places.source));
}

TEST_CASE("migrate_sessions: a dry run counts and changes nothing", "[migration]") {
  const MigrationPlaces places("file", "sqlite");
  const auto active = plant(places.source);
  plant(places.source, "did:plc:bob");
  plant(places.source, "did:other");
  plant(places.target, "did:other", [](OAuthSession& session) { session.login_id = 4711; });
  plant(places.source, "did:keyless");
  REQUIRE(places.source.vault->remove(sha256_base64url("did:keyless")));
  auto options = at_once();
  options.dry_run = true;
  const auto report = places.migrate(options);
  CHECK(report.moved == 2);
  CHECK(report.left == 2);
  CHECK(report.remaining == 4);
  CHECK(places.source.store->load(kMoved).value()->revision == active.revision);
  CHECK(found(places.target) == "absent");
  CHECK(places.target.vault->list().value().size() == 1);
}

TEST_CASE("migrate_sessions: tells how far it is, and ends between two sessions when asked to",
          "[migration]") {
  const MigrationPlaces places;
  for (const std::string_view subject : {"did:a", "did:b", "did:c"}) plant(places.source, subject);
  std::stop_source stop;
  std::vector<std::size_t> seen;
  auto options = at_once();
  options.stop = stop.get_token();
  options.progress = [&](std::size_t done, std::size_t total) {
    seen.push_back(done * 10 + total);
    if (done == 2) stop.request_stop();
  };
  CHECK(outcome(migrate_sessions(places.source, places.target, options)) ==
        "cancelled migration.cancelled");
  CHECK(seen == std::vector<std::size_t>{13, 23});
  CHECK(found(places.source, "did:a") == "absent");
  CHECK(is_usable(places.source, "did:c"));
  CHECK(places.migrate().moved == 1);
}

TEST_CASE("migrate_sessions: more sessions than fit into a page", "[migration]") {
  const MigrationPlaces places;
  for (int i = 0; i < 1203; ++i) plant(places.source, "did:" + std::to_string(i));
  const auto report = places.migrate();
  CHECK(report.moved == 1203);
  CHECK(report.remaining == 0);
}

TEST_CASE("migrate_sessions: a disk that fails ends it, a single session that fails does not",
          "[migration]") {
  const MigrationPlaces places;
  for (const std::string_view subject : {"did:a", "did:b", "did:c", "did:d", "did:e"})
    plant(places.source, subject);
  std::size_t leases = 0;
  const auto once = stepped(places.target, "target", [&](const std::string& step) {
    return step == "before:target.lease" && ++leases == 2 ? std::optional(no_space())
                                                          : std::nullopt;
  });
  const auto report = migrate_sessions(places.source, once, at_once()).value();
  CHECK(report.moved == 4);
  CHECK(report.left == 1);
  for (const std::string_view subject : {"did:1", "did:2", "did:3"}) plant(places.source, subject);
  const auto always = stepped(places.target, "target", [&](const std::string& step) {
    return step == "before:target.save" ? std::optional(no_space()) : std::nullopt;
  });
  CHECK(outcome(migrate_sessions(places.source, always, at_once())) == "io io.no_space");
  CHECK(places.migrate().moved == 4);
}

TEST_CASE("migrate_sessions: two at once move each session once", "[migration][concurrency]") {
  const TemporaryFolder folder;
  constexpr int kSessions = 30;
  {
    const auto source = open_place("sqlite", folder.path() / "source");
    for (int i = 0; i < kSessions; ++i) plant(source, "did:" + std::to_string(i));
    static_cast<void>(open_place("file", folder.path() / "target"));
  }
  std::atomic<std::size_t> moved = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        const auto source = open_place("sqlite", folder.path() / "source");
        const auto target = open_place("file", folder.path() / "target");
        const auto report = migrate_sessions(source, target, {.lease_patience = 60s}).value();
        CHECK(report.left == 0);
        moved += report.moved;
      });
    }
  }
  CHECK(moved == kSessions);
  const auto source = open_place("sqlite", folder.path() / "source");
  const auto target = open_place("file", folder.path() / "target");
  CHECK(source.store->list("", 1000).value().sessions.empty());
  for (int i = 0; i < kSessions; ++i) CHECK(is_usable(target, "did:" + std::to_string(i)));
}

TEST_CASE("migrate_sessions: beside a program that refreshes at the source no token is spent twice",
          "[migration][concurrency]") {
  const MigrationPlaces places("sqlite", "file");
  World before(places.source.store, places.source.vault);
  before.context.clock = std::make_shared<SystemClock>();  // the stores wait by it
  before.log_in();
  std::atomic<unsigned> refreshed = 0;
  std::string end;
  {
    std::jthread program([&] {
      const auto keeper = before.keeper();
      for (std::string rejected = token_fingerprint(SecretString("at-1"));;) {
        const auto fresh = keeper->fresh(kSubject, {.rejected = rejected});
        if (!fresh) {
          end = outcome(fresh);
          return;
        }
        rejected = token_fingerprint((*fresh)->access_token);
        ++refreshed;
        refreshed.notify_all();
      }
    });
    refreshed.wait(0);
    CHECK(places.migrate({.lease_patience = 60s}).moved == 1);
  }
  // As soon as the session is gone from there, nobody refreshes it there.
  CAPTURE(end);
  CHECK((end == "login_required session.absent" || end == "locked session.moving"));
  World after(places.target.store, places.target.vault);
  after.context.clock = before.context.clock;
  after.context.transport = before.transport;
  const auto stored = places.target.store->load(kSubject).value();
  REQUIRE(stored);
  const auto next =
      after.keeper()->fresh(kSubject, {.rejected = token_fingerprint(stored->access_token)});
  CHECK(outcome(next) == "ok");
  CHECK(before.server.replays() == 0);
}
