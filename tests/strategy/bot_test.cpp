// SPDX-License-Identifier: MIT
#include <algorithm>
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
import latchkey.http.cpprest;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.sandbox;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.app_password;
import latchkey.strategy.authorized;
import latchkey.strategy.token_store;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;
import latchkey.test.strategy_rig;

// A bot with an app password, at a sandbox over HTTP.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Bot {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kRigNow);
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start({.clock = clock}).value();
  sandbox::Account alice = servers->add_account("alice.test", "main-password").value();
  std::string password = servers->add_app_password("alice.test").value();
  std::shared_ptr<HttpTransport> transport =
      CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback}).value();
  std::shared_ptr<ScriptedTokenStore> store = std::make_shared<ScriptedTokenStore>();

  std::shared_ptr<AppPasswordStrategy> strategy(std::string identifier = "alice.test") {
    return strategy_with(password, std::move(identifier));
  }
  std::shared_ptr<AppPasswordStrategy> strategy_with(std::string_view secret,
                                                     std::string identifier = "alice.test") {
    return AppPasswordStrategy::create({.pds = servers->pds(),
                                        .identifier = std::move(identifier),
                                        .password = SecretString(secret),
                                        .transport = transport,
                                        .store = store,
                                        .clock = clock})
        .value();
  }
  /// How often each was called: "createSession", "refreshSession".
  [[nodiscard]] long calls(std::string_view name) const {
    const auto requests = servers->requests();
    return std::count_if(requests.begin(), requests.end(), [&](const auto& request) {
      return request.path == "/xrpc/com.atproto.server." + std::string(name);
    });
  }
  /// The status of createRecord.
  std::string post(AuthStrategy& strategy) {
    HttpRequest request{
        .method = "POST",
        .url = Url::parse(servers->pds() + "/xrpc/com.atproto.repo.createRecord").value()};
    request.headers.set("Content-Type", "application/json").value();
    request.body = SecretString(R"({"repo":")" + alice.did +
                                R"(","collection":"app.bsky.feed.post","record":{"text":"hi"}})");
    const auto answer =
        send_authorized(strategy, transport, request, Repeat::never, resource_limits());
    return answer ? std::to_string(answer->status) : outcome(answer);
  }
};

std::string got(AuthStrategy& strategy, const TokenOptions& options = {}) {
  const auto token = strategy.get_token(options);
  return token ? std::string("ok") : outcome(token);
}

}  // namespace

TEST_CASE("AppPasswordStrategy: a bot logs in once and writes records", "[bot]") {
  Bot bot;
  const auto strategy = bot.strategy();
  CHECK(bot.post(*strategy) == "200");
  CHECK(bot.post(*strategy) == "200");
  CHECK(bot.calls("createSession") == 1);
  CHECK(strategy->get_token()->resource_server == bot.servers->pds());
}

TEST_CASE("AppPasswordStrategy: a DID and a handle in capitals are identifiers too", "[bot]") {
  Bot bot;
  CHECK(got(*bot.strategy(bot.alice.did)) == "ok");
  CHECK(got(*bot.strategy("@Alice.Test")) == "ok");
  CHECK(bot.calls("createSession") == 1);
}

TEST_CASE("AppPasswordStrategy: a session that ends is refreshed, and the new one saved first",
          "[bot]") {
  Bot bot;
  const auto strategy = bot.strategy();
  REQUIRE(got(*strategy) == "ok");
  const std::string before = bot.store->stored();
  bot.clock->advance(2h);
  const auto token = strategy->get_token();
  REQUIRE(token);
  CHECK(token->access_token.expose() != before);
  CHECK(bot.store->stored() == token->access_token.expose());
  CHECK(bot.calls("createSession") == 1);
  CHECK(bot.calls("refreshSession") == 1);
}

TEST_CASE("AppPasswordStrategy: the next run goes on with the stored session", "[bot]") {
  Bot bot;
  REQUIRE(got(*bot.strategy()) == "ok");
  CHECK(got(*bot.strategy()) == "ok");
  bot.clock->advance(3h);
  CHECK(bot.post(*bot.strategy()) == "200");
  CHECK(bot.calls("createSession") == 1);
  CHECK(bot.calls("refreshSession") == 1);
}

TEST_CASE("AppPasswordStrategy: a refresh token that is refused leads to a new login", "[bot]") {
  Bot bot;
  const auto strategy = bot.strategy();
  REQUIRE(got(*strategy) == "ok");
  bot.servers->revoke_app_passwords("alice.test");
  bot.clock->advance(2h);
  CHECK(got(*strategy) == "access_denied app_password.refused");
  CHECK(bot.calls("refreshSession") == 1);
  CHECK(bot.calls("createSession") == 2);
  CHECK(got(*bot.strategy_with("main-password")) == "ok");
}

TEST_CASE("AppPasswordStrategy: a token that the PDS refuses is replaced, and the request repeated",
          "[bot]") {
  Bot bot;
  bot.servers->set_access_lifetime(30min);
  const auto strategy = bot.strategy();
  REQUIRE(bot.post(*strategy) == "200");
  // The PDS's clock runs ahead: what we take for good has ended there.
  bot.servers->set_clock_skew(1h);
  CHECK(bot.post(*strategy) == "200");
  CHECK(bot.calls("refreshSession") == 1);
}

TEST_CASE("AppPasswordStrategy: a refused password is not asked for again for ten minutes",
          "[bot]") {
  Bot bot;
  const auto strategy = bot.strategy_with("wrong-marker");
  CHECK(got(*strategy) == "access_denied app_password.refused");
  bot.clock->advance(10min - 1s);
  const auto token = strategy->get_token();
  CHECK(outcome(token) == "backing_off strategy.backing_off");
  CHECK(token.error().retry_after == 1s);
  CHECK(token.error().message.find("marker") == std::string::npos);
  CHECK(bot.calls("createSession") == 1);
  bot.clock->advance(1s);
  CHECK(got(*strategy) == "access_denied app_password.refused");
  CHECK(bot.calls("createSession") == 2);
}

TEST_CASE("AppPasswordStrategy: a rate limit is waited out as the PDS says", "[bot]") {
  Bot bot;
  auto limited = std::make_shared<ScriptedTransport>();
  limited->push(
      json_answer(429, R"({"error":"RateLimitExceeded"})", {{"RateLimit-Reset", "1790000300"}}));
  bot.transport = limited;
  const auto strategy = bot.strategy();
  CHECK(got(*strategy) == "rate_limited xrpc.RateLimitExceeded");
  bot.clock->advance(299s);
  CHECK(got(*strategy) == "backing_off strategy.backing_off");
  CHECK(limited->count() == 1);
}

TEST_CASE("AppPasswordStrategy: a stored session of another account or PDS is not used", "[bot]") {
  Bot bot;
  OAuthSession foreign = token_session("foreign", 3600s);
  foreign.handle = "bob.test";
  foreign.resource_server = bot.servers->pds();
  foreign.refresh_token = SecretString("foreign-refresh");
  bot.store->put(foreign);
  REQUIRE(got(*bot.strategy()) == "ok");
  CHECK(bot.store->stored() != "foreign");
  CHECK(bot.calls("refreshSession") == 0);
  foreign.handle = "alice.test";
  foreign.resource_server = "https://elsewhere.test";
  bot.store->put(foreign);
  REQUIRE(got(*bot.strategy()) == "ok");
  CHECK(bot.calls("refreshSession") == 0);
}

TEST_CASE("AppPasswordStrategy: an answer for another account is refused", "[bot]") {
  Bot bot;
  auto lying = std::make_shared<ScriptedTransport>();
  lying->push(json_answer(
      200, R"({"did":"did:web:mallory.test","handle":"m.test","accessJwt":"a","refreshJwt":"b"})"));
  bot.transport = lying;
  CHECK(got(*bot.strategy(bot.alice.did)) == "identity_mismatch app_password.other_account");
  CHECK(bot.store->stored().empty());
}

TEST_CASE("AppPasswordStrategy: a rotated session that can't be saved is not handed out, nor lost",
          "[bot]") {
  Bot bot;
  const auto strategy = bot.strategy();
  REQUIRE(got(*strategy) == "ok");
  bot.clock->advance(2h);
  bot.store->fail_saves(make_error(ErrorCode::io, "test.disk_full", "the disk is full"));
  CHECK(got(*strategy) == "session_not_durable renewal.not_durable");
  bot.store->fail_saves(std::nullopt);
  bot.clock->advance(1s);
  CHECK(got(*strategy) == "ok");
  CHECK(bot.calls("refreshSession") == 1);
  CHECK(bot.calls("createSession") == 1);
}

TEST_CASE("AppPasswordStrategy: 50 callers cause one login", "[bot][concurrency]") {
  Bot bot;
  const auto strategy = bot.strategy();
  const auto answers = ask_together(50, [&] { return got(*strategy); });
  CHECK(answers == std::vector<std::string>(50, "ok"));
  CHECK(bot.calls("createSession") == 1);
}

TEST_CASE("AppPasswordStrategy: what can't be sent is said at once", "[bot]") {
  const auto made = [](std::string pds, std::string identifier, std::string_view password) {
    return outcome(AppPasswordStrategy::create({.pds = std::move(pds),
                                                .identifier = std::move(identifier),
                                                .password = SecretString(password),
                                                .transport = {}}));
  };
  CHECK(made("https://pds.test", "", "p") == "invalid_argument app_password.identifier");
  CHECK(made("https://pds.test", "a.test", "") == "invalid_argument app_password.password");
  CHECK(made("http://pds.test", "a.test", "p") == "insecure_address url.not_https");
}
