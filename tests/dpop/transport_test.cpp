// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.http;
import latchkey.test.openssl;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kAskJson = R"({"error":"use_dpop_nonce","error_description":"x"})";
constexpr std::string_view kChallenge = R"(DPoP algs="ES256", error="use_dpop_nonce")";

HttpResponse ask_as(std::string_view nonce) {
  return json_answer(400, kAskJson, {{"DPoP-Nonce", nonce}});
}
HttpResponse ask_pds(std::string_view nonce) {
  return answer(401, {{"WWW-Authenticate", kChallenge}, {"DPoP-Nonce", nonce}});
}

struct Setup {
  std::shared_ptr<ScriptedTransport> inner = std::make_shared<ScriptedTransport>();
  std::shared_ptr<P256DpopProver> prover =
      P256DpopProver::generate(std::make_shared<SystemRandom>()).value();
  std::shared_ptr<NonceCache> nonces = std::make_shared<NonceCache>();
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("1994-11-06T08:49:37.500Z").value());
  std::shared_ptr<ClockSkew> skew = std::make_shared<ClockSkew>();
  DpopTransport transport{DpopContext{inner, prover, nonces, clock, skew}};

  [[nodiscard]] Result<HttpResponse> get(std::string_view url = "https://pds.example/xrpc/x?q=1",
                                         SendOptions options = {}) {
    HttpRequest request = json_get(Url::parse(url).value());
    request.authorization = Authorization{Authorization::Scheme::dpop, SecretString("token")};
    return transport.send(request, options);
  }

  [[nodiscard]] Result<HttpResponse> post() {
    return transport.send(
        form_post(Url::parse("https://as.example/token").value(), SecretString("a=b")), {});
  }

  // The claims of the proof in the request of this number, after checks of what holds for each.
  [[nodiscard]] JsonObject claims(std::size_t index) const {
    const auto request = std::move(inner->requests().at(index));
    REQUIRE(request.headers.all("DPoP").size() == 1);
    const auto& proof = *request.headers.find("DPoP");
    CHECK(evp_verifies(proof, prover->public_jwk()));
    return JsonObject::parse(decode_jws(proof).payload, ErrorCode::corrupt, "claims").value();
  }

  [[nodiscard]] std::optional<std::string> nonce(std::size_t index) const {
    return claims(index).string("nonce").value();
  }
};

}  // namespace

TEST_CASE("C6.3, C6.4: DpopTransport: a resource request has ath, and htu without its query",
          "[transport]") {
  Setup s;
  s.inner->push(answer(200, {}, "body"));
  CHECK(s.get().value().body.expose() == "body");
  const auto claims = s.claims(0);
  CHECK(claims.required_string("htm").value() == "GET");
  CHECK(claims.required_string("htu").value() == "https://pds.example/xrpc/x");
  CHECK(claims.required_string("ath").value() == sha256_base64url("token"));
  CHECK(claims.integer("iat").value() == 784111777);
  CHECK(!claims.contains("nonce"));
  const auto sent = std::move(s.inner->requests().at(0));
  CHECK(sent.url.text() == "https://pds.example/xrpc/x?q=1");
  CHECK(sent.authorization->credentials.expose() == "token");
}

TEST_CASE("C6.4: DpopTransport: no ath without an Authorization of scheme dpop", "[transport]") {
  Setup s;
  s.inner->push(answer(200));
  s.inner->push(answer(200));
  REQUIRE(s.post());
  CHECK(!s.claims(0).contains("ath"));
  CHECK(s.claims(0).required_string("htm").value() == "POST");
  auto request = form_post(Url::parse("https://as.example/token").value(), SecretString("a=b"));
  request.authorization = Authorization{Authorization::Scheme::basic, SecretString("id:secret")};
  REQUIRE(s.transport.send(request, {}));
  CHECK(!s.claims(1).contains("ath"));
}

TEST_CASE(
    "C6.6, C6.7: DpopTransport: asked for a nonce in either form, it repeats once with a new proof",
    "[transport]") {
  Setup s;
  s.inner->push(GENERATE(0, 1) == 0 ? ask_as("n1") : ask_pds("n1"));
  s.inner->push(answer(200, {{"DPoP-Nonce", "n2"}}));
  CHECK(s.post().value().status == 200);
  REQUIRE(s.inner->count() == 2);
  CHECK(s.nonce(0) == std::nullopt);
  CHECK(s.nonce(1) == "n1");
  CHECK(s.claims(0).required_string("jti").value() != s.claims(1).required_string("jti").value());
  CHECK(s.inner->requests().at(1).body.expose() == "a=b");
  CHECK(s.nonces->find("https://as.example", s.prover->jkt()) == "n2");
}

TEST_CASE(
    "C6.6: DpopTransport: learns from successes and errors, so that the next request needs no "
    "retry",
    "[transport]") {
  Setup s;
  s.inner->push(answer(200, {{"DPoP-Nonce", "n1"}}));
  s.inner->push(answer(500, {{"DPoP-Nonce", "n2"}}));
  s.inner->push(answer(404, {{"DPoP-Nonce", "n3"}}));
  s.inner->push(answer(200));
  for (int i = 0; i < 4; ++i) REQUIRE(s.get());
  CHECK(s.nonce(0) == std::nullopt);
  CHECK(s.nonce(1) == "n1");
  CHECK(s.nonce(2) == "n2");
  CHECK(s.nonce(3) == "n3");
}

TEST_CASE("C6.14: DpopTransport: an old nonce is a hint, and its refusal costs one request",
          "[transport]") {
  for (const Duration age : {Duration{4min}, Duration{6min}, Duration{24h * 30}}) {
    Setup s;
    s.inner->push(answer(200, {{"DPoP-Nonce", "old"}}));
    s.inner->push(ask_pds("new"));
    s.inner->push(answer(200, {{"DPoP-Nonce", "newer"}}));
    s.inner->push(answer(200));
    REQUIRE(s.get());
    s.clock->advance(age);
    CHECK(s.get().value().status == 200);
    CHECK(s.nonce(1) == "old");
    CHECK(s.nonce(2) == "new");
    CHECK(s.get().value().status == 200);
    CHECK(s.nonce(3) == "newer");
    CHECK(s.inner->count() == 4);
  }
}

TEST_CASE("C6.14: DpopTransport: an old nonce that the server still takes costs nothing",
          "[transport]") {
  Setup s;
  s.inner->push(answer(200, {{"DPoP-Nonce", "old"}}));
  s.inner->push(answer(200));
  REQUIRE(s.get());
  s.clock->advance(1h);
  CHECK(s.get().value().status == 200);
  CHECK(s.nonce(1) == "old");
  CHECK(s.inner->count() == 2);
}

TEST_CASE("C6.5: DpopTransport: nonces of one origin are not sent to another", "[transport]") {
  Setup s;
  s.inner->push(answer(200, {{"DPoP-Nonce", "n1"}}));
  s.inner->push(answer(200));
  s.inner->push(answer(200));
  REQUIRE(s.get("https://pds.example/a"));
  REQUIRE(s.get("https://pds.example:8443/a"));
  REQUIRE(s.get("https://pds.example/b"));
  CHECK(s.nonce(1) == std::nullopt);
  CHECK(s.nonce(2) == "n1");
}

TEST_CASE("C6.5: DpopTransport: nonces of one key are not used with another", "[transport]") {
  Setup s;
  s.nonces->learn("https://pds.example", "another key", "n1");
  s.inner->push(answer(200));
  REQUIRE(s.get());
  CHECK(s.nonce(0) == std::nullopt);
}

TEST_CASE("C6.7: DpopTransport: a second use_dpop_nonce is an error, and there is no third attempt",
          "[transport]") {
  Setup s;
  s.inner->push(ask_pds("n1"));
  s.inner->push(ask_pds("n2"));
  const auto response = s.get();
  REQUIRE(!response);
  CHECK(response.error().code == ErrorCode::dpop_refused);
  CHECK(response.error().detail == "dpop.nonce_again");
  CHECK(response.error().http_status == 401);
  CHECK(response.error().message.find("https://pds.example") != std::string::npos);
  CHECK(s.inner->count() == 2);
  CHECK(s.nonces->find("https://pds.example", s.prover->jkt()) == "n2");
}

TEST_CASE("DpopTransport: no retry without a usable new nonce", "[transport]") {
  Setup s;
  SECTION("none at all") {
    s.inner->push(json_answer(400, kAskJson));
  }
  SECTION("a malformed one") {
    s.inner->push(ask_as("a b"));
  }
  SECTION("two") {
    s.inner->push(json_answer(400, kAskJson, {{"DPoP-Nonce", "a"}, {"DPoP-Nonce", "b"}}));
  }
  SECTION("the one just sent") {
    s.nonces->learn("https://as.example", s.prover->jkt(), "same");
    s.inner->push(ask_as("same"));
  }
  const auto response = s.post();
  REQUIRE(!response);
  CHECK(response.error().detail == "dpop.nonce_again");
  CHECK(response.error().delivery == Delivery::not_sent);
  CHECK(s.inner->count() == 1);
}

TEST_CASE("DpopTransport: other refusals come back as they are", "[transport]") {
  Setup s;
  SECTION("400") {
    s.inner->push(json_answer(400, R"({"error":"invalid_dpop_proof"})", {{"DPoP-Nonce", "n"}}));
  }
  SECTION("401") {
    s.inner->push(
        answer(401, {{"WWW-Authenticate", R"(DPoP error="invalid_token")"}, {"DPoP-Nonce", "n"}}));
  }
  SECTION("403") {
    s.inner->push(json_answer(403, kAskJson, {{"DPoP-Nonce", "n"}}));
  }
  CHECK(s.get().value().status >= 400);
  CHECK(s.inner->count() == 1);
}

TEST_CASE("DpopTransport: a request that has a proof already is refused unsent", "[transport]") {
  Setup s;
  auto request = json_get(Url::parse("https://pds.example/x").value());
  request.headers.add("dpop", "old proof").value();
  const auto response = s.transport.send(request, {});
  REQUIRE(!response);
  CHECK(response.error().code == ErrorCode::invalid_argument);
  CHECK(response.error().detail == "dpop.header_present");
  CHECK(s.inner->count() == 0);
}

TEST_CASE("DpopTransport: a method that a proof cannot name is refused unsent", "[transport]") {
  Setup s;
  HttpRequest request = json_get(Url::parse("https://pds.example/x").value());
  request.method = "get";
  CHECK(s.transport.send(request, {}).error().detail == "dpop.htm");
  CHECK(s.inner->count() == 0);
}

TEST_CASE("DpopTransport: errors of the network come back as they are, without a retry",
          "[transport]") {
  Setup s;
  auto lost = make_error(ErrorCode::connection_lost, "test.lost", "lost");
  lost.delivery = Delivery::maybe_sent;
  SECTION("at the first attempt") {
    s.inner->push(lost);
  }
  SECTION("at the second") {
    s.inner->push(ask_pds("n1"));
    s.inner->push(lost);
  }
  const auto response = s.get();
  REQUIRE(!response);
  CHECK(response.error().detail == "test.lost");
  CHECK(response.error().delivery == Delivery::maybe_sent);
}

TEST_CASE("DpopTransport: both attempts share the time", "[transport]") {
  Setup s;
  s.inner->push([&s](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    s.clock->advance(4s);
    return ask_pds("n1");
  });
  s.inner->push(answer(200));
  REQUIRE(s.get("https://pds.example/", {.timeout = 10s, .connect_timeout = 8s, .max_body = 7}));
  CHECK(s.inner->options().at(0).timeout == 10s);
  CHECK(s.inner->options().at(1).timeout == 6s);
  CHECK(s.inner->options().at(1).connect_timeout == 6s);
  CHECK(s.inner->options().at(1).max_body == 7);
}

TEST_CASE("DpopTransport: without time left there is no second attempt", "[transport]") {
  Setup s;
  s.inner->push([&s](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    s.clock->advance(10s);
    return ask_pds("n1");
  });
  const auto response = s.get("https://pds.example/", {.timeout = 10s});
  REQUIRE(!response);
  CHECK(response.error().code == ErrorCode::timeout);
  CHECK(response.error().detail == "dpop.timeout");
  CHECK(s.inner->count() == 1);
}

TEST_CASE("C6.10: DpopTransport: iat follows the server's clock, already in the retry",
          "[transport]") {
  Setup s;
  s.clock->advance(10min);
  s.inner->push(json_answer(400, kAskJson,
                            {{"DPoP-Nonce", "n1"}, {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}}));
  s.inner->push(answer(200));
  REQUIRE(s.post());
  CHECK(s.claims(0).integer("iat").value() == 784111777 + 600);
  CHECK(s.claims(1).integer("iat").value() == 784111777);
}

TEST_CASE("DpopTransport: the caller's request is not changed", "[transport]") {
  Setup s;
  s.inner->push(answer(200));
  const auto request = json_get(Url::parse("https://pds.example/x").value());
  REQUIRE(s.transport.send(request, {}));
  CHECK(request.headers.find("DPoP") == nullptr);
}

TEST_CASE("DpopTransport: threads that share it each get their own answer and proof",
          "[transport][concurrency]") {
  Setup s;
  s.inner = std::make_shared<ScriptedTransport>([](const HttpRequest& request, const SendOptions&) {
    const auto claims = JsonObject::parse(decode_jws(*request.headers.find("DPoP")).payload,
                                          ErrorCode::corrupt, "c");
    return claims.value().contains("nonce") ? answer(200, {}, request.url.path()) : ask_pds("n1");
  });
  DpopTransport transport(DpopContext{s.inner, s.prover, s.nonces, s.clock, s.skew});
  std::vector<int> good(8, 0);
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string path = "/" + std::to_string(t) + "/" + std::to_string(i);
        const auto response =
            transport.send(json_get(Url::parse("https://pds.example" + path).value()), {});
        good[t] += response && response->body.expose() == path ? 1 : 0;
      }
    });
  }
  threads.clear();
  CHECK(good == std::vector<int>(8, 20));
}

TEST_CASE("asks_for_nonce: both forms count for both statuses", "[transport]") {
  for (const int status : {400, 401}) {
    CHECK(asks_for_nonce(json_answer(status, kAskJson)));
    CHECK(asks_for_nonce(answer(status, {{"WWW-Authenticate", kChallenge}})));
    CHECK(asks_for_nonce(
        answer(status, {{"WWW-Authenticate", R"(Basic realm="x", dpop error=use_dpop_nonce)"}})));
  }
}

TEST_CASE("asks_for_nonce: other statuses do not ask", "[transport]") {
  for (const int status : {200, 302, 403, 429, 500}) {
    CHECK(!asks_for_nonce(json_answer(status, kAskJson, {{"WWW-Authenticate", kChallenge}})));
  }
}

TEST_CASE("asks_for_nonce: a body that only looks like it does not ask", "[transport]") {
  const char* body = GENERATE(
      "", "use_dpop_nonce", R"({"error":"invalid_grant","error_description":"use_dpop_nonce"})",
      R"({"error":["use_dpop_nonce"]})", R"({"error":{"error":"use_dpop_nonce"}})",
      R"({"error":"x","error":"use_dpop_nonce"})", R"({"error":"use_dpop_nonce"}x)",
      R"([{"error":"use_dpop_nonce"}])", R"({"error":"USE_DPOP_NONCE"})",
      R"({"Error":"use_dpop_nonce"})", R"({"error":"use_dpop_nonce")");
  CHECK(!asks_for_nonce(json_answer(400, body)));
}

TEST_CASE("asks_for_nonce: JSON counts only where the answer says that it is JSON", "[transport]") {
  CHECK(!asks_for_nonce(answer(400, {{"Content-Type", "text/html"}}, kAskJson)));
  CHECK(!asks_for_nonce(answer(400, {}, kAskJson)));
}

TEST_CASE("C6.13: asks_for_nonce: a challenge that only looks like it does not ask",
          "[transport]") {
  const char* value =
      GENERATE(R"(Bearer error="use_dpop_nonce")", R"(DPoP realm="error=use_dpop_nonce")",
               R"(DPoP error="use_dpop_nonce)", R"(DPoP error="invalid_token", x="use_dpop_nonce")",
               R"(DPoP error="a", Bearer error="use_dpop_nonce")",
               R"(DPoPX error="use_dpop_nonce")", R"(DPoP error_description="use_dpop_nonce")");
  CHECK(!asks_for_nonce(answer(401, {{"WWW-Authenticate", value}})));
}
