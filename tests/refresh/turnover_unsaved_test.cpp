// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// Login and logout in a process that holds a renewed session which the store has not taken: the
// newest tokens are what is ended, and if the change fails they are not lost.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

using Tokens = std::vector<std::string>;

// A keeper that holds "rt-2" unsaved; saves of its own thread go on failing until heal().
struct UnsavedWorld {
  World world{};
  std::unique_ptr<SessionKeeper> keeper;
  std::mutex mutex{};
  bool disk_works = false;
  bool disk_works_here = true;

  UnsavedWorld() {
    world.log_in();
    keeper = world.keeper();
    world.clock->advance(1h);
    world.store->set_hook(
        [this, here = std::this_thread::get_id()](std::string_view call) -> std::optional<Error> {
          const std::scoped_lock lock(mutex);
          const bool works = disk_works || (disk_works_here && std::this_thread::get_id() == here);
          if (call != "save" || works) return std::nullopt;
          return make_error(ErrorCode::io, "io.no_space", "the disk is full");
        });
    CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
    REQUIRE(keeper->unsaved(kSubject));
  }
  UnsavedWorld(const UnsavedWorld&) = delete;
  UnsavedWorld& operator=(const UnsavedWorld&) = delete;
  ~UnsavedWorld() { heal(); }

  void break_disk() {
    const std::scoped_lock lock(mutex);
    disk_works_here = false;
  }
  void heal() {
    const std::scoped_lock lock(mutex);
    disk_works = true;
  }
  OAuthSession new_login() const {
    OAuthSession session = sample_session(world.context.provers->create().value()->jkt());
    session.access_token = SecretString("new-at");
    session.refresh_token = SecretString("new-rt");
    session.login_id = 8;
    return session;
  }
};

}  // namespace

TEST_CASE("save_login: over an unsaved session it takes its lease, and ends its newest token",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  REQUIRE(u.keeper->save_login(u.new_login()));
  CHECK_FALSE(u.keeper->unsaved(kSubject));
  CHECK(u.world.server.revoked() == Tokens{"rt-2"});
  CHECK(u.world.stored().access_token.expose() == "new-at");
  u.heal();
  CHECK(u.keeper->settle(10s));
  CHECK(u.world.stored().access_token.expose() == "new-at");
  CHECK_FALSE(u.world.vault->get(u.world.jkt).value().has_value());
}

TEST_CASE("save_login: one that fails gives the unsaved session back, and it is saved in the end",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  u.break_disk();
  CHECK(outcome(u.keeper->save_login(u.new_login())) == "io io.no_space");
  CHECK(u.world.server.revoked() == Tokens{"new-rt"});
  REQUIRE(u.keeper->unsaved(kSubject));
  CHECK(u.keeper->unsaved(kSubject)->refresh_token->expose() == "rt-2");
  // Its lease is still held: nobody else may send the spent token.
  CHECK(outcome(u.world.store->lease(kSubject, {.deadline = u.world.clock->steady_now()})) ==
        "locked lease.timeout");
  u.heal();
  CHECK(u.keeper->settle(10s));
  CHECK(u.world.stored().access_token.expose() == "at-2");
  CHECK(u.world.store->lease(kSubject, {.deadline = u.world.clock->steady_now()}));
}

TEST_CASE("logout: an unsaved session is revoked by its newest token, whatever the disk does",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  u.break_disk();
  CHECK(u.keeper->logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(u.world.server.revoked() == Tokens{"rt-2"});
  CHECK_FALSE(u.world.store->load(kSubject).value().has_value());
  u.heal();
  CHECK(u.keeper->settle(10s));
  CHECK_FALSE(u.world.store->load(kSubject).value().has_value());
}

TEST_CASE("logout: one that is not confirmed keeps the newest token of an unsaved session",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  u.world.server.next(Fault::drop_before);
  CHECK(u.keeper->logout(kSubject).value() == LogoutOutcome::pending);
  CHECK_FALSE(u.keeper->unsaved(kSubject));
  const OAuthSession stored = u.world.stored();
  CHECK(stored.state == SessionState::revoking);
  CHECK(stored.refresh_token->expose() == "rt-2");
  CHECK(stored.access_token.empty());
}

TEST_CASE("logout: with neither disk nor server the unsaved session is given back",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  u.break_disk();
  u.world.server.next(Fault::drop_before);
  CHECK(outcome(u.keeper->logout(kSubject)) == "io io.no_space");
  REQUIRE(u.keeper->unsaved(kSubject));
  u.heal();
  CHECK(u.keeper->settle(10s));
  CHECK(u.world.stored().access_token.expose() == "at-2");
  CHECK(u.world.stored().state == SessionState::active);
}

TEST_CASE("logout: somebody's newer record is what is logged out, and the unsaved one is ended too",
          "[turnover][concurrency]") {
  UnsavedWorld u;
  OAuthSession theirs = u.new_login();
  theirs.revision = Revision{91};
  REQUIRE(u.world.store->save(theirs, u.world.stored().revision));
  CHECK(u.keeper->logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(u.world.server.revoked() == Tokens{"rt-2", "new-rt"});
  CHECK_FALSE(u.world.store->load(kSubject).value().has_value());
}

TEST_CASE("logout: a refresh that ends unsaved while it is waited for hands its lease over",
          "[turnover][concurrency]") {
  auto vault = memory_vault();
  auto clock = std::make_shared<SystemClock>();
  World world(MemoryOAuthTokenStore::create(vault->sealer(), clock), vault);
  world.context.clock = clock;
  world.log_in();
  const auto keeper = world.keeper();
  world.store->set_hook(
      [&, here = std::this_thread::get_id()](std::string_view call) -> std::optional<Error> {
        const bool ours = std::this_thread::get_id() == here;
        if (call == "lease" && ours) world.transport->release();
        if (call != "save" || ours) return std::nullopt;
        return make_error(ErrorCode::io, "io.no_space", "the disk is full");
      });
  world.transport->hold();
  auto refresh = std::async(std::launch::async, [&] {
    return outcome(keeper->fresh(kSubject, {.rejected = token_fingerprint(SecretString("at-1"))}));
  });
  world.transport->wait_for(1);  // it holds the lease now, and its request is under way
  CHECK(keeper->logout(kSubject, {.timeout = 20s}).value() == LogoutOutcome::revoked);
  CHECK(refresh.get() == "session_not_durable session.not_durable");
  CHECK(world.server.revoked() == Tokens{"rt-2"});
  CHECK_FALSE(world.store->load(kSubject).value().has_value());
}
