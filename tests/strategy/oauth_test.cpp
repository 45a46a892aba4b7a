// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.authorized;
import latchkey.strategy.oauth;
import latchkey.strategy.static_token;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Sessions, fixed tokens and functions as strategies, and requests with any of them.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string got(AuthStrategy& strategy, const TokenOptions& options = {}) {
  const auto token = strategy.get_token(options);
  return token ? std::string(token->access_token.expose()) : outcome(token);
}

HttpRequest get_record() {
  return {.method = "GET", .url = Url::parse("https://pds.test/xrpc/com.example.get").value()};
}

std::string status_of(const Result<HttpResponse>& answer) {
  return answer ? std::to_string(answer->status) : outcome(answer);
}

std::shared_ptr<StaticTokenStrategy> fixed(std::string_view token) {
  return StaticTokenStrategy::create(SecretString(token)).value();
}

// A session of kSubject with a strategy over it, and a resource server.
struct OAuthRig : ResourceWorld {
  OAuthStrategy strategy{keeper, std::string(kSubject)};
  std::string send() {
    return status_of(send_authorized(strategy, pds, get_record(), Repeat::safe, resource_limits()));
  }
};

HttpResponse bearer_refused() {
  return json_answer(401, "{}", {{"WWW-Authenticate", R"(Bearer error="invalid_token")"}});
}

}  // namespace

TEST_CASE("OAuthStrategy: the session's token, with its type, key, server and end", "[strategy]") {
  OAuthRig rig;
  const auto token = rig.strategy.get_token();
  REQUIRE(token);
  CHECK(token->access_token.expose() == "at-1");
  CHECK(token->token_type == "DPoP");
  CHECK(token->dpop_jkt == rig.world.jkt);
  CHECK(token->resource_server == "https://pds.test");
  CHECK(token->expires_at == kNow + 1h);
  CHECK(token->fingerprint == token_fingerprint(SecretString("at-1")));
}

TEST_CASE("SA-10: no session yet is an answer of its own, and a later login is seen",
          "[strategy]") {
  World world;
  OAuthStrategy strategy(world.keeper(), std::string(kSubject));
  CHECK(got(strategy) == "login_required session.absent");
  world.log_in();
  CHECK(got(strategy) == "at-1");
}

TEST_CASE("OAuthStrategy: a token that is due or refused is renewed", "[strategy]") {
  OAuthRig rig;
  rig.world.clock->advance(1h);
  CHECK(got(rig.strategy) == "at-2");
  CHECK(got(rig.strategy, {.rejected = token_fingerprint(SecretString("at-2"))}) == "at-3");
  CHECK(got(rig.strategy, {.rejected = token_fingerprint(SecretString("at-2"))}) == "at-3");
}

TEST_CASE("OAuthStrategy: a caller who has given up begins no refresh", "[strategy]") {
  OAuthRig rig;
  rig.world.clock->advance(1h);
  std::stop_source stop;
  stop.request_stop();
  CHECK(got(rig.strategy, {.stop = stop.get_token()}) == "cancelled refresh.cancelled");
  CHECK(rig.world.server.refreshes() == 0);
}

TEST_CASE("OAuthStrategy: requests of a DPoP session carry proofs over the caller's transport",
          "[strategy]") {
  OAuthRig rig;
  rig.pds->push(json_answer(200, "{}"));
  CHECK(rig.send() == "200");
  const auto requests = rig.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].authorization->scheme == Authorization::Scheme::dpop);
  CHECK(token_of(requests[0]) == "at-1");
  CHECK(claim_of(requests[0], "ath") == sha256_base64url("at-1"));
}

TEST_CASE("strategies: a refused token is renewed and the request sent once more", "[strategy]") {
  OAuthRig rig;
  rig.pds->push(token_refused()).push(json_answer(200, "{}"));
  CHECK(rig.send() == "200");
  CHECK(token_of(rig.requests()[1]) == "at-2");
  CHECK(rig.world.server.refreshes() == 1);
}

TEST_CASE("strategies: a second refusal is an error", "[strategy]") {
  OAuthRig rig;
  rig.pds->push(token_refused()).push(token_refused());
  CHECK(rig.send() == "token_invalid resource.token_refused");
  CHECK(rig.pds->count() == 2);
}

TEST_CASE("strategies: other answers are results, and nothing is renewed", "[strategy]") {
  for (const int status : {200, 302, 400, 401, 403, 429, 500}) {
    OAuthRig rig;
    rig.pds->push(json_answer(status, R"({"error":"invalid_token"})"));
    CHECK(rig.send() == std::to_string(status));
    CHECK(rig.world.server.refreshes() == 0);
  }
}

TEST_CASE("StaticTokenStrategy: the token, always, as a Bearer token", "[strategy]") {
  const auto strategy = fixed("key-1");
  CHECK(got(*strategy) == "key-1");
  CHECK(got(*strategy, {.rejected = token_fingerprint(SecretString("key-1"))}) == "key-1");
  const auto token = strategy->get_token();
  CHECK(token->token_type == "Bearer");
  CHECK_FALSE(token->expires_at);
  CHECK(token->dpop_jkt.empty());
}

TEST_CASE("StaticTokenStrategy: what no header can carry is refused, and not shown", "[strategy]") {
  const auto refused = [](std::string_view token) {
    const auto made = StaticTokenStrategy::create(SecretString(token));
    if (!made) CHECK(made.error().message.find("marker") == std::string::npos);
    return outcome(made);
  };
  CHECK(refused("") == "invalid_argument static_token.empty");
  CHECK(refused("marker\n") == "invalid_argument static_token.characters");
  CHECK(refused("marker one") == "invalid_argument static_token.characters");
  CHECK(refused("m\xc3\xa4rker") == "invalid_argument static_token.characters");
  CHECK(refused(std::string(32 * 1024 + 1, 'a')) == "invalid_argument static_token.too_long");
  CHECK(refused(std::string(32 * 1024, 'a')) == "ok");
}

TEST_CASE("StaticTokenStrategy: a refused token is not sent a second time", "[strategy]") {
  auto transport = std::make_shared<ScriptedTransport>();
  transport->push(bearer_refused());
  CHECK(status_of(send_authorized(*fixed("key-1"), transport, get_record(), Repeat::safe,
                                  resource_limits())) == "token_invalid resource.token_refused");
  CHECK(transport->count() == 1);
  CHECK(transport->requests()[0].authorization->scheme == Authorization::Scheme::bearer);
  CHECK(transport->requests()[0].headers.find("DPoP") == nullptr);
}

TEST_CASE("stored API key: a session without expiry or refresh token needs no network, ever",
          "[strategy]") {
  World world;
  OAuthSession key =
      static_token_session("work", std::string(kClientId), SecretString("key-1")).value();
  key.revision = Revision{1};
  REQUIRE(world.store->save(key, Revision{}));
  OAuthStrategy strategy(world.keeper(), "work");
  CHECK(got(strategy) == "key-1");
  world.clock->advance(24h * 10'000);
  CHECK(got(strategy) == "key-1");
  CHECK(got(strategy, {.rejected = token_fingerprint(SecretString("key-1"))}) ==
        "login_required refresh.no_refresh_token");
  CHECK(world.transport->count() == 0);
}

TEST_CASE("AuthStrategyFn: is what the function says", "[strategy]") {
  unsigned calls = 0;
  AuthStrategyFn strategy([&](const TokenOptions& options) -> Result<AuthToken> {
    if (++calls == 3) return make_error(ErrorCode::login_required, "test.none", "nothing here");
    return AuthToken{.access_token = SecretString(options.rejected.empty() ? "one" : "two"),
                     .fingerprint = options.rejected.empty() ? "1" : "2"};
  });
  auto transport = std::make_shared<ScriptedTransport>();
  transport->push(bearer_refused()).push(json_answer(200, "{}"));
  CHECK(status_of(send_authorized(strategy, transport, get_record(), Repeat::safe,
                                  resource_limits())) == "200");
  CHECK(transport->requests()[1].authorization->credentials.expose() == "two");
  CHECK(got(strategy) == "login_required test.none");
}

TEST_CASE("strategies: a bound token without a key to prove it is not sent", "[strategy]") {
  AuthStrategyFn strategy([](const TokenOptions&) -> Result<AuthToken> {
    return AuthToken{.access_token = SecretString("one"), .token_type = "DPoP", .dpop_jkt = "jkt"};
  });
  auto transport = std::make_shared<ScriptedTransport>();
  CHECK(status_of(send_authorized(strategy, transport, get_record(), Repeat::safe,
                                  resource_limits())) == "key_missing strategy.no_key");
  CHECK(transport->count() == 0);
}
