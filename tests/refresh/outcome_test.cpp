// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.outcome;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Refreshes that are asked for, and operations that are done again with a renewed token.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

// A World that is logged in, with its keeper. Its session is good for an hour.
struct Kept {
  World world{};
  std::shared_ptr<SessionKeeper> keeper;
  Kept() {
    world.log_in();
    keeper = world.keeper();
  }

  /// "not_needed at-1", or code and detail.
  std::string refresh(Duration threshold = 60s, const FreshOptions& options = {}) {
    const auto result = refresh_if_needed(*keeper, kSubject, threshold, options);
    if (!result) return outcome(result);
    constexpr std::string_view names[] = {"not_needed ", "refreshed ", "no_refresh_token "};
    return std::string(names[static_cast<int>(result->outcome)]) +
           std::string(result->session->access_token.expose());
  }
  /// Changes what is stored.
  template <class Change>
  void change(Change change) {
    OAuthSession session = world.stored();
    const Revision before = std::exchange(session.revision, Revision{500});
    change(session);
    REQUIRE(world.store->save(session, before));
  }
};

Error refusal(ErrorCode code, int status, std::string message = "no") {
  Error error = make_error(code, "test.refusal", std::move(message));
  error.http_status = status;
  return error;
}

// What with_auto_refresh comes to when the operation gives these outcomes one after the other; the
// tokens that it was called with.
struct Attempts {
  std::vector<std::string> tokens;
  std::vector<Result<int>> outcomes;

  Result<int> operator()(const OAuthSession& session) {
    tokens.emplace_back(session.access_token.expose());
    return outcomes.at(tokens.size() - 1);
  }
};

}  // namespace

TEST_CASE("refresh_if_needed: with more than the threshold left nothing is sent", "[outcome]") {
  Kept kept;
  kept.world.clock->advance(1h - 60s - 1ms);
  CHECK(kept.refresh() == "not_needed at-1");
  CHECK(kept.world.transport->count() == 0);
}

TEST_CASE("refresh_if_needed: exactly at the threshold the session is renewed", "[outcome]") {
  Kept kept;
  kept.world.clock->advance(1h - 60s);
  CHECK(kept.refresh() == "refreshed at-2");
  CHECK(kept.world.server.refreshes() == 1);
  CHECK(kept.refresh() == "not_needed at-2");
}

TEST_CASE("refresh_if_needed: a threshold above the keeper's own limits is obeyed", "[outcome]") {
  Kept kept;
  kept.world.clock->advance(30min);
  CHECK(kept.refresh(30min) == "refreshed at-2");
  CHECK(kept.refresh(30min) == "not_needed at-2");
}

TEST_CASE("refresh_if_needed: an expired session without a refresh token sends nothing",
          "[outcome]") {
  Kept kept;
  SECTION("absent") {
    kept.change([](OAuthSession& session) { session.refresh_token.reset(); });
  }
  SECTION("empty") {
    kept.change([](OAuthSession& session) { session.refresh_token = SecretString(""); });
  }
  kept.world.clock->advance(2h);
  CHECK(kept.refresh() == "no_refresh_token at-1");
  CHECK(kept.world.transport->count() == 0);
}

TEST_CASE("refresh_if_needed: an unknown expiry is no reason to refresh, a malformed one is",
          "[outcome]") {
  Kept kept;
  kept.change([](OAuthSession& session) { session.expires_at.reset(); });
  kept.world.clock->advance(24h * 365);
  CHECK(kept.refresh() == "not_needed at-1");
  kept.change([](OAuthSession& session) {
    session.revision = Revision{501};
    session.expires_at = kMalformedTime;
  });
  CHECK(kept.refresh() == "refreshed at-2");
}

TEST_CASE("refresh_if_needed: a refused token is renewed, however long it would be good",
          "[outcome]") {
  Kept kept;
  const FreshOptions refused{.rejected = token_fingerprint(SecretString("at-1"))};
  CHECK(kept.refresh(60s, refused) == "refreshed at-2");
  CHECK(kept.refresh(60s, refused) == "not_needed at-2");
  CHECK(kept.world.server.refreshes() == 1);
}

TEST_CASE("refresh_if_needed: what another process has saved meanwhile is seen", "[outcome]") {
  Kept kept;
  REQUIRE(kept.refresh() == "not_needed at-1");
  kept.world.clock->advance(1h);
  kept.change([&](OAuthSession& session) {
    session.access_token = SecretString("at-other");
    session.expires_at = kNow + 2h;
  });
  CHECK(kept.refresh() == "not_needed at-other");
  CHECK(kept.world.server.refreshes() == 0);
}

TEST_CASE("refresh_if_needed: an omitted refresh token keeps the old one", "[outcome]") {
  Kept kept;
  kept.world.transport->push(json_answer(
      200,
      R"({"access_token":"at-n","token_type":"DPoP","expires_in":60,"scope":"atproto","sub":")" +
          std::string(kSubject) + R"("})"));
  kept.world.clock->advance(1h);
  CHECK(kept.refresh() == "refreshed at-n");
  CHECK(kept.world.stored().refresh_token->expose() == "rt-1");
}

TEST_CASE("refresh_if_needed: absent, ended and failing sessions are their own errors",
          "[outcome]") {
  Kept kept;
  CHECK(outcome(refresh_if_needed(*kept.keeper, "nobody")) == "login_required session.absent");
  kept.world.clock->advance(1h);
  kept.world.server.next(Fault::drop_before);
  CHECK(kept.refresh() == "unreachable test.lost");
  CHECK(kept.refresh() == "backing_off refresh.backing_off");
  kept.world.clock->advance(1s);
  kept.world.server.kill_session();
  CHECK(kept.refresh() == "session_dead session.dead");
  CHECK(kept.refresh() == "session_dead session.dead");
  CHECK(kept.world.server.refreshes() == 2);
}

TEST_CASE("refuses_token: only a typed 401 is a refusal of the token", "[outcome]") {
  CHECK(refuses_token(refusal(ErrorCode::token_invalid, 401)));
  Error named = refusal(ErrorCode::provider_error, 401);
  named.oauth.emplace().error = "invalid_token";
  CHECK(refuses_token(named));
  named.http_status = 400;
  CHECK_FALSE(refuses_token(named));
  named.http_status = 401;
  named.oauth->error = "insufficient_scope";
  CHECK_FALSE(refuses_token(named));
  CHECK_FALSE(refuses_token(refusal(ErrorCode::token_invalid, 0)));
  CHECK_FALSE(refuses_token(refusal(ErrorCode::token_invalid, 403)));
  CHECK_FALSE(refuses_token(refusal(ErrorCode::resource_error, 401)));
}

TEST_CASE("PV-34: an error whose text says 401, Unauthorized and invalid_token is no refusal",
          "[outcome]") {
  for (const std::string message :
       {"HTTP 401 Unauthorized", "error=\"invalid_token\"", "token_expired", "401"}) {
    Kept kept;
    Attempts attempts;
    attempts.outcomes = {refusal(ErrorCode::resource_error, 0, message)};
    CHECK(outcome(with_auto_refresh(*kept.keeper, kSubject, attempts)) ==
          "resource_error test.refusal");
    CHECK(attempts.tokens == std::vector<std::string>{"at-1"});
    CHECK(kept.world.server.refreshes() == 0);
  }
}

TEST_CASE("with_auto_refresh: a success stands, and nothing is renewed", "[outcome]") {
  Kept kept;
  Attempts attempts;
  attempts.outcomes = {7};
  CHECK(with_auto_refresh(*kept.keeper, kSubject, attempts).value() == 7);
  CHECK(attempts.tokens == std::vector<std::string>{"at-1"});
  CHECK(kept.world.server.refreshes() == 0);
}

TEST_CASE("PV-34: a refused token is renewed once and the operation done once more", "[outcome]") {
  Kept kept;
  Attempts attempts;
  attempts.outcomes = {refusal(ErrorCode::token_invalid, 401), 8};
  CHECK(with_auto_refresh(*kept.keeper, kSubject, attempts).value() == 8);
  CHECK(attempts.tokens == std::vector<std::string>{"at-1", "at-2"});
  CHECK(kept.world.server.refreshes() == 1);
}

TEST_CASE("with_auto_refresh: the second refusal is what the caller gets", "[outcome]") {
  Kept kept;
  Attempts attempts;
  attempts.outcomes = {refusal(ErrorCode::token_invalid, 401),
                       refusal(ErrorCode::token_invalid, 401), 9};
  const auto done = with_auto_refresh(*kept.keeper, kSubject, attempts);
  CHECK(outcome(done) == "token_invalid test.refusal");
  CHECK(attempts.tokens.size() == 2);
  CHECK(kept.world.server.refreshes() == 1);
}

TEST_CASE("with_auto_refresh: another process's newer token is taken instead of a refresh",
          "[outcome]") {
  Kept kept;
  Attempts attempts;
  attempts.outcomes = {refusal(ErrorCode::token_invalid, 401), 1};
  const auto operation = [&](const OAuthSession& session) {
    if (attempts.tokens.empty()) {
      kept.change([](OAuthSession& stored) { stored.access_token = SecretString("at-other"); });
    }
    return attempts(session);
  };
  CHECK(with_auto_refresh(*kept.keeper, kSubject, operation).value() == 1);
  CHECK(attempts.tokens == std::vector<std::string>{"at-1", "at-other"});
  CHECK(kept.world.server.refreshes() == 0);
}

TEST_CASE("with_auto_refresh: a refresh that fails is the answer, and nothing is done again",
          "[outcome]") {
  Kept kept;
  kept.world.server.kill_session();
  Attempts attempts;
  attempts.outcomes = {refusal(ErrorCode::token_invalid, 401)};
  CHECK(outcome(with_auto_refresh(*kept.keeper, kSubject, attempts)) ==
        "session_dead session.dead");
  CHECK(attempts.tokens.size() == 1);
}

TEST_CASE("with_auto_refresh: nothing is done without a session", "[outcome]") {
  Kept kept;
  Attempts attempts;
  CHECK(outcome(with_auto_refresh(*kept.keeper, "nobody", attempts)) ==
        "login_required session.absent");
  CHECK(attempts.tokens.empty());
}

TEST_CASE(
    "with_auto_refresh: an HTTP answer is looked into: its challenge counts, its body does not",
    "[outcome]") {
  Kept kept;
  unsigned calls = 0;
  const auto answering = [&](HttpResponse first) {
    calls = 0;
    return with_auto_refresh(*kept.keeper, kSubject,
                             [&](const OAuthSession&) -> Result<HttpResponse> {
                               if (++calls == 1) return std::move(first);
                               return json_answer(200, "{}");
                             });
  };
  CHECK(answering(json_answer(401, R"({"error":"invalid_token"})")).value().status == 401);
  CHECK(calls == 1);
  CHECK(answering(token_refused()).value().status == 200);
  CHECK(calls == 2);
  CHECK(kept.world.server.refreshes() == 1);
}
