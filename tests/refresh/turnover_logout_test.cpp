// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// The end of a session, here and at its server.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

using Tokens = std::vector<std::string>;

bool has_key(const World& world) {
  return world.vault->get(world.jkt).value().has_value();
}
bool is_stored(const World& world) {
  return world.store->load(kSubject).value().has_value();
}

// A session with an id token, changed as wanted.
void log_in_with(World& world, const std::function<void(OAuthSession&)>& change = {}) {
  OAuthSession session = sample_session(world.jkt);
  session.id_token = SecretString("id-1");
  session.revision = Revision{70};
  if (change) change(session);
  world.store->save(session, Revision{}).value();
}

std::string logout(World& world, Forget forget = Forget::when_revoked) {
  const auto result = world.keeper()->logout(kSubject, {.forget = forget});
  if (!result) return outcome(result);
  switch (*result) {
    case LogoutOutcome::revoked:
      return "revoked";
    case LogoutOutcome::not_logged_in:
      return "not_logged_in";
    case LogoutOutcome::pending:
      return "pending";
    case LogoutOutcome::forgotten:
      break;
  }
  return "forgotten";
}

Error full_disk() {
  return make_error(ErrorCode::io, "io.no_space", "the disk is full");
}

std::optional<Error> fail_saves(std::string_view call) {
  return call == "save" ? std::optional(full_disk()) : std::nullopt;
}

}  // namespace

TEST_CASE("C7.11: logout: a confirmed one leaves neither record nor key", "[turnover]") {
  World world;
  log_in_with(world);
  CHECK(logout(world) == "revoked");
  CHECK(world.server.revoked() == Tokens{"rt-1"});
  CHECK_FALSE(is_stored(world));
  CHECK_FALSE(has_key(world));
  CHECK(world.transport->requests()[0].headers.find("DPoP") != nullptr);
}

TEST_CASE("logout: nobody logged in is said, and nothing is sent", "[turnover]") {
  World world;
  CHECK(logout(world) == "not_logged_in");
  CHECK(world.transport->count() == 0);
}

TEST_CASE("C7.11: logout: any 2xx confirms it", "[turnover]") {
  for (const int status : {200, 201, 204, 299}) {
    CAPTURE(status);
    World world;
    log_in_with(world);
    world.transport->push(answer(status));
    CHECK(logout(world) == "revoked");
    CHECK_FALSE(is_stored(world));
  }
}

TEST_CASE("logout: before the server is told, the stored session is of no use any more",
          "[turnover]") {
  World world;
  log_in_with(world);
  std::optional<OAuthSession> then;
  world.transport->push([&](const HttpRequest& request, const SendOptions&) {
    then = world.stored();  // what a crash here would leave
    return world.server.answer(request);
  });
  REQUIRE(logout(world) == "revoked");
  REQUIRE(then.has_value());
  CHECK(then->state == SessionState::revoking);
  CHECK(then->access_token.empty());
  CHECK_FALSE(then->id_token.has_value());
  CHECK(then->refresh_token->expose() == "rt-1");
}

TEST_CASE("C7.11: logout: an unconfirmed one keeps only what the server must be told with",
          "[turnover]") {
  for (const int status : {0, 302, 400, 401, 500, 503}) {
    CAPTURE(status);
    World world;
    log_in_with(world);
    if (status == 0) {
      world.server.next(Fault::drop_before);
    } else {
      world.transport->push(json_answer(status, R"({"error":"server_error"})"));
    }
    CHECK(logout(world) == "pending");
    const OAuthSession stored = world.stored();
    CHECK(stored.state == SessionState::revoking);
    CHECK(stored.state_cause == "session.logged_out");
    CHECK(stored.state_changed_at == kNow);
    CHECK(stored.access_token.empty());
    CHECK_FALSE(stored.id_token.has_value());
    CHECK(stored.refresh_token->expose() == "rt-1");
    CHECK(has_key(world));
    CHECK(outcome(world.keeper()->fresh(kSubject)) == "login_required session.logged_out");

    CHECK(logout(world) == "revoked");
    CHECK(world.server.revoked() == Tokens{"rt-1"});
    CHECK_FALSE(is_stored(world));
    CHECK_FALSE(has_key(world));
  }
}

TEST_CASE("logout: a second attempt that fails too keeps the time of the first", "[turnover]") {
  World world;
  log_in_with(world);
  world.server.next(Fault::drop_before);
  REQUIRE(logout(world) == "pending");
  world.clock->advance(24h);
  world.server.next(Fault::drop_before);
  CHECK(logout(world) == "pending");
  CHECK(world.stored().state_changed_at == kNow);
}

TEST_CASE("C7.11: logout: after 14 days without an answer what is left is erased", "[turnover]") {
  World world;
  log_in_with(world);
  world.server.next(Fault::drop_before);
  REQUIRE(logout(world) == "pending");
  world.clock->advance(14 * 24h - 1s);
  world.server.next(Fault::drop_before);
  CHECK(logout(world) == "pending");
  world.clock->advance(1s);
  world.server.next(Fault::drop_before);
  CHECK(logout(world) == "forgotten");
  CHECK_FALSE(is_stored(world));
  CHECK_FALSE(has_key(world));
}

TEST_CASE("C7.11: logout: forgetting erases at once, and tells the server if it can",
          "[turnover]") {
  World world;
  log_in_with(world);
  SECTION("reached") {
    CHECK(logout(world, Forget::now) == "revoked");
  }
  SECTION("not reached") {
    world.server.next(Fault::drop_before);
    CHECK(logout(world, Forget::now) == "forgotten");
  }
  SECTION("not reached, on a full disk") {
    world.server.next(Fault::drop_before);
    world.store->set_hook(fail_saves);
    CHECK(logout(world, Forget::now) == "forgotten");
  }
  CHECK_FALSE(is_stored(world));
  CHECK_FALSE(has_key(world));
}

TEST_CASE("logout: a dead session is cleared away without a request", "[turnover]") {
  World world;
  log_in_with(world, [](OAuthSession& session) {
    session.state = SessionState::dead;
    session.access_token = SecretString{};
    session.refresh_token.reset();
    session.id_token.reset();
  });
  CHECK(logout(world) == "not_logged_in");
  CHECK(world.transport->count() == 0);
  CHECK_FALSE(is_stored(world));
  CHECK_FALSE(has_key(world));
}

TEST_CASE("logout: without a refresh token the access token is revoked, now or later",
          "[turnover]") {
  World world;
  log_in_with(world, [](OAuthSession& session) { session.refresh_token.reset(); });
  world.server.next(Fault::drop_before);
  CHECK(logout(world) == "pending");
  CHECK(world.stored().access_token.expose() == "at-1");
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "login_required session.logged_out");
  CHECK(logout(world) == "revoked");
  CHECK(world.server.revoked() == Tokens{"at-1"});
}

TEST_CASE("logout: what no server can be told is forgotten, and said to be", "[turnover]") {
  World world;
  SECTION("there is no revocation endpoint") {
    log_in_with(world, [](OAuthSession& session) { session.revocation_endpoint.clear(); });
  }
  SECTION("the session's key is gone") {
    log_in_with(world);
    REQUIRE(world.context.provers->remove(world.jkt));
  }
  CHECK(logout(world) == "forgotten");
  CHECK(world.transport->count() == 0);
  CHECK_FALSE(is_stored(world));
}

TEST_CASE("logout: a session of another client is ended in that client's name, or not yet",
          "[turnover]") {
  World world;
  SECTION("a public one") {
    log_in_with(world, [](OAuthSession& session) { session.client_id = "http://localhost"; });
    CHECK(logout(world) == "revoked");
    const auto form = form_decode(world.transport->requests()[0].body.expose()).value();
    CHECK(**form_value(form, "client_id") == "http://localhost");
  }
  SECTION("a confidential one, whose key is not ours") {
    log_in_with(world, [](OAuthSession& session) {
      session.client_id = "https://app.test/client.json";
      session.client_auth_method = ClientAuthMethod::private_key_jwt;
    });
    CHECK(logout(world) == "pending");
    CHECK(world.transport->count() == 0);
  }
}

TEST_CASE("logout: a full disk does not keep anybody logged in while the server can be told",
          "[turnover]") {
  World world;
  log_in_with(world);
  world.store->set_hook(fail_saves);
  CHECK(logout(world) == "revoked");
  CHECK_FALSE(is_stored(world));
  CHECK_FALSE(has_key(world));
}

TEST_CASE("logout: a full disk and no server is an error, and the session is still there",
          "[turnover]") {
  World world;
  log_in_with(world);
  world.store->set_hook(fail_saves);
  world.server.next(Fault::drop_before);
  CHECK(logout(world) == "io io.no_space");
  world.store->set_hook({});
  CHECK(world.stored().state == SessionState::active);
  CHECK(world.stored().access_token.expose() == "at-1");
  CHECK(has_key(world));
}

TEST_CASE("logout: a session that another process renewed meanwhile is left to it", "[turnover]") {
  World world;
  log_in_with(world);
  bool moved = false;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "save" || std::exchange(moved, true)) return std::nullopt;
    OAuthSession theirs = sample_session(world.jkt);
    theirs.revision = Revision{71};
    REQUIRE(world.store->save(theirs, Revision{70}));
    return std::nullopt;
  });
  CHECK(logout(world) == "conflict store.conflict");
  CHECK(world.server.revocations() == 0);
  CHECK(world.stored().revision == Revision{71});
  CHECK(has_key(world));
}

TEST_CASE("logout: an unreadable record is an error, not a session that is gone", "[turnover]") {
  World world;
  log_in_with(world);
  world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "load") return std::nullopt;
    return make_error(ErrorCode::wrong_key, "box.unknown_key", "sealed with another key");
  });
  CHECK(logout(world) == "wrong_key box.unknown_key");
  CHECK(logout(world, Forget::now) == "wrong_key box.unknown_key");
}

TEST_CASE("logout: a record that can't be removed is an error, and the next attempt removes it",
          "[turnover]") {
  World world;
  log_in_with(world);
  world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    return call == "remove" ? std::optional(full_disk()) : std::nullopt;
  });
  CHECK(logout(world) == "io io.no_space");
  world.store->set_hook({});
  CHECK(world.stored().state == SessionState::revoking);
  CHECK(logout(world) == "revoked");
  CHECK_FALSE(is_stored(world));
}

TEST_CASE("logout: whoever holds the lease is waited for, and the wait can be stopped",
          "[turnover]") {
  World world;
  log_in_with(world);
  const auto lease = world.store->lease(kSubject, {.deadline = world.clock->steady_now()}).value();
  CHECK(logout(world) == "locked lease.timeout");
  std::stop_source stop;
  stop.request_stop();
  CHECK(world.keeper()->logout(kSubject, {.stop = stop.get_token()}).error().code ==
        ErrorCode::cancelled);
  CHECK(world.transport->count() == 0);
}

TEST_CASE("logout: the keeper that handed a session out does so no longer", "[turnover]") {
  World world;
  log_in_with(world);
  const auto keeper = world.keeper();
  REQUIRE(keeper->fresh(kSubject));
  REQUIRE(keeper->logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(outcome(keeper->fresh(kSubject)) == "login_required session.absent");
}
