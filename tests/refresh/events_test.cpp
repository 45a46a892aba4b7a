// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.events;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// What a program is told of its sessions.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;
using Cause = SessionEventCause;

namespace {

// A world whose keeper's events are written down. The session is an hour old: due.
struct Told {
  World world{};
  std::mutex mutex{};
  std::vector<SessionEvent> events{};
  std::function<void(const SessionEvent&)> also{};  // done after writing down
  std::unique_ptr<SessionKeeper> keeper{};

  Told() {
    world.log_in();
    world.clock->advance(1h);
    world.context.on_event = [this](const SessionEvent& event) {
      {
        const std::scoped_lock lock(mutex);
        events.push_back(event);
      }
      if (also) also(event);
    };
    keeper = world.keeper();
  }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;
  ~Told() { keeper.reset(); }

  void fail_saves(const std::atomic<bool>& failing) const {
    world.store->set_hook([&failing](std::string_view call) -> std::optional<Error> {
      if (call != "save" || !failing) return std::nullopt;
      return make_error(ErrorCode::io, "io.no_space", "the disk is full");
    });
  }
  // All so far: "updated refreshed", …
  [[nodiscard]] std::vector<std::string> all() {
    REQUIRE(keeper->settle(10s));
    const std::scoped_lock lock(mutex);
    std::vector<std::string> out;
    for (const SessionEvent& event : events) {
      CHECK(event.subject == kSubject);
      out.push_back(std::string(to_string(event.kind())) + " " +
                    std::string(to_string(event.cause)));
    }
    return out;
  }
  [[nodiscard]] SessionEvent last() {
    REQUIRE(keeper->settle(10s));
    const std::scoped_lock lock(mutex);
    return events.back();
  }
};

using Names = std::vector<std::string>;

OAuthSession new_login(const World& world) {
  OAuthSession session = sample_session(world.context.provers->create().value()->jkt());
  session.access_token = SecretString("new-at");
  session.refresh_token = SecretString("new-rt");
  session.login_id = 8;
  return session;
}

}  // namespace

TEST_CASE("events: a renewed session is told once, as it is stored", "[events]") {
  Told told;
  REQUIRE(told.keeper->fresh(kSubject));
  REQUIRE(told.keeper->fresh(kSubject));
  CHECK(told.all() == Names{"updated refreshed"});
  CHECK(told.last().session == static_cast<const SessionSummary&>(told.world.stored()));
  CHECK_FALSE(told.last().error);
}

TEST_CASE("events: handing out, and adopting what another process renewed, is no event",
          "[events]") {
  Told told;
  SessionContext silent = told.world.context;
  silent.on_event = nullptr;
  REQUIRE(SessionKeeper(silent).fresh(kSubject));
  REQUIRE(told.keeper->fresh(kSubject));
  CHECK(told.all().empty());
  CHECK(told.world.server.refreshes() == 1);
}

TEST_CASE("events: a session that ended, and one that was interrupted, are told with the error",
          "[events]") {
  Told told;
  SECTION("refused") {
    told.world.server.kill_session();
    CHECK(outcome(told.keeper->fresh(kSubject)) == "session_dead session.dead");
    CHECK(told.all() == Names{"deleted refused"});
    CHECK(told.last().error->oauth->error == "invalid_grant");
  }
  SECTION("interrupted") {
    told.world.server.next(Fault::drop_after);
    REQUIRE_FALSE(told.keeper->fresh(kSubject));
    told.world.clock->advance(1min);
    REQUIRE_FALSE(told.keeper->fresh(kSubject));
    CHECK(told.all() == Names{"warning refresh_failed", "deleted interrupted"});
    CHECK(told.last().error->code == ErrorCode::refresh_interrupted);
  }
  CHECK(told.last().session->state == SessionState::dead);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  CHECK(told.all().back() != "warning refresh_failed");  // a tombstone is no news
}

TEST_CASE("events: a refresh that failed for now says when the next one is", "[events]") {
  Told told;
  told.world.server.next(Fault::drop_before);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  CHECK(told.all() == Names{"warning refresh_failed"});
  CHECK(told.last().error->code == ErrorCode::unreachable);
  CHECK(told.last().next_attempt == told.world.clock->now() + 1s);
  CHECK(told.last().session->state == SessionState::active);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));  // backing off: nothing happens, nothing is told
  CHECK(told.all().size() == 1);
  told.world.clock->advance(1s);
  told.world.server.next(Fault::drop_before);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  CHECK(told.last().next_attempt == told.world.clock->now() + 2s);
  told.world.clock->advance(2s);
  told.world.server.next(Fault::too_many);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  CHECK(told.last().next_attempt == told.world.clock->now() + 7s);
  told.world.clock->advance(7s);
  REQUIRE(told.keeper->fresh(kSubject));
  CHECK(told.all().back() == "updated refreshed");
}

TEST_CASE("events: a refresh that fails while the token is good is a warning all the same",
          "[events]") {
  Told told;
  told.world.clock->advance(-20s);
  told.world.server.next(Fault::server_error);
  REQUIRE(told.keeper->fresh(kSubject));
  CHECK(told.all() == Names{"warning refresh_failed"});
}

TEST_CASE("events: what nobody can do anything about in time is not a warning", "[events]") {
  Told told;
  told.world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "lease") return std::nullopt;
    return make_error(ErrorCode::locked, "lease.timeout", "another process holds the lease");
  });
  CHECK(outcome(told.keeper->fresh(kSubject)) == "locked lease.timeout");
  CHECK(told.all().empty());
}

TEST_CASE("events: a session that can't be saved is a warning, then an update", "[events]") {
  Told told;
  std::atomic<bool> failing = true;
  told.fail_saves(failing);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  while (told.keeper->unsaved(kSubject) == nullptr) std::this_thread::yield();
  failing = false;
  CHECK(told.all() == Names{"warning not_durable", "updated refreshed"});
  CHECK(told.events.front().error->detail == "io.no_space");
}

TEST_CASE("events: a refresh that lost against somebody else's save is no event", "[events]") {
  Told told;
  told.world.store->set_hook(
      [&, done = false](std::string_view call) mutable -> std::optional<Error> {
        if (call != "save" || std::exchange(done, true)) return std::nullopt;
        REQUIRE(told.world.store->remove(kSubject, told.world.stored().revision));
        return std::nullopt;
      });
  CHECK(outcome(told.keeper->fresh(kSubject)) == "login_required session.absent");
  CHECK(told.all().empty());
}

TEST_CASE("events: a login, one that replaces another, and a logout", "[events]") {
  Told told;
  const Revision first = told.world.stored().revision;
  REQUIRE(told.keeper->save_login(new_login(told.world)));
  CHECK(told.all() == Names{"deleted replaced", "updated logged_in"});
  CHECK(told.events[0].session->revision == first);
  CHECK(told.events[1].session == static_cast<const SessionSummary&>(told.world.stored()));
  REQUIRE(told.keeper->logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(told.all().back() == "deleted logged_out");
  REQUIRE(told.keeper->save_login(new_login(told.world)));
  CHECK(told.all() ==
        Names{"deleted replaced", "updated logged_in", "deleted logged_out", "updated logged_in"});
}

TEST_CASE("events: a logout that the server has not confirmed is told each time it is tried",
          "[events]") {
  Told told;
  told.world.server.next(Fault::drop_before);
  REQUIRE(told.keeper->logout(kSubject).value() == LogoutOutcome::pending);
  CHECK(told.all() == Names{"deleted logged_out", "warning logout_unconfirmed"});
  CHECK(told.last().error->code == ErrorCode::unreachable);
  told.world.server.next(Fault::drop_before);
  REQUIRE(told.keeper->logout(kSubject).value() == LogoutOutcome::pending);
  CHECK(told.all().size() == 3);
  REQUIRE(told.keeper->logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(told.all() ==
        Names{"deleted logged_out", "warning logout_unconfirmed", "warning logout_unconfirmed"});
}

TEST_CASE("events: a login or logout that failed is none", "[events]") {
  Told told;
  std::atomic<bool> failing = true;
  told.fail_saves(failing);
  REQUIRE_FALSE(told.keeper->save_login(new_login(told.world)));
  told.world.server.next(Fault::drop_before);
  REQUIRE_FALSE(told.keeper->logout(kSubject));
  CHECK(told.keeper->logout("did:plc:z72i7hdynmk6r22z27h6tvur").value() ==
        LogoutOutcome::not_logged_in);
  CHECK(told.all().empty());
}

TEST_CASE("events: the listener holds up nobody, and may use the keeper", "[events][concurrency]") {
  Told told;
  std::promise<void> gate;
  std::promise<std::string> inside;
  told.also = [&, opened = gate.get_future().share()](const SessionEvent& event) {
    if (event.cause != Cause::refreshed) return;
    opened.wait();
    inside.set_value(outcome(told.keeper->logout(kSubject)));
  };
  REQUIRE(told.keeper->fresh(kSubject));  // returns while the listener is held
  REQUIRE(told.keeper->fresh(kSubject));
  CHECK_FALSE(told.keeper->settle(0ms));
  gate.set_value();
  CHECK(inside.get_future().get() == "ok");
  CHECK(told.all() == Names{"updated refreshed", "deleted logged_out"});
}

TEST_CASE("events: what the listener throws changes nothing", "[events]") {
  Told told;
  told.also = [](const SessionEvent&) { throw std::runtime_error("the screen is gone"); };
  REQUIRE(told.keeper->fresh(kSubject));
  REQUIRE(told.keeper->logout(kSubject));
  CHECK(told.all() == Names{"updated refreshed", "deleted logged_out"});
}

TEST_CASE("events: a keeper that ends tells what happened until then", "[events]") {
  Told told;
  std::atomic<bool> failing = true;
  told.fail_saves(failing);
  REQUIRE_FALSE(told.keeper->fresh(kSubject));
  failing = false;
  told.keeper.reset();
  REQUIRE(told.events.size() == 2);
  CHECK(told.events[1].cause == Cause::refreshed);
}

TEST_CASE("events: those of a subject come one at a time, in the order of what happened",
          "[events][concurrency]") {
  Told told;
  std::atomic<int> inside = 0, most = 0;
  told.also = [&](const SessionEvent&) {
    most = std::max(most.load(), ++inside);
    --inside;
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 10; ++round) {
          if (i % 2 == 0) {
            static_cast<void>(told.keeper->save_login(new_login(told.world)).has_value());
          } else {
            static_cast<void>(told.keeper->logout(kSubject).has_value());
          }
        }
      });
    }
  }
  CHECK(most == 1);
  // Each login is over before the next one begins.
  bool there = true;
  for (const std::string& name : told.all()) {
    CHECK(there == (name != "updated logged_in"));
    there = name == "updated logged_in";
  }
  CHECK(there == told.world.store->load(kSubject).value().has_value());
}

TEST_CASE("events: none carries a token", "[events]") {
  for (const Fault fault :
       {Fault::none, Fault::drop_after, Fault::garbage, Fault::other_subject, Fault::bad_client}) {
    Told told;
    told.world.server.next(fault);
    static_cast<void>(told.keeper->fresh(kSubject).has_value());
    static_cast<void>(told.keeper->logout(kSubject).has_value());
    REQUIRE(told.keeper->settle(10s));
    for (const SessionEvent& event : told.events) {
      if (!event.error) continue;
      for (const char* secret : {"at-1", "at-2", "rt-1", "rt-2"})
        CHECK(event.error->message.find(secret) == std::string::npos);
    }
  }
}

TEST_CASE("events: each cause has a kind and a name of its own", "[events]") {
  using enum SessionEventCause;
  std::vector<std::string> names;
  for (const auto cause : {logged_in, refreshed, logged_out, refused, interrupted, replaced,
                           not_durable, refresh_failed, logout_unconfirmed}) {
    names.emplace_back(to_string(cause));
  }
  CHECK(kind_of(refreshed) == SessionEventKind::updated);
  CHECK(kind_of(logged_out) == SessionEventKind::deleted);
  CHECK(kind_of(replaced) == SessionEventKind::deleted);
  CHECK(kind_of(not_durable) == SessionEventKind::warning);
  CHECK(kind_of(logout_unconfirmed) == SessionEventKind::warning);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}
