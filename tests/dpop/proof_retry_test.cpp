// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.http;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

// A proof that is refused because our clock and the server's differ.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr long long kServerTime = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kServerDate = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view kRefused = R"({"error":"invalid_dpop_proof"})";

struct Setup {
  std::shared_ptr<ScriptedTransport> inner = std::make_shared<ScriptedTransport>();
  std::shared_ptr<NonceCache> nonces = std::make_shared<NonceCache>();
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("1994-11-06T08:49:37.500Z").value());
  std::shared_ptr<ClockSkew> skew = std::make_shared<ClockSkew>();
  DpopTransport transport{
      DpopContext{inner, P256DpopProver::generate(std::make_shared<SystemRandom>()).value(), nonces,
                  clock, skew}};

  [[nodiscard]] Result<HttpResponse> post(SendOptions options = {}) {
    return transport.send(
        form_post(Url::parse("https://as.example/token").value(), SecretString("a=b")), options);
  }
  [[nodiscard]] JsonObject claims(std::size_t index) const {
    const auto request = std::move(inner->requests().at(index));
    return JsonObject::parse(decode_jws(*request.headers.find("DPoP")).payload, ErrorCode::corrupt,
                             "claims")
        .value();
  }
  [[nodiscard]] long long iat(std::size_t index) const {
    return claims(index).integer("iat").value().value();
  }
  [[nodiscard]] std::string jti(std::size_t index) const {
    return claims(index).required_string("jti").value();
  }
};

HttpResponse refused(std::string_view date = kServerDate) {
  return json_answer(400, kRefused, {{"Date", date}});
}
HttpResponse refused_at_pds() {
  return answer(
      401, {{"WWW-Authenticate", R"(DPoP error="invalid_dpop_proof")"}, {"Date", kServerDate}});
}
HttpResponse ask(std::string_view nonce) {
  return json_answer(400, R"({"error":"use_dpop_nonce"})",
                     {{"DPoP-Nonce", nonce}, {"Date", kServerDate}});
}

}  // namespace

TEST_CASE("DpopTransport: a proof refused by a clock that we did not know is made anew, once",
          "[transport]") {
  const bool ahead = GENERATE(true, false);
  for (const auto& refusal : {refused, +[](std::string_view) { return refused_at_pds(); }}) {
    Setup s;
    s.clock->advance(ahead ? 10min : -10min);
    s.inner->push(refusal(kServerDate));
    s.inner->push(answer(200));
    CHECK(s.post().value().status == 200);
    CHECK(s.iat(0) == kServerTime + (ahead ? 600 : -600));
    CHECK(s.iat(1) == kServerTime);
    CHECK(s.jti(0) != s.jti(1));
  }
}

TEST_CASE("DpopTransport: a second refusal of the proof comes back, and there is no third attempt",
          "[transport]") {
  Setup s;
  s.clock->advance(10min);
  s.inner->push(refused());
  s.inner->push([&](const HttpRequest&, const SendOptions&) {
    s.clock->advance(10min);  // and the clocks differ again
    return Result<HttpResponse>(refused());
  });
  CHECK(s.post().value().status == 400);
  CHECK(s.inner->count() == 2);
}

TEST_CASE("DpopTransport: a refusal that teaches nothing about the clock is not repeated",
          "[transport]") {
  Setup s;
  SECTION("the clocks agree") {
    s.inner->push(refused());
  }
  SECTION("they differ by a second") {
    s.clock->advance(1s);
    s.inner->push(refused());
  }
  SECTION("the difference was known") {
    s.clock->advance(10min);
    s.inner->push(json_answer(200, "{}", {{"Date", kServerDate}}));
    REQUIRE(s.post());
    s.inner->push(refused());
  }
  SECTION("there is no date") {
    s.clock->advance(10min);
    s.inner->push(json_answer(400, kRefused));
  }
  SECTION("the date is absurd") {
    s.inner->push(refused("Mon, 06 Nov 1995 08:49:37 GMT"));
  }
  SECTION("it is refused for something else") {
    s.clock->advance(10min);
    s.inner->push(json_answer(400, R"({"error":"invalid_grant"})", {{"Date", kServerDate}}));
  }
  SECTION("the status is no refusal") {
    s.clock->advance(10min);
    s.inner->push(json_answer(500, kRefused, {{"Date", kServerDate}}));
  }
  const std::size_t before = s.inner->count();
  CHECK(s.post().value().status >= 400);
  CHECK(s.inner->count() == before + 1);
}

TEST_CASE("DpopTransport: clock and nonce are each repaired once, in either order", "[transport]") {
  Setup s;
  s.clock->advance(10min);
  SECTION("first the nonce, with the clock learnt on the way") {
    s.inner->push(ask("n1"));
    s.inner->push(answer(200));
    CHECK(s.post().value().status == 200);
    CHECK(s.iat(1) == kServerTime);
  }
  SECTION("first the clock") {
    s.inner->push(refused());
    s.inner->push(ask("n1"));
    s.inner->push(answer(200));
    CHECK(s.post().value().status == 200);
    CHECK(s.claims(2).string("nonce").value() == "n1");
    CHECK(s.iat(2) == kServerTime);
  }
  SECTION("and no more than that") {
    s.inner->push(refused());
    s.inner->push(ask("n1"));
    s.inner->push(ask("n2"));
    CHECK(outcome(s.post()) == "dpop_refused dpop.nonce_again");
    CHECK(s.inner->count() == 3);
  }
}

TEST_CASE("DpopTransport: the nonce that comes with a refused proof is in the next one",
          "[transport]") {
  Setup s;
  s.clock->advance(10min);
  s.inner->push(json_answer(400, kRefused, {{"DPoP-Nonce", "n1"}, {"Date", kServerDate}}));
  s.inner->push(answer(200));
  REQUIRE(s.post());
  CHECK(s.claims(1).string("nonce").value() == "n1");
}

TEST_CASE("DpopTransport: without time left a refused proof is not made anew", "[transport]") {
  Setup s;
  s.clock->advance(10min);
  s.inner->push([&](const HttpRequest&, const SendOptions&) {
    s.clock->advance(10s);
    return Result<HttpResponse>(refused());
  });
  CHECK(outcome(s.post({.timeout = 10s})) == "timeout dpop.timeout");
  CHECK(s.inner->count() == 1);
}

TEST_CASE("refuses_proof: both forms count, and nothing that only looks like them", "[transport]") {
  CHECK(refuses_proof(json_answer(400, kRefused)));
  CHECK(refuses_proof(json_answer(401, kRefused)));
  CHECK(refuses_proof(refused_at_pds()));
  CHECK_FALSE(refuses_proof(json_answer(403, kRefused)));
  CHECK_FALSE(refuses_proof(json_answer(200, kRefused)));
  CHECK_FALSE(refuses_proof(answer(400, {{"Content-Type", "text/plain"}}, kRefused)));
  CHECK_FALSE(refuses_proof(json_answer(400, R"({"error":"invalid_dpop_proofs"})")));
  CHECK_FALSE(refuses_proof(json_answer(400, R"(["invalid_dpop_proof"])")));
  CHECK_FALSE(
      refuses_proof(answer(401, {{"WWW-Authenticate", R"(Bearer error="invalid_dpop_proof")"}})));
}
