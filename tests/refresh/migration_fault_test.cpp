// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.refresh.migration;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;
import latchkey.test.migration_rig;
import latchkey.test.refresh_world;
import latchkey.test.support;

// One session on its way, cut off or failed at every step.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// However it ended: the session is somewhere, and not usable in two places.
void check_whole(const MigrationPlace& source, const MigrationPlace& target) {
  CHECK((has_tokens(source) || has_tokens(target)));
  CHECK_FALSE((is_usable(source) && is_usable(target)));
}

void check_arrived(const MigrationPlace& source, const MigrationPlace& target) {
  CHECK(found(source) == "absent");
  CHECK(is_usable(target));
  const auto session = target.store->load(kMoved).value().value();
  CHECK(session.refresh_token->expose() == "rt-" + std::string(kMoved));
}

struct Fault {
  int first = 0;         // the number of the step that fails
  bool lasting = false;  // and all after it
  int steps = 0;
  [[nodiscard]] AtStep at() {
    return [this](const std::string&) -> std::optional<Error> {
      ++steps;
      if (steps == first || (lasting && steps > first)) return no_space();
      return std::nullopt;
    };
  }
};

}  // namespace

TEST_CASE("move: killed at any step, the session is in one store, and the next run moves it",
          "[migration][crash]") {
  const auto kinds = GENERATE(std::pair("file", "sqlite"), std::pair("sqlite", "file"));
  int step = 1;
  for (int status = 128 + 9; status != 0; ++step) {
    CAPTURE(kinds.first, kinds.second, step);
    const TemporaryFolder folder;
    {
      plant(open_place(kinds.first, folder.path() / "source"));
      static_cast<void>(open_place(kinds.second, folder.path() / "target"));
    }
    ChildProcess child({LATCHKEY_MIGRATION_CRASH_CHILD, kinds.first, kinds.second,
                        folder.path().string(), std::to_string(step)});
    status = child.wait();
    REQUIRE((status == 0 || status == 128 + 9));
    const auto source = open_place(kinds.first, folder.path() / "source");
    const auto target = open_place(kinds.second, folder.path() / "target");
    check_whole(source, target);
    CHECK(migrate_sessions(source, target, at_once()).value().left == 0);
    check_arrived(source, target);
  }
  CHECK(step > 25);
}

TEST_CASE("move: failed at any step, the session is in one store, and the next run moves it",
          "[migration]") {
  const bool lasting = GENERATE(false, true);
  for (int step = 1;; ++step) {
    CAPTURE(step, lasting);
    const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
    plant(source);
    Fault fault{.first = step, .lasting = lasting};
    const auto report = migrate_sessions(stepped(source, "source", fault.at()),
                                         stepped(target, "target", fault.at()), at_once());
    if (fault.steps < step) {
      CHECK(step > 24);
      break;
    }
    check_whole(source, target);
    // Only a lasting fault may leave it unusable until the next run.
    if (!lasting) CHECK((is_usable(source) || is_usable(target) || report->left == 1));
    CHECK(migrate_sessions(source, target, at_once()).value().left == 0);
    check_arrived(source, target);
  }
}

TEST_CASE("move: a target that refuses the save gives the session back to the source at once",
          "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source);
  const auto refusing = stepped(target, "target", [](const std::string& step) {
    return step == "before:target.save" ? std::optional(no_space()) : std::nullopt;
  });
  const auto report = migrate_sessions(source, refusing, at_once()).value();
  CHECK(outcome(*report.told_left.at(0).error) == "io io.no_space");
  CHECK(is_usable(source));
  CHECK(found(target) == "absent");
}

TEST_CASE("move: a save that failed and was carried out all the same is a save", "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source);
  const auto failing = stepped(target, "target", [](const std::string& step) {
    return step == "after:target.save" ? std::optional(no_space()) : std::nullopt;
  });
  CHECK(migrate_sessions(source, failing, at_once()).value().moved == 1);
  check_arrived(source, target);
}

TEST_CASE("move: a target that gives back something else is given up, and the source keeps it",
          "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source);
  const auto forgetful = stepped(target, "target", [&](const std::string& step) {
    if (step == "after:target.save") {
      OAuthSession other = std::move(target.store->load(kMoved).value().value());
      const Revision saved = other.revision;
      other.access_token = SecretString("something else");
      target.store->remove(kMoved, saved).value();
      target.store->save(other, Revision{}).value();
    }
    return std::optional<Error>();
  });
  const auto report = migrate_sessions(source, forgetful, at_once()).value();
  CHECK(outcome(*report.told_left.at(0).error) == "corrupt migration.differs");
  CHECK(is_usable(source));
  CHECK(found(target) == "absent");
}

TEST_CASE("move: programs at the source are told that a session on its way is elsewhere",
          "[migration]") {
  World world;
  world.log_in();
  const Revision before = world.stored().revision;
  OAuthSession moving = as_moving(world.stored(), world.clock->now(), *world.random);
  REQUIRE(world.store->save(moving, before));
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "locked session.moving");
  CHECK(outcome(keeper->logout(kSubject)) == "locked session.moving");
  CHECK(outcome(keeper->logout(kSubject, {.forget = Forget::now})) == "locked session.moving");
  CHECK(world.stored().refresh_token->expose() == "rt-1");
  CHECK(world.server.refreshes() == 0);
  CHECK(world.server.revocations() == 0);
}

TEST_CASE("move: a login at the source in place of a session on its way leaves the target's alone",
          "[migration]") {
  World world;
  world.log_in();
  const Revision before = world.stored().revision;
  OAuthSession moving = as_moving(world.stored(), world.clock->now(), *world.random);
  REQUIRE(world.store->save(moving, before));
  OAuthSession login = sample_session(world.jkt);
  login.login_id = 8;
  CHECK(outcome(world.keeper()->save_login(std::move(login))) == "ok");
  CHECK(world.server.revocations() == 0);
}

namespace {

struct Verdicts {
  MigrationPlace place = open_place("memory", {});
  OAuthSession source = plant(place);
  OAuthSession target = source.clone();

  Verdicts() { target.revision = {1}; }
  [[nodiscard]] MoveVerdict operator()() const { return judge_move(source, target.clone()); }
};

void end_at(OAuthSession& session, SessionState state, TimePoint time) {
  session.state = state;
  session.state_changed_at = time;
}

}  // namespace

TEST_CASE("judge_move: of two states of one login the later stays", "[migration]") {
  Verdicts v;
  CHECK(judge_move(v.source, std::nullopt) == MoveVerdict::copy);
  CHECK(v() == MoveVerdict::finish);  // the same tokens
  v.target.access_token = SecretString("other");
  CHECK(v() == MoveVerdict::unclear);
  v.target.issued_at += 1ms;
  CHECK(v() == MoveVerdict::finish);
  v.target.issued_at -= 2ms;
  CHECK(v() == MoveVerdict::copy);
  v.target.revision = v.source.revision;
  CHECK(v() == MoveVerdict::finish);
  v.target.login_id += 1;
  CHECK(v() == MoveVerdict::other_login);
}

TEST_CASE("judge_move: a session that can be used is not given up for one that ended",
          "[migration]") {
  Verdicts v;
  end_at(v.target, SessionState::dead, kPlantedAt + 1h);
  CHECK(v() == MoveVerdict::copy);
  end_at(v.source, SessionState::dead, kPlantedAt + 2h);
  CHECK(v() == MoveVerdict::copy);
  v.target.state = SessionState::active;
  CHECK(v() == MoveVerdict::finish);
}

TEST_CASE("judge_move: who has logged out does not come back", "[migration]") {
  Verdicts v;
  end_at(v.target, SessionState::revoking, kPlantedAt);
  v.source.issued_at += 1h;
  CHECK(v() == MoveVerdict::finish);
  v.target.state = SessionState::active;
  v.target.issued_at += 2h;
  end_at(v.source, SessionState::revoking, kPlantedAt);
  CHECK(v() == MoveVerdict::copy);
}

TEST_CASE("judge_move: a target that is leaving itself is waited for", "[migration]") {
  Verdicts v;
  SystemRandom random;
  v.target = as_moving(v.target, kPlantedAt, random);
  CHECK(v() == MoveVerdict::target_leaving);
}

TEST_CASE("move: a cut-off move into a target with a login of its own frees the source's session",
          "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  const OAuthSession session = plant(source);
  SystemRandom random;
  REQUIRE(source.store->save(as_moving(session, kPlantedAt, random), session.revision));
  plant(target, kMoved, [](OAuthSession& other) { other.login_id = 4711; });
  const auto report = migrate_sessions(source, target, at_once()).value();
  CHECK(outcome(*report.told_left.at(0).error) == "conflict migration.other_login");
  CHECK(is_usable(source));
}

TEST_CASE("move: an older state of the login in the target is replaced", "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source, kMoved, [](OAuthSession& session) { session.issued_at += 1min; });
  plant(target, kMoved, [](OAuthSession& old) { old.refresh_token = SecretString("spent"); });
  CHECK(migrate_sessions(source, target, at_once()).value().moved == 1);
  CHECK(target.store->load(kMoved).value()->refresh_token->expose() == "rt-" + std::string(kMoved));
}

TEST_CASE("move: a later state of the login in the target stays", "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source, kMoved, [](OAuthSession& old) { old.refresh_token = SecretString("spent"); });
  plant(target, kMoved, [](OAuthSession& session) { session.issued_at += 1min; });
  const auto report = migrate_sessions(source, target, at_once()).value();
  CHECK(report.finished == 1);
  CHECK(found(source) == "absent");
  CHECK(target.store->load(kMoved).value()->refresh_token->expose() == "rt-" + std::string(kMoved));
}
