// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop.jwk;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.test.oauth;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

std::vector<std::string> words(std::initializer_list<const char*> list) {
  return {list.begin(), list.end()};
}

}  // namespace

TEST_CASE("fresh: a good token is handed out without a request, the second time without a load",
          "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");
  CHECK(world.store->take_trace() == words({"load"}));
  CHECK(world.transport->count() == 0);
}

TEST_CASE("fresh: nobody logged in, logged out, and dead are three answers", "[keeper]") {
  World world;
  const auto keeper = world.keeper();
  CHECK(outcome(keeper->fresh(kSubject)) == "login_required session.absent");
  OAuthSession session = sample_session(world.jkt);
  session.revision = Revision{1};
  session.state = SessionState::revoking;
  REQUIRE(world.store->save(session, Revision{}));
  CHECK(outcome(keeper->fresh(kSubject)) == "login_required session.logged_out");
  session.state = SessionState::dead;
  session.state_cause = "refresh.invalid_grant";
  session.revision = Revision{2};
  REQUIRE(world.store->save(session, Revision{1}));
  CHECK(outcome(keeper->fresh(kSubject)) == "session_dead session.dead");
  session.state_cause = "refresh.interrupted";
  session.revision = Revision{3};
  REQUIRE(world.store->save(session, Revision{2}));
  CHECK(outcome(keeper->fresh(kSubject)) == "refresh_interrupted refresh.interrupted");
}

TEST_CASE("C7.1: the steps of a refresh happen in the order that loses nothing", "[keeper]") {
  World world;
  const Revision before = world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h);
  unsigned posts_at_claim = 99, posts_at_save = 99;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "save_claim") posts_at_claim = world.server.refreshes();
    if (call == "save") posts_at_save = world.server.refreshes();
    return std::nullopt;
  });
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.store->take_trace() ==
        words({"load", "lease", "load", "reserve_room", "save_claim", "save"}));
  CHECK(posts_at_claim == 0);
  CHECK(posts_at_save == 1);
  const OAuthSession stored = world.stored();
  CHECK(stored.access_token.expose() == "at-2");
  CHECK(stored.refresh_token->expose() == "rt-2");
  CHECK_FALSE(stored.revision == before);
  CHECK(stored.login_id == 7);
  CHECK(stored.expires_at == kNow + 2h);
  CHECK(stored.session_started_at == kNow);
}

TEST_CASE("fresh: the next call takes the new token from the cache", "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h);
  REQUIRE(keeper->fresh(kSubject));
  CHECK(token_of(keeper->fresh(kSubject)) == "at-2");
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("fresh: a session that another process renewed is adopted without a request",
          "[keeper]") {
  World world;
  const Revision old = world.log_in();
  const auto keeper = world.keeper();
  world.clock->advance(1h);
  world.store->set_hook([&, done = false](std::string_view call) mutable -> std::optional<Error> {
    if (call != "lease" || std::exchange(done, true)) return std::nullopt;
    OAuthSession theirs = sample_session(world.jkt);
    theirs.access_token = SecretString("at-theirs");
    theirs.revision = Revision{77};
    theirs.expires_at = world.clock->now() + 1h;
    theirs.issued_at = world.clock->now();
    REQUIRE(world.store->save(theirs, old));
    return std::nullopt;
  });
  CHECK(token_of(keeper->fresh(kSubject)) == "at-theirs");
  CHECK(world.server.refreshes() == 0);
}

TEST_CASE("fresh: a logout elsewhere is seen at once, without waiting for an expiry", "[keeper]") {
  World world;
  const Revision revision = world.log_in();
  const auto keeper = world.keeper();
  REQUIRE(keeper->fresh(kSubject));
  REQUIRE(world.store->remove(kSubject, revision));
  CHECK(outcome(keeper->fresh(kSubject)) == "login_required session.absent");
}

TEST_CASE("fresh: a rejected token leads to one refresh, and another token in the store to none",
          "[keeper]") {
  World world;
  world.log_in();
  const auto keeper = world.keeper();
  const std::string rejected = token_fingerprint(keeper->fresh(kSubject).value()->access_token);
  CHECK(token_of(keeper->fresh(kSubject, {.rejected = rejected})) == "at-2");
  CHECK(token_of(keeper->fresh(kSubject, {.rejected = rejected})) == "at-2");
  CHECK(token_of(world.keeper()->fresh(kSubject, {.rejected = rejected})) == "at-2");
  CHECK(world.server.refreshes() == 1);
}

TEST_CASE("fresh: without a refresh token the access token is used up, then a login is needed",
          "[keeper]") {
  World world;
  OAuthSession session = sample_session(world.jkt);
  session.refresh_token.reset();
  session.revision = Revision{1};
  REQUIRE(world.store->save(session, Revision{}));
  const auto keeper = world.keeper();
  world.clock->advance(1h - 1s);
  CHECK(token_of(keeper->fresh(kSubject)) == "at-1");
  world.clock->advance(1s);
  CHECK(outcome(keeper->fresh(kSubject)) == "login_required refresh.no_refresh_token");
  CHECK(world.transport->count() == 0);
}

TEST_CASE("fresh: a session of another client is refused before its token is burnt", "[keeper]") {
  World world;
  world.log_in();
  world.context.client_id = "http://localhost?scope=other";
  world.clock->advance(1h);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "client_mismatch session.client_mismatch");
  CHECK(world.transport->count() == 0);
}

TEST_CASE("fresh: a missing key is its own error, and nothing is sent", "[keeper]") {
  World world;
  world.log_in();
  REQUIRE(world.context.provers->remove(world.jkt));
  world.clock->advance(1h);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "key_missing vault.key_missing");
  CHECK(world.transport->count() == 0);
}

TEST_CASE("C7.5: an issuer that cannot be confirmed burns nothing", "[keeper]") {
  World world;
  world.log_in();
  world.context.profile.confirm = [](const SessionSummary&,
                                     std::stop_token) -> Result<std::string> {
    return make_error(ErrorCode::identity_mismatch, "issuer.not_authoritative",
                      "another server answers for it");
  };
  world.clock->advance(1h);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "identity_mismatch issuer.not_authoritative");
  CHECK(world.transport->count() == 0);
  CHECK_FALSE(world.store->load_claim(kSubject).value().has_value());
  CHECK(world.stored().refresh_token->expose() == "rt-1");
}

TEST_CASE("C7.13: the PDS that the confirmation found is saved with the new tokens", "[keeper]") {
  World world;
  world.log_in();
  world.context.profile.confirm = [](const SessionSummary&,
                                     std::stop_token) -> Result<std::string> {
    return std::string("https://moved.test");
  };
  world.clock->advance(1h);
  REQUIRE(world.keeper()->fresh(kSubject));
  CHECK(world.stored().resource_server == "https://moved.test");
}

TEST_CASE("C7.3, C7.4: a refresh is proven with the session's own key, without ath", "[keeper]") {
  World world;
  REQUIRE(ProverCache(world.vault, world.random).create());  // a newer one, of another login
  world.log_in();
  world.clock->advance(1h);
  REQUIRE(world.keeper()->fresh(kSubject));
  const auto sent = world.transport->requests();
  REQUIRE(sent.size() == 1);
  CHECK(field_names(sent[0]) ==
        std::vector<std::string>{"grant_type", "refresh_token", "client_id"});
  CHECK_FALSE(sent[0].authorization.has_value());
  const DecodedJws proof = decode_jws(*sent[0].headers.find("DPoP"));
  const auto header = JsonObject::parse(proof.header, ErrorCode::corrupt, "header").value();
  CHECK(jwk_thumbprint(header.json_text("jwk").value()).value() == world.jkt);
  CHECK(proof.payload.find("\"ath\"") == std::string::npos);
}

TEST_CASE("C7.6: an answer for another subject is refused and revoked, the old record stays",
          "[keeper]") {
  World world;
  const Revision before = world.log_in();
  world.clock->advance(1h);
  world.server.next(Fault::other_subject);
  CHECK(outcome(world.keeper()->fresh(kSubject)) == "token_invalid token.sub_mismatch");
  CHECK(world.stored().revision == before);
  CHECK(world.server.revoked() == std::vector<std::string>{"rt-2"});
}

TEST_CASE("fresh: a full disk is found before anything is sent", "[keeper]") {
  World world;
  world.log_in();
  world.clock->advance(1h);
  for (const std::string step : {"reserve_room", "save_claim"}) {
    CAPTURE(step);
    world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
      if (call != step) return std::nullopt;
      return make_error(ErrorCode::io, "io.no_space", "the disk is full");
    });
    CHECK(outcome(world.keeper()->fresh(kSubject)) == "io io.no_space");
    CHECK(world.transport->count() == 0);
  }
  world.store->set_hook({});
  CHECK(token_of(world.keeper()->fresh(kSubject)) == "at-2");
}
