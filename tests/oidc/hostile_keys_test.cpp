// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;
import latchkey.test.jws_key;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.raw_server;

// Servers that mean harm, at the other end of a real connection.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<HttpTransport> local_transport() {
  return CurlTransport::open(
             {.address_rule = AddressRule::any, .http_rule = HttpRule::allow_http_for_loopback})
      .value();
}

std::string json_page(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + std::string(body);
}

std::string headed(std::string_view status, std::string_view headers) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: 0\r\nConnection: close\r\n" +
         std::string(headers) + "\r\n";
}

// A validator whose keys come from a server that plays this script.
struct Hostile {
  explicit Hostile(RawServer::Script script)
      : server(std::move(script)),
        validator(JwksIdTokenValidator::create({.transport = local_transport(),
                                                .clock = clock,
                                                .jwks_uri = server.origin() + "/jwks",
                                                .http_rule = HttpRule::allow_http_for_loopback})
                      .value()) {}

  std::string check(const std::string& token, const std::stop_token& stop = {}) {
    const auto result = validator->validate(SecretString(token), good_expectations(), stop);
    return result ? "" : outcome(result);
  }

  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  RawServer server;
  std::shared_ptr<IdTokenValidator> validator;
};

// Answers every request with this text.
RawServer::Script always(std::string text) {
  return [text = std::move(text)](Peer& peer) {
    if (!peer.read_request().empty()) peer.write(text);
  };
}

}  // namespace

TEST_CASE("hostile keys: ten megabytes are not read", "[oidc]") {
  Hostile world(always(json_page(R"({"keys":[],"x":")" + std::string(10'000'000, 'x') + "\"}")));
  CHECK(world.check(good_token()).starts_with("response_too_large"));
}

TEST_CASE("hostile keys: an answer that does not end is cut off", "[oidc]") {
  Hostile world([](Peer& peer) {
    if (peer.read_request().empty()) return;
    peer.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\":[");
    while (peer.write(std::string(65'536, ' '))) {
    }
  });
  CHECK(world.check(good_token()).starts_with("response_too_large"));
}

TEST_CASE("hostile keys: redirects are not followed", "[oidc]") {
  RawServer target(always(json_page(jwks_text({published()}))));
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect",
                             "308 Permanent Redirect"}) {
    INFO(status);
    Hostile world(always(headed(status, "Location: " + target.origin() + "/jwks\r\n")));
    CHECK(world.check(good_token()) == "invalid_metadata jwks.status");
  }
  CHECK(target.connections() == 0);
}

TEST_CASE("hostile keys: what is no key set lets nobody in", "[oidc]") {
  struct Case {
    std::string answer, outcome;
  };
  const std::string attackers = jwks_text({published("ES256", "k1")});
  for (const auto& [answer, wanted] : std::vector<Case>{
           {json_page("<html>"), "invalid_metadata jwks.not_json"},
           {json_page(""), "invalid_metadata jwks.not_json"},
           {json_page(R"({"keys":[)" + std::string(5'000, '[')), "invalid_metadata jwks.not_json"},
           {json_page(R"({"keys":[],"keys":)" + attackers + "}"),
            "invalid_metadata jwks.duplicate_member"},
           {json_page("{}"), "invalid_metadata jwks.missing_member"},
           {ok_answer(attackers), "invalid_metadata jwks.content_type"},
           {headed("500 Internal Server Error", ""), "invalid_metadata jwks.status"},
           {headed("204 No Content", ""), "invalid_metadata jwks.status"}}) {
    INFO(answer.substr(0, 200));
    Hostile world(always(answer));
    CHECK(world.check(good_token()) == wanted);
  }
}

TEST_CASE("hostile keys: a broken connection is its own error", "[oidc]") {
  Hostile world([](Peer& peer) {
    static_cast<void>(peer.read_request());
    peer.reset();
  });
  CHECK(world.check(good_token()).starts_with("connection_lost"));
}

TEST_CASE("hostile keys: a server that says nothing is left when asked to", "[oidc]") {
  Hostile world([](Peer& peer) {
    static_cast<void>(peer.read_request());
    peer.wait_for_close();
  });
  std::stop_source stop;
  std::string result;
  std::jthread asking([&] { result = world.check(good_token(), stop.get_token()); });
  REQUIRE(world.server.wait_for_requests(1));
  stop.request_stop();
  asking.join();
  CHECK(result.starts_with("cancelled"));
}

TEST_CASE("hostile keys: old keys are good while the server fails", "[oidc]") {
  std::atomic<bool> failing = false;
  const std::string good = json_page(jwks_text({published()}));
  Hostile world([&](Peer& peer) {
    if (peer.read_request().empty()) return;
    peer.write(failing ? headed("500 Internal Server Error", "") : good);
  });
  const auto fresh_token = [&] {
    return shared_key("RS256").sign(good_header(), good_claims(world.clock->now()));
  };
  CHECK(world.check(fresh_token()) == "");
  failing = true;
  for (int hour = 0; hour < 24; ++hour) {
    world.clock->advance(1h);
    CHECK(world.check(fresh_token()) == "");
  }
  world.clock->advance(1h);
  CHECK(world.check(fresh_token()) == "invalid_metadata jwks.status");
  failing = false;
  CHECK(world.check(fresh_token()) == "");
}

TEST_CASE("hostile keys: a flood of random names from many threads costs a request a minute",
          "[oidc][concurrency]") {
  Hostile world(always(json_page(jwks_text({published("EdDSA")}))));
  const JwsKey& key = shared_key("EdDSA");
  CHECK(world.check(key.sign(good_header("EdDSA"), good_claims())) == "");
  std::vector<std::string> tokens;
  for (int i = 0; i < 300; ++i) {
    tokens.push_back(key.sign(good_header("EdDSA", "random-" + std::to_string(i)), good_claims()));
  }
  std::atomic<std::size_t> next = 0, refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (auto at = next++; at < tokens.size(); at = next++) {
          refused += world.check(tokens[at]) == "token_invalid id_token.key_not_found";
          world.clock->advance(1s);
        }
      });
    }
  }
  CHECK(refused == tokens.size());
  // 300 seconds went by.
  CHECK(world.server.requests().size() <= 1 + 5 + 1);
}

TEST_CASE("hostile keys: they change under load, and good tokens stay good",
          "[oidc][concurrency]") {
  // Each fetch finds the newest two of these: one that signs, and the one before it.
  const std::vector<JwsKey> keys = [] {
    std::vector<JwsKey> made;
    for (int i = 0; i < 6; ++i) made.emplace_back("EdDSA");
    return made;
  }();
  const auto name = [](std::size_t number) { return "k" + std::to_string(number); };
  std::atomic<std::size_t> newest = 0;
  Hostile world([&](Peer& peer) {
    if (peer.read_request().empty()) return;
    std::vector<std::string> listed;
    for (std::size_t at = newest, count = 0; count < 2; ++count) {
      listed.push_back(keys[at].jwk({{"kid", quoted(name(at))}}));
      if (at-- == 0) break;
    }
    peer.write(json_page(jwks_text(listed)));
  });
  for (std::size_t turn = 0; turn < keys.size(); ++turn) {
    newest = turn;
    world.clock->advance(61s);
    const auto token =
        keys[turn].sign(good_header("EdDSA", name(turn)), good_claims(world.clock->now()));
    std::atomic<int> good = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
          for (int k = 0; k < 10; ++k) good += world.check(token) == "";
        });
      }
    }
    CHECK(good == 40);
  }
  CHECK(world.server.requests().size() <= keys.size());
}

TEST_CASE("hostile discovery: large, redirecting and lying servers are refused", "[oidc]") {
  const auto discovered = [](const RawServer& server) {
    const auto transport = local_transport();
    return outcome(discover_openid(*transport, server.origin(),
                                   {.http_rule = HttpRule::allow_http_for_loopback}));
  };
  RawServer target(always(json_page("{}")));
  RawServer large(always(json_page("{\"x\":\"" + std::string(10'000'000, 'x') + "\"}")));
  RawServer moved(always(headed("302 Found", "Location: " + target.origin() + "\r\n")));
  RawServer liar(always(json_page(R"({"issuer":"https://accounts.example.com"})")));
  CHECK(discovered(large).starts_with("response_too_large"));
  CHECK(discovered(moved) == "invalid_metadata metadata.status");
  CHECK(discovered(liar) == "invalid_metadata metadata.issuer_mismatch");
  CHECK(target.connections() == 0);
}
