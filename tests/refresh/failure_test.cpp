// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A fault in each window of a refresh: what the server saw, what the caller got, what the next call
// got.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

bool has_claim(const World& world) {
  return world.store->load_claim(kSubject).value().has_value();
}

Error disk_full() {
  return make_error(ErrorCode::io, "io.no_space", "the disk is full");
}

}  // namespace

TEST_CASE("a refresh that was not sent: the claim is cleared, and a later one succeeds",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  world.server.next(Fault::drop_before);
  CHECK(outcome(keeper->fresh(kSubject)) == "unreachable test.lost");
  CHECK_FALSE(has_claim(world));
  world.clock->advance(1s);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.replays() == 0);
}

TEST_CASE("a lost answer: the claim stays, and the next attempt reports an interrupted refresh",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::drop_after);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "connection_lost test.lost");
  CHECK(has_claim(world));
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "refresh_interrupted refresh.interrupted");
  const OAuthSession tombstone = world.stored();
  CHECK(tombstone.state == SessionState::dead);
  CHECK(tombstone.state_cause == "refresh.interrupted");
  CHECK(tombstone.access_token.empty());
  CHECK_FALSE(tombstone.refresh_token.has_value());
}

TEST_CASE("a found claim is left alone until it is 5 s old", "[keeper]") {
  World world;
  const Revision revision = world.log_in();
  world.clock->advance(1h);
  REQUIRE(world.store->save_claim({.subject = std::string(kSubject),
                                   .revision = revision,
                                   .id = 5,
                                   .at = world.clock->now() - 2s,
                                   .pid = 1,
                                   .host = "elsewhere"}));
  CHECK(token_of(world.keeper()->fresh(kSubject)) ==
        "at-2");  // its request had never reached the server
  CHECK(world.clock->slept() == 3s);
}

TEST_CASE("a claim of an older revision does not count", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  REQUIRE(world.store->save_claim({.subject = std::string(kSubject),
                                   .revision = Revision{12345},
                                   .id = 5,
                                   .at = world.clock->now(),
                                   .pid = 1,
                                   .host = "elsewhere"}));
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-2");
  CHECK(world.clock->slept() == 0s);
}

TEST_CASE("a found claim survives an attempt that was not sent: its outcome is still unknown",
          "[keeper]") {
  World world;
  const Revision revision = world.log_in();
  world.clock->advance(1h);
  REQUIRE(world.store->save_claim({.subject = std::string(kSubject),
                                   .revision = revision,
                                   .id = 5,
                                   .at = world.clock->now() - 1h,
                                   .pid = 1,
                                   .host = "elsewhere"}));
  world.server.next(Fault::drop_before);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "unreachable test.lost");
  REQUIRE(has_claim(world));
  world.server.kill_session();
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "refresh_interrupted refresh.interrupted");
}

TEST_CASE("a server error: the claim stays and the session is kept", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::server_error);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "provider_error refresh.server_error");
  CHECK(has_claim(world));
  CHECK(world.stored().state == SessionState::active);
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-2");
}

TEST_CASE("an unreadable 200: the claim stays", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::garbage);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "invalid_response refresh.not_json");
  CHECK(has_claim(world));
}

TEST_CASE("an OAuth error under status 200 is an answer like any other", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::unavailable_with_200);
  CHECK(outcome(world.keeper()->fresh(kSubject)) ==
        "provider_error refresh.temporarily_unavailable");
  CHECK_FALSE(has_claim(world));
  world.server.next(Fault::refused_with_200);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "session_dead session.dead");
  CHECK(world.stored().state_cause == "refresh.invalid_grant");
}

TEST_CASE("C7.14: 429 clears the claim and waits as long as the server says", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  const auto keeper = world.keeper();
  world.server.next(Fault::too_many);
  CHECK(outcome(keeper->fresh(kSubject)) == "rate_limited refresh.rate_limited");
  CHECK_FALSE(has_claim(world));
  world.clock->advance(7s - 1ms);
  const auto refused = keeper->fresh(kSubject);
  CHECK(outcome(refused) == "backing_off refresh.backing_off");
  CHECK(refused.error().retry_after == 1s);
  CHECK(world.server.refreshes() == 1);
  world.clock->advance(1ms);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
}

TEST_CASE("invalid_client: the claim is cleared, the session kept", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::bad_client);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "invalid_client refresh.invalid_client");
  CHECK_FALSE(has_claim(world));
  CHECK(world.stored().state == SessionState::active);
}

TEST_CASE("C7.9: invalid_grant without a claim of before ends the session with its own cause",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  world.server.kill_session();
  const auto keeper = world.keeper();
  const auto ended = keeper->fresh(kSubject);
  CHECK(outcome(ended) == "session_dead session.dead");
  CHECK(ended.error().oauth->error == "invalid_grant");
  CHECK(world.clock->slept() == 175ms);
  CHECK(world.stored().state_cause == "refresh.invalid_grant");
  CHECK(outcome(keeper->fresh(kSubject)) == "session_dead session.dead");
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("C7.9: after invalid_grant a session that appears within the re-reads is adopted",
          "[keeper]") {
  World world;
  const Revision old = world.log_in();
  world.clock->advance(1h);
  world.server.kill_session();
  int loads = 0;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "load" || ++loads != 4)
      return std::nullopt;  // fresh, under the lease, 25 ms, 50 ms
    OAuthSession theirs = sample_session(world.jkt);
    theirs.access_token = SecretString("at-theirs");
    theirs.revision = Revision{77};
    REQUIRE(world.store->save(theirs, old));
    return std::nullopt;
  });
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-theirs");
  CHECK(world.stored().state == SessionState::active);
}

TEST_CASE("an unsaved session: kept with the lease, retried without a caller, never sent again",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  std::atomic<bool> full = true;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "save" && full) return disk_full();
    return std::nullopt;
  });
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  REQUIRE(keeper->unsaved(kSubject) != nullptr);
  CHECK(keeper->unsaved(kSubject)->refresh_token->expose() == "rt-2");
  CHECK(keeper->is_refreshing(kSubject));
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  CHECK(outcome(world.store->lease(kSubject, {.deadline = world.clock->steady_now()})) ==
        "locked lease.timeout");
  full = false;
  REQUIRE(keeper->settle(10s));
  CHECK(keeper->unsaved(kSubject) == nullptr);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.refreshes() == 1);
  CHECK(world.store->lease(kSubject, {.deadline = world.clock->steady_now()}));
}

TEST_CASE("an unsaved session: a keeper that ends tries once more", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  std::atomic<bool> full = true;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "save" && full) return disk_full();
    return std::nullopt;
  });
  auto keeper = world.keeper();
  REQUIRE_FALSE(keeper->fresh(kSubject));
  full = false;
  keeper.reset();
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}

TEST_CASE("a save whose last step failed is recognised by its own revision", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  // In place, but the folder was not synced: the retry finds its own revision and is no conflict.
  world.store->fail_after_next_save(
      make_error(ErrorCode::io, "io.folder_not_synced", "the folder was not synced"));
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  REQUIRE(keeper->settle(10s));
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.revocations() == 0);
}

TEST_CASE(
    "a conflict at the save: a removed session is not brought back, and what we got is revoked",
    "[keeper]") {
  World world;
  const Revision old = world.log_in();
  world.clock->advance(1h);
  world.store->set_hook([&, done = false](std::string_view call) mutable -> std::optional<Error> {
    if (call != "save" || std::exchange(done, true)) return std::nullopt;
    REQUIRE(world.store->remove(kSubject, old));
    return std::nullopt;
  });
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "login_required session.absent");
  CHECK_FALSE(world.store->load(kSubject).value().has_value());
  CHECK(world.server.revoked() == std::vector<std::string>{"rt-2"});
}

TEST_CASE(
    "a conflict at the save: a newer session of the same login is returned and nothing revoked",
    "[keeper]") {
  World world;
  const Revision old = world.log_in();
  world.clock->advance(1h);
  world.store->set_hook([&, done = false](std::string_view call) mutable -> std::optional<Error> {
    if (call != "save" || std::exchange(done, true)) return std::nullopt;
    OAuthSession theirs = sample_session(world.jkt);
    theirs.access_token = SecretString("at-theirs");
    theirs.revision = Revision{77};
    REQUIRE(world.store->save(theirs, old));
    return std::nullopt;
  });
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-theirs");
  CHECK(world.server.revocations() == 0);
}

TEST_CASE(
    "a conflict at the save without any other revision: the new token is kept, and saved later",
    "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  std::atomic<bool> refused = true;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "save" && refused)
      return make_error(ErrorCode::conflict, "test.serialization", "try again");
    return std::nullopt;
  });
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  REQUIRE(keeper->unsaved(kSubject) != nullptr);
  CHECK(world.server.revocations() == 0);
  refused = false;
  REQUIRE(keeper->settle(10s));
  CHECK(world.stored().refresh_token->expose() == "rt-2");
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("a conflict at the save, and what is stored can't be read: nothing is given up",
          "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  std::atomic<bool> broken = false;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "save" && !broken.exchange(true))
      return make_error(ErrorCode::conflict, "test.serialization", "try again");
    if (call == "load" && broken) return disk_full();
    return std::nullopt;
  });
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  REQUIRE(keeper->settle(10s));
  broken = false;
  world.store->set_hook({});
  CHECK(world.stored().refresh_token->expose() == "rt-2");
}

TEST_CASE("a conflict at the save: another login wins, and what we got is revoked", "[keeper]") {
  World world;
  const Revision old = world.log_in();
  world.clock->advance(1h);
  world.store->set_hook([&, done = false](std::string_view call) mutable -> std::optional<Error> {
    if (call != "save" || std::exchange(done, true)) return std::nullopt;
    OAuthSession theirs = sample_session(world.jkt);
    theirs.access_token = SecretString("at-theirs");
    theirs.login_id = 8;
    theirs.revision = Revision{77};
    REQUIRE(world.store->save(theirs, old));
    return std::nullopt;
  });
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-theirs");
  CHECK(world.server.revoked() == std::vector<std::string>{"rt-2"});
}

TEST_CASE("a refresh that fails while the token is still good: the token is handed out",
          "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h - 20s);
  world.server.next(Fault::drop_before);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");
  CHECK(world.server.refreshes() == 1);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");  // backing off
  CHECK(world.server.refreshes() == 1);
  world.clock->advance(1s);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
}

TEST_CASE("no failure message of a refresh carries a token", "[keeper]") {
  for (const Fault fault :
       {Fault::drop_before, Fault::drop_after, Fault::server_error, Fault::too_many, Fault::garbage,
        Fault::nonce, Fault::other_subject, Fault::bad_client}) {
    World world;
    world.log_in();
    world.clock->advance(1h);
    world.server.next(fault);
    const auto failed = world.keeper()->fresh(kSubject);
    REQUIRE_FALSE(failed);
    CAPTURE(failed.error().message);
    for (const char* secret : {"at-1", "at-2", "rt-1", "rt-2"}) {
      CHECK(failed.error().message.find(secret) == std::string::npos);
    }
  }
}
