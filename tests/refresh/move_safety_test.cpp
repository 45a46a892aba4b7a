// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.oauth.authorization;
import latchkey.refresh.keeper;
import latchkey.refresh.migration;
import latchkey.refresh.moving;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.forwarding_store;
import latchkey.test.migration_rig;
import latchkey.test.refresh_world;
import latchkey.test.support;

// What a move must not do to a session that somebody is refreshing: here the stores' leases can run
// out, so that both believe to be alone.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Pair {
  MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});

  [[nodiscard]] MigrationReport migrate(const MigrationOptions& options = at_once()) const {
    return migrate_sessions(source, target, options).value();
  }
  // Why the only one was left.
  [[nodiscard]] std::string left(const MigrationOptions& options = at_once()) const {
    const auto report = migrate(options);
    return report.left == 1 ? outcome(*report.told_left.at(0).error) : "not one was left";
  }
};

MigrationOptions dry_run() {
  auto options = at_once();
  options.dry_run = true;
  return options;
}

void begin_refresh(const MigrationPlace& place, Revision revision, Duration age = 0ms) {
  place.store
      ->save_claim({.subject = std::string(kMoved),
                    .revision = revision,
                    .id = 7,
                    .at = at_once().clock->now() - age,
                    .pid = 1,
                    .host = "host"})
      .value();
}

// Everybody gets a lease; whether it lasts is asked of `at_check`.
class LosingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
    struct Asked final : Lease {
      explicit Asked(LosingStore& owner) : store(owner) {}
      bool still_held() override { return store.at_check(); }
      LosingStore& store;
    };
    return std::make_unique<Asked>(*this);
  }

  std::function<bool()> at_check = [] { return true; };
};

// A session at the source, and a program there that is about to refresh it.
struct LosingWorld {
  std::shared_ptr<KeyVault> vault = memory_vault();
  std::shared_ptr<LosingStore> store =
      std::make_shared<LosingStore>(MemoryOAuthTokenStore::create(vault->sealer()));
  World world{store, vault};
  Pair pair{.source = {.store = store, .vault = vault}};

  LosingWorld() {
    world.log_in();
    world.clock->advance(1h);
  }

  void at_save(std::function<void()> work) const {
    world.store->set_hook([work = std::move(work)](std::string_view call) {
      if (call == "save") work();
      return std::optional<Error>();
    });
  }
  // What a move that did not see the refresh has put in its place.
  void send_off(const std::function<void(OAuthSession&)>& change = {}) const {
    const OAuthSession session = std::move(store->load(kSubject).value().value());
    OAuthSession moving = as_moving(session, kNow, *world.random);
    if (change) change(moving);
    REQUIRE(store->save(moving, session.revision));
  }
};

}  // namespace

TEST_CASE("move: a session whose refresh is under way or was cut off stays, however long ago",
          "[migration]") {
  for (const Duration age : {Duration(0ms), Duration(5001ms), Duration(48h)}) {
    CAPTURE(age.count());
    const Pair pair;
    const auto session = plant(pair.source);
    begin_refresh(pair.source, session.revision, age);
    CHECK(pair.left(dry_run()) == "locked migration.refresh_unfinished");
    CHECK(pair.left() == "locked migration.refresh_unfinished");
    CHECK(pair.source.store->load(kMoved).value()->revision == session.revision);
    CHECK(pair.source.store->load_claim(kMoved).value());
    CHECK(found(pair.target) == "absent");
    CHECK(pair.target.vault->list().value().empty());
  }
}

TEST_CASE("move: a session under refresh stays also where the target has a later state of it",
          "[migration]") {
  const Pair pair;
  const auto session = plant(pair.source);
  begin_refresh(pair.source, session.revision);
  plant(pair.target, kMoved, [](OAuthSession& later) { later.issued_at += 1min; });
  CHECK(pair.left() == "locked migration.refresh_unfinished");
  CHECK(is_usable(pair.source));
}

TEST_CASE("move: a state under refresh at the target is not replaced", "[migration]") {
  const Pair pair;
  plant(pair.source);
  const auto old = plant(pair.target, kMoved, [](OAuthSession& session) {
    session.issued_at -= 1min;
    session.access_token = SecretString("old");
  });
  begin_refresh(pair.target, old.revision);
  CHECK(pair.left(dry_run()) == "locked migration.refresh_unfinished");
  CHECK(pair.left() == "locked migration.refresh_unfinished");
  CHECK(pair.target.store->load(kMoved).value()->revision == old.revision);
  CHECK(is_usable(pair.source));
}

TEST_CASE("move: once it has been refreshed it moves, without a claim", "[migration]") {
  const Pair pair;
  const auto session = plant(pair.source);
  begin_refresh(pair.source, session.revision);
  OAuthSession renewed = session.clone();
  renewed.revision = {99};
  REQUIRE(pair.source.store->save(renewed, session.revision));
  CHECK(pair.migrate().moved == 1);
  CHECK(is_usable(pair.target));
  CHECK_FALSE(pair.target.store->load_claim(kMoved).value());
}

TEST_CASE(
    "move: a refresh that begins while the key is copied is seen before the session is sent "
    "off",
    "[migration]") {
  const Pair pair;
  const auto session = plant(pair.source);
  const auto target = stepped(pair.target, "target", [&](const std::string& step) {
    if (step == "after:target.put") begin_refresh(pair.source, session.revision);
    return std::optional<Error>();
  });
  const auto report = migrate_sessions(pair.source, target, at_once()).value();
  CHECK(outcome(*report.told_left.at(0).error) == "locked migration.refresh_unfinished");
  CHECK(pair.source.store->load(kMoved).value()->revision == session.revision);
  CHECK(found(pair.target) == "absent");
}

TEST_CASE("move: a lease that ran out changes nothing", "[migration]") {
  LosingWorld w;
  w.store->at_check = [] { return false; };
  const Revision before = w.world.stored().revision;
  CHECK(w.pair.left() == "locked lease.lost");
  CHECK(w.world.stored().revision == before);
  CHECK(w.pair.target.store->load(kSubject).value() == std::nullopt);
}

TEST_CASE("move: a lease that ran out removes no source of which the target has a later state",
          "[migration]") {
  LosingWorld w;
  OAuthSession later = w.world.stored();
  later.issued_at += 1min;
  later.revision = {99};
  REQUIRE(w.pair.target.store->save(later, Revision{}));
  REQUIRE(w.pair.target.vault->put(w.world.jkt, *w.vault->get(w.world.jkt).value()));
  w.store->at_check = [] { return false; };
  CHECK(w.pair.left() == "locked lease.lost");
  CHECK(w.world.stored().state == SessionState::active);
}

TEST_CASE("move: a program paused with its answer in hand keeps its session", "[migration]") {
  LosingWorld w;
  std::string left;
  w.at_save([&] {
    if (left.empty()) left = w.pair.left();
  });
  CHECK(w.world.keeper()->fresh(kSubject).value()->access_token.expose() == "at-2");
  CHECK(left == "locked migration.refresh_unfinished");
  CHECK(w.world.server.revocations() == 0);
  CHECK(w.pair.migrate().moved == 1);
  CHECK(w.pair.target.store->load(kSubject).value()->refresh_token->expose() == "rt-2");
}

TEST_CASE("refresh: an answer for a session that was sent off meanwhile revokes nothing",
          "[migration][keeper]") {
  LosingWorld w;
  w.at_save([&] { w.send_off(); });
  CHECK(outcome(w.world.keeper()->fresh(kSubject)) == "locked session.moving");
  CHECK(w.world.server.refreshes() == 1);
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("refresh: an answer is revoked where the session on its way is of another login",
          "[migration][keeper]") {
  LosingWorld w;
  w.at_save([&] { w.send_off([](OAuthSession& moving) { moving.login_id += 1; }); });
  CHECK(outcome(w.world.keeper()->fresh(kSubject)) == "locked session.moving");
  CHECK(w.world.server.revocations() == 1);
}

TEST_CASE("logout: a renewed session that could not be saved is not revoked where it was sent off",
          "[migration][turnover]") {
  LosingWorld w;
  w.world.store->set_hook([](std::string_view call) {
    return call == "save" ? std::optional(no_space()) : std::nullopt;
  });
  const auto keeper = w.world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  w.send_off();
  CHECK(outcome(keeper->logout(kSubject)) == "locked session.moving");
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("goes_on_as: the same login, in use here or on its way", "[migration]") {
  const Pair pair;
  SystemRandom random;
  const OAuthSession ours = plant(pair.source);
  CHECK(goes_on_as(ours, ours.clone()));
  CHECK(goes_on_as(ours, as_moving(ours, kPlantedAt, random, "B")));
  CHECK_FALSE(goes_on_as(ours, std::nullopt));
  OAuthSession other = ours.clone();
  other.login_id += 1;
  CHECK_FALSE(goes_on_as(ours, other.clone()));
  CHECK_FALSE(goes_on_as(ours, as_moving(other, kPlantedAt, random, "B")));
  OAuthSession ended = ours.clone();
  for (const SessionState state : {SessionState::dead, SessionState::revoking}) {
    ended.state = state;
    CHECK_FALSE(goes_on_as(ours, ended.clone()));
  }
}

TEST_CASE("migrate_sessions: a dry run finds the key that only the target has, as the run does",
          "[migration]") {
  const Pair pair;
  const auto session = plant(pair.source);
  const auto key = pair.source.vault->get(session.dpop_jkt).value();
  REQUIRE(pair.target.vault->put(session.dpop_jkt, *key));
  REQUIRE(pair.source.vault->remove(session.dpop_jkt));
  CHECK(pair.migrate(dry_run()).moved == 1);
  CHECK(pair.migrate().moved == 1);
  CHECK(is_usable(pair.target));
}

TEST_CASE("migrate_sessions: a store that fails at three logins under way ends it", "[migration]") {
  const Pair pair;
  const TimePoint now = at_once().clock->now();
  for (const char* state : {"a", "b", "c", "d", "e"}) {
    PendingLogin login;
    login.state = state;
    const auto record = seal_pending(login, now + 1min, pair.source.store->sealer()).value();
    REQUIRE(pair.source.store->save_pending(record, now));
  }
  int saves = 0;
  const auto failing = stepped(pair.target, "target", [&](const std::string& step) {
    if (step != "before:target.save_pending") return std::optional<Error>();
    ++saves;
    return std::optional(no_space());
  });
  CHECK(outcome(migrate_sessions(pair.source, failing, at_once())) == "io io.no_space");
  CHECK(saves == 3);
  CHECK(pair.migrate().pending == 5);
}
