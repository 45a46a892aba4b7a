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
import latchkey.flows.key_exchange;
import latchkey.http;
import latchkey.oauth.client_secret;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.access_key;
import latchkey.strategy.token_store;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;
import latchkey.test.strategy_rig;

// Access keys and client credentials: a program's own tokens.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string parsed(std::string_view text, std::string_view prefix = "LKAK_") {
  const auto key = AccessKey::parse(SecretString(text), prefix);
  return key ? key->id + " " + std::string(key->secret.expose()) : outcome(key);
}

HttpResponse token_answer(std::string_view token, std::string_view more = "") {
  return json_answer(200, R"({"access_token":")" + std::string(token) +
                              R"(","token_type":"Bearer","expires_in":3600)" + std::string(more) +
                              "}");
}

constexpr std::string_view kEndpoint = "https://keys.test/exchange";

struct Rig {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kRigNow);
  std::shared_ptr<ScriptedTransport> transport = std::make_shared<ScriptedTransport>();
  std::shared_ptr<ScriptedTokenStore> store = std::make_shared<ScriptedTokenStore>();

  ObtainingOptions obtaining() { return {.transport = transport, .store = store, .clock = clock}; }
  std::shared_ptr<AccessKeyStrategy> exchanging(std::string_view key = "LKAK_id.s3cret") {
    return AccessKeyStrategy::with_key_exchange(
        {.endpoint = std::string(kEndpoint), .key = SecretString(key)}, obtaining());
  }
  std::shared_ptr<AccessKeyStrategy> client(const std::string& id = "bot") {
    return AccessKeyStrategy::with_client_credentials(
        id, {.token_endpoint = "https://as.test/token", .issuer = {}, .scope = "read"},
        client_secret_basic(id, SecretString("pa:ss")), obtaining());
  }
};

std::string token_of(AuthStrategy& strategy, const TokenOptions& options = {}) {
  const auto token = strategy.get_token(options);
  return token ? std::string(token->access_token.expose()) : outcome(token);
}

KeyExchange exchange(std::string_view key = "k") {
  return {.endpoint = std::string(kEndpoint), .key = SecretString(key)};
}

}  // namespace

TEST_CASE("SA-53: an access key is prefix, id, dot and secret", "[access_key]") {
  CHECK(parsed("LKAK_id.secret") == "id secret");
  CHECK(parsed("id.se.cr.et", "") == "id se.cr.et");
}

TEST_CASE("SA-53: each way to break an access key is its own error", "[access_key]") {
  CHECK(parsed("id.secret") == "invalid_argument access_key.missing_prefix");
  CHECK(parsed("") == "invalid_argument access_key.missing_prefix");
  CHECK(parsed("lkak_id.secret") == "invalid_argument access_key.missing_prefix");
  CHECK(parsed("LKAK_idsecret") == "invalid_argument access_key.missing_dot");
  CHECK(parsed("LKAK_") == "invalid_argument access_key.missing_dot");
  CHECK(parsed("LKAK_.secret") == "invalid_argument access_key.empty_key_id");
  CHECK(parsed("LKAK_.") == "invalid_argument access_key.empty_key_id");
  CHECK(parsed("LKAK_id.") == "invalid_argument access_key.empty_secret");
  CHECK(parsed("LKAK_id.secret\n") == "invalid_argument access_key.characters");
  CHECK(parsed("LKAK_i d.secret") == "invalid_argument access_key.characters");
}

TEST_CASE("SA-53: no error shows the key", "[access_key]") {
  for (const std::string_view text :
       {"marker.secret", "LKAK_marker", "LKAK_.marker", "LKAK_marker.", "LKAK_id.marker\n"}) {
    const auto key = AccessKey::parse(SecretString(text), "LKAK_");
    REQUIRE_FALSE(key);
    CHECK(key.error().message.find("marker") == std::string::npos);
  }
}

TEST_CASE("key exchange: the request is a JSON or form POST of the key and the parameters",
          "[access_key]") {
  KeyExchange asked = exchange("a\"b");
  asked.parameters = {{"region", "x y\n"}};
  auto request = build_key_exchange_request(asked);
  REQUIRE(request);
  CHECK(request->method == "POST");
  CHECK(*request->headers.find("Content-Type") == "application/json");
  CHECK(request->body.expose() == R"({"access_key":"a\"b","region":"x y\u000a"})");
  CHECK_FALSE(request->authorization);

  asked.body = KeyExchange::Body::form;
  asked.member = "apiKey";
  request = build_key_exchange_request(asked);
  REQUIRE(request);
  CHECK(*request->headers.find("Content-Type") == "application/x-www-form-urlencoded");
  CHECK(request->body.expose() == "apiKey=a%22b&region=x+y%0A");
}

TEST_CASE("key exchange: what must not be sent is refused", "[access_key]") {
  const auto refused = [](auto change) {
    KeyExchange asked = exchange();
    change(asked);
    return outcome(build_key_exchange_request(asked));
  };
  CHECK(refused([](auto& e) { e.key = SecretString(""); }) == "invalid_argument key_exchange.key");
  CHECK(refused([](auto& e) { e.key = SecretString("a b"); }) ==
        "invalid_argument key_exchange.key");
  CHECK(refused([](auto& e) { e.member = ""; }) == "invalid_argument key_exchange.member");
  CHECK(refused([](auto& e) { e.member = "a\"b"; }) == "invalid_argument key_exchange.member");
  CHECK(refused([](auto& e) { e.parameters = {{"access_key", "x"}}; }) ==
        "invalid_argument key_exchange.member");
  CHECK(refused([](auto& e) { e.parameters = {{"x", "\xff"}}; }) ==
        "invalid_argument key_exchange.member");
  CHECK(refused([](auto& e) { e.endpoint = "http://keys.test/"; }) ==
        "insecure_address url.not_https");
  CHECK(refused([](auto& e) { e.endpoint = ""; }) == "invalid_argument key_exchange.no_endpoint");
}

TEST_CASE("AccessKeyStrategy: a key is exchanged once, and the token kept until it is due",
          "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1")).push(token_answer("at-2"));
  const auto strategy = rig.exchanging();
  const auto token = strategy->get_token();
  REQUIRE(token);
  CHECK(token->access_token.expose() == "at-1");
  CHECK(token->token_type == "Bearer");
  CHECK(token->expires_at == kRigNow + 1h);
  CHECK(token_of(*strategy) == "at-1");
  rig.clock->advance(1h);
  CHECK(token_of(*strategy) == "at-2");
  CHECK(rig.transport->count() == 2);
}

TEST_CASE("SA-54: a token is kept in the store, and used by the next run", "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1"));
  CHECK(token_of(*rig.exchanging()) == "at-1");
  CHECK(token_of(*rig.exchanging()) == "at-1");
  CHECK(rig.transport->count() == 1);
}

TEST_CASE("AccessKeyStrategy: a stored token of another key or client is not used",
          "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1")).push(token_answer("at-2")).push(token_answer("at-3"));
  CHECK(token_of(*rig.exchanging("one")) == "at-1");
  CHECK(token_of(*rig.exchanging("two")) == "at-2");
  CHECK(token_of(*rig.client()) == "at-3");
  CHECK(token_of(*rig.client()) == "at-3");
  CHECK(rig.store->stored() == "at-3");
}

TEST_CASE("AccessKeyStrategy: a refused token is replaced", "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1")).push(token_answer("at-2"));
  const auto strategy = rig.exchanging();
  const auto token = strategy->get_token();
  REQUIRE(token);
  CHECK(token_of(*strategy, {.rejected = token->fingerprint}) == "at-2");
}

TEST_CASE("SA-19: an expiry that is a moment and not a duration is refused", "[access_key]") {
  Rig rig;
  rig.transport->push(
      json_answer(200, R"({"access_token":"at-1","token_type":"Bearer","expires_in":1790003600})"));
  CHECK(token_of(*rig.exchanging()) == "invalid_response key_exchange.expires_in");
  CHECK(rig.store->stored().empty());
}

TEST_CASE("AccessKeyStrategy: each bad answer is its own error", "[access_key]") {
  const auto after = [](HttpResponse answer) {
    Rig rig;
    rig.transport->push(std::move(answer));
    return token_of(*rig.exchanging());
  };
  CHECK(after(json_answer(200, "{}")) == "invalid_response key_exchange.missing_member");
  CHECK(after(json_answer(200, "at-1")) == "invalid_response key_exchange.not_json");
  CHECK(after(json_answer(200, R"({"access_token":"a","token_type":"DPoP"})")) ==
        "token_invalid token.type");
  CHECK(after(json_answer(401, R"({"error":"invalid_client"})")) ==
        "invalid_client key_exchange.invalid_client");
  CHECK(after(json_answer(429, "{}")) == "rate_limited key_exchange.rate_limited");
  CHECK(after(json_answer(302, "{}", {{"Location", "https://evil.test/"}})) ==
        "invalid_response key_exchange.status");
}

TEST_CASE("AccessKeyStrategy: a refresh token that comes with it is not kept", "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1", R"(,"refresh_token":"rt")"));
  CHECK(token_of(*rig.exchanging()) == "at-1");
  CHECK_FALSE(rig.store->load().value()->refresh_token);
}

TEST_CASE("AccessKeyStrategy: client credentials authenticate at the token endpoint",
          "[access_key]") {
  Rig rig;
  rig.transport->push(token_answer("at-1"));
  CHECK(token_of(*rig.client()) == "at-1");
  const auto requests = rig.transport->requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].url.text() == "https://as.test/token");
  REQUIRE(requests[0].authorization);
  CHECK(requests[0].authorization->scheme == Authorization::Scheme::basic);
  CHECK(requests[0].body.expose().find("grant_type=client_credentials") != std::string_view::npos);
  CHECK(requests[0].body.expose().find("ss") == std::string_view::npos);
}

TEST_CASE("AccessKeyStrategy: 50 callers cause one exchange", "[access_key][concurrency]") {
  Rig rig;
  rig.transport->push(token_answer("at-1"));
  rig.transport->hold();
  const auto strategy = rig.exchanging();
  const auto answers = ask_together(
      50, [&] { return token_of(*strategy); },
      [&] {
        rig.transport->wait_for(1);
        rig.transport->release();
      });
  CHECK(std::all_of(answers.begin(), answers.end(), [](const auto& a) { return a == "at-1"; }));
  CHECK(rig.transport->count() == 1);
}
