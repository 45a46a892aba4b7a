// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <functional>
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

// A move that was cut off, and what the next run makes of what lies at the source and at a target
// that is not empty, or not the same.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

MigrationOptions to(std::string_view target) {
  auto options = at_once();
  options.target = target;
  return options;
}

std::string left(const MigrationPlace& from, const MigrationPlace& to,
                 const MigrationOptions& options) {
  const auto report = migrate_sessions(from, to, options).value();
  return report.left == 1 ? outcome(*report.told_left.at(0).error) : "not one was left";
}

// Nothing works any more from this step on, as if the process had been killed there.
void cut_off(const MigrationPlace& from, const MigrationPlace& to, const std::string& at,
             const MigrationOptions& options) {
  bool dead = false;
  const auto die = [&](const std::string& step) {
    dead = dead || step == at;
    return dead ? std::optional(no_space()) : std::nullopt;
  };
  static_cast<void>(
      migrate_sessions(stepped(from, "source", die), stepped(to, "target", die), options)
          .has_value());
  REQUIRE(dead);
}

std::string cause(const MigrationPlace& place) {
  return place.store->load(kMoved).value()->state_cause;
}

// What the target has of the same login from earlier: its tokens are spent.
void plant_older(const MigrationPlace& place, SessionState state) {
  plant(place, kMoved, [&](OAuthSession& old) {
    old.issued_at -= 1h;
    old.access_token = SecretString("spent-at");
    old.refresh_token = SecretString("spent-rt");
    if (state == SessionState::active) return;
    old.state = state;
    old.state_cause = "token.revoked";
    old.state_changed_at = kPlantedAt - 30min;
    old.access_token = SecretString{};
    old.refresh_token.reset();
    old.id_token.reset();
  });
}

bool has_good_tokens(const MigrationPlace& place) {
  const auto session = place.store->load(kMoved).value();
  return session && session->refresh_token &&
         session->refresh_token->expose() == "rt-" + std::string(kMoved);
}

void check_resumed(const MigrationPlace& source, const MigrationPlace& target) {
  CHECK((has_good_tokens(source) || has_good_tokens(target)));
  CHECK_FALSE((is_usable(source) && has_good_tokens(source) && has_good_tokens(target)));
  CHECK(migrate_sessions(source, target, at_once()).value().left == 0);
  CHECK(found(source) == "absent");
  CHECK(is_usable(target));
  CHECK(has_good_tokens(target));
}

}  // namespace

TEST_CASE("move: killed at any step over an older state at the target, the good tokens arrive",
          "[migration][crash]") {
  const auto kinds = GENERATE(std::pair("file", "sqlite"), std::pair("sqlite", "file"));
  // Each state in one kind of target: which kind has it makes no difference.
  const auto older =
      kinds.first == std::string_view("file") ? SessionState::active : SessionState::dead;
  int step = 1;
  for (int status = 128 + 9; status != 0; ++step) {
    CAPTURE(kinds.first, kinds.second, to_string(older), step);
    const TemporaryFolder folder;
    plant(open_place(kinds.first, folder.path() / "source"));
    plant_older(open_place(kinds.second, folder.path() / "target"), older);
    ChildProcess child({LATCHKEY_MIGRATION_CRASH_CHILD, kinds.first, kinds.second,
                        folder.path().string(), std::to_string(step)});
    status = child.wait();
    REQUIRE((status == 0 || status == 128 + 9));
    check_resumed(open_place(kinds.first, folder.path() / "source"),
                  open_place(kinds.second, folder.path() / "target"));
  }
  CHECK(step > 20);
}

TEST_CASE("move: failed at any step over an older state at the target, the good tokens arrive",
          "[migration]") {
  const auto older = GENERATE(SessionState::active, SessionState::dead);
  const bool lasting = GENERATE(false, true);
  for (int failing = 1;; ++failing) {
    CAPTURE(to_string(older), lasting, failing);
    const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
    plant(source);
    plant_older(target, older);
    int steps = 0;
    const auto fail = [&](const std::string&) {
      ++steps;
      const bool fails = steps == failing || (lasting && steps > failing);
      return fails ? std::optional(no_space()) : std::nullopt;
    };
    static_cast<void>(migrate_sessions(stepped(source, "source", fail),
                                       stepped(target, "target", fail), at_once())
                          .has_value());
    check_resumed(source, target);
    if (steps < failing) break;
  }
}

TEST_CASE("move: a copy that was renewed at the target after the cut stays", "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  plant(source);
  cut_off(source, target, "before:source.remove", at_once());
  OAuthSession renewed = std::move(target.store->load(kMoved).value().value());
  const Revision copied = renewed.revision;
  renewed.revision = {99};
  renewed.issued_at += 2min;
  renewed.refresh_token = SecretString("renewed");
  REQUIRE(target.store->save(renewed, copied));
  CHECK(migrate_sessions(source, target, at_once()).value().finished == 1);
  CHECK(found(source) == "absent");
  CHECK(target.store->load(kMoved).value()->revision == Revision{99});
}

TEST_CASE("move: a state that stays at the target gets the key it lacks there", "[migration]") {
  const MigrationPlace source = open_place("memory", {}), target = open_place("memory", {});
  const auto session = plant(source);
  plant(target);
  REQUIRE(target.vault->remove(session.dpop_jkt));
  CHECK(migrate_sessions(source, target, at_once()).value().finished == 1);
  CHECK(is_usable(target));
}

TEST_CASE("judge_move: what is on its way is left to the target only for what became of it",
          "[migration]") {
  const MigrationPlace place = open_place("memory", {});
  SystemRandom random;
  const OAuthSession before = plant(place);
  const TimePoint sent_off = kPlantedAt + 1h;
  const OAuthSession source = as_moving(before, sent_off, random, "B");
  OAuthSession target = before.clone();
  const auto verdict = [&] { return judge_move(source, target.clone()); };
  CHECK(judge_move(source, std::nullopt) == MoveVerdict::copy);
  CHECK(verdict() == MoveVerdict::finish);  // the same tokens
  target.access_token = SecretString("another");
  CHECK(verdict() == MoveVerdict::copy);  // of the same time
  target.issued_at -= 1ms;
  CHECK(verdict() == MoveVerdict::copy);
  target.issued_at += 2ms;
  CHECK(verdict() == MoveVerdict::finish);

  target.state = SessionState::dead;
  target.state_changed_at = sent_off - 1ms;
  CHECK(verdict() == MoveVerdict::copy);
  target.state_changed_at = sent_off;
  CHECK(verdict() == MoveVerdict::copy);
  target.state_changed_at = sent_off + 1ms;
  CHECK(verdict() == MoveVerdict::finish);
  target.state_changed_at.reset();
  CHECK(verdict() == MoveVerdict::copy);
  target.revision = source.revision;
  CHECK(verdict() == MoveVerdict::finish);

  target.revision = before.revision;
  target.state = SessionState::revoking;
  target.state_changed_at = sent_off - 1h;
  CHECK(verdict() == MoveVerdict::finish);  // who has logged out does not come back
}

TEST_CASE("move: a session on its way to one target does not go to another", "[migration]") {
  const MigrationPlace a = open_place("memory", {}), b = open_place("memory", {}),
                       c = open_place("memory", {});
  plant(a);
  cut_off(a, b, "after:target.save", to("B"));
  REQUIRE(is_usable(b));
  CHECK(cause(a) == "session.moving|B");
  const Revision revision = a.store->load(kMoved).value()->revision;
  for (const std::string_view other : {"C", "", "b", "B2"}) {
    CAPTURE(other);
    auto dry = to(other);
    dry.dry_run = true;
    CHECK(left(a, c, dry) == "conflict migration.other_target");
    CHECK(left(a, c, to(other)) == "conflict migration.other_target");
  }
  CHECK(found(c) == "absent");
  CHECK(a.store->load(kMoved).value()->revision == revision);  // not put back either
  CHECK(migrate_sessions(a, b, to("B")).value().finished == 1);
  CHECK(migrate_sessions(b, c, to("C")).value().moved == 1);
  CHECK(is_usable(c));
}

TEST_CASE("move: a session on its way to a target without a name does not go to one with a name",
          "[migration]") {
  const MigrationPlace a = open_place("memory", {}), b = open_place("memory", {});
  plant(a);
  cut_off(a, b, "after:target.save", at_once());
  CHECK(cause(a) == "session.moving");
  CHECK(left(a, b, to("B")) == "conflict migration.other_target");
  CHECK(migrate_sessions(a, b, at_once()).value().finished == 1);
}

TEST_CASE("move: a copy that is on its way further does not make the source's usable again",
          "[migration]") {
  const MigrationPlace a = open_place("memory", {}), b = open_place("memory", {}),
                       c = open_place("memory", {});
  plant(a);
  cut_off(a, b, "after:target.save", to("B"));
  cut_off(b, c, "after:target.save", to("C"));
  REQUIRE(is_usable(c));
  CHECK(left(a, b, to("B")) == "locked migration.target_leaving");
  CHECK_FALSE(is_usable(a));
  CHECK_FALSE(is_usable(b));
}

TEST_CASE("moving: a target's name is printable and bounded, and names of two targets differ",
          "[migration]") {
  const MigrationPlace place = open_place("memory", {});
  SystemRandom random;
  const OAuthSession session = plant(place);
  const std::string longest(kMaxTargetName, 'x');
  const auto sent_to = [&](std::string_view target) {
    return as_moving(session, kPlantedAt, random, target);
  };
  CHECK(moving_target(sent_to(longest)) == longest);
  CHECK(moving_target(sent_to("")).empty());
  CHECK(moving_target(session).empty());
  CHECK(is_being_moved(sent_to("B")));
  CHECK_FALSE(is_being_moved(session));
  CHECK_FALSE(is_being_moved_to(session, ""));
  for (const std::string& odd : {longest + "1", longest + "2", std::string("a\nb"),
                                 std::string("a\x1b"
                                             "b"),
                                 std::string("\xff")}) {
    const OAuthSession moving = sent_to(odd);
    CHECK(moving_target(moving).size() <= kMaxTargetName);
    CHECK(printable(moving_target(moving), kMaxTargetName) == moving_target(moving));
    CHECK(is_being_moved_to(moving, odd));
  }
  CHECK_FALSE(is_being_moved_to(sent_to(longest + "1"), longest + "2"));
  CHECK_FALSE(is_being_moved_to(sent_to("a\nb"), "a\rb"));
  OAuthSession ended = sent_to("B");
  ended.state_cause = "session.movingB";
  CHECK_FALSE(is_being_moved(ended));
}

TEST_CASE("move: programs at the source are told where the session is", "[migration]") {
  World world;
  world.log_in();
  const Revision before = world.stored().revision;
  REQUIRE(world.store->save(
      as_moving(world.stored(), world.clock->now(), *world.random, "postgresql://db/x"), before));
  const auto fresh = world.keeper()->fresh(kSubject);
  REQUIRE(outcome(fresh) == "locked session.moving");
  CHECK(fresh.error().message.find("on its way to postgresql://db/x;") != std::string::npos);
}
