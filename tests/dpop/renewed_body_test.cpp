// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.dpop;
import latchkey.http;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

// Requests whose body is good for one attempt only.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

struct Setup {
  std::shared_ptr<ScriptedTransport> inner = std::make_shared<ScriptedTransport>();
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("1994-11-06T08:49:37.500Z").value());
  DpopTransport transport{
      DpopContext{inner, P256DpopProver::generate(std::make_shared<SystemRandom>()).value(),
                  std::make_shared<NonceCache>(), clock, std::make_shared<ClockSkew>()}};
  int made = 0;

  HttpRequest request() {
    HttpRequest post =
        form_post(Url::parse("https://as.example/token").value(), SecretString("a=1"));
    post.renew_body = [this]() -> Result<SecretString> {
      return SecretString("renewed=" + std::to_string(++made));
    };
    return post;
  }
  [[nodiscard]] std::string body(std::size_t index) const {
    return std::string(std::move(inner->requests().at(index)).body.expose());
  }
};

HttpResponse asks(std::string_view nonce) {
  return json_answer(400, R"({"error":"use_dpop_nonce"})", {{"DPoP-Nonce", nonce}});
}

}  // namespace

TEST_CASE("C8.4: a request that is repeated for a nonce has a new body", "[transport]") {
  Setup s;
  s.inner->push(asks("n1")).push(answer(200));
  REQUIRE(s.transport.send(s.request(), {}).value().status == 200);
  CHECK(s.body(0) == "a=1");
  CHECK(s.body(1) == "renewed=1");
  CHECK(s.made == 1);
}

TEST_CASE("renew_body: without it the same body is sent again", "[transport]") {
  Setup s;
  s.inner->push(asks("n1")).push(answer(200));
  auto request = s.request();
  request.renew_body = nullptr;
  REQUIRE(s.transport.send(request, {}).value().status == 200);
  CHECK(s.body(1) == "a=1");
}

TEST_CASE("renew_body: a body that can't be made again ends the request with its error",
          "[transport]") {
  Setup s;
  s.inner->push(asks("n1")).push(answer(200));
  auto request = s.request();
  request.renew_body = []() -> Result<SecretString> {
    return make_error(ErrorCode::invalid_client, "client.key_gone", "gone");
  };
  CHECK(outcome(s.transport.send(request, {})) == "invalid_client client.key_gone");
  CHECK(s.inner->count() == 1);
}

TEST_CASE("renew_body: an assertion refused by a clock that we did not know is made anew",
          "[transport]") {
  Setup s;
  s.clock->advance(10min);
  const std::string refusal = R"({"error":"invalid_client"})";
  SECTION("once") {
    s.inner->push(json_answer(401, refusal, {{"Date", kDate}})).push(answer(200));
    CHECK(s.transport.send(s.request(), {}).value().status == 200);
    CHECK(s.body(1) == "renewed=1");
  }
  SECTION("and no more than once") {
    s.inner->push(json_answer(400, refusal, {{"Date", kDate}}));
    s.inner->push(json_answer(400, refusal, {{"Date", kDate}}));
    CHECK(s.transport.send(s.request(), {}).value().status == 400);
    CHECK(s.inner->count() == 2);
  }
  SECTION("but not if the clocks agree") {
    s.clock->advance(-10min);
    s.inner->push(json_answer(400, refusal, {{"Date", kDate}}));
    CHECK(s.transport.send(s.request(), {}).value().status == 400);
    CHECK(s.inner->count() == 1);
  }
  SECTION("nor for a request whose body stays") {
    s.inner->push(json_answer(400, refusal, {{"Date", kDate}}));
    auto request = s.request();
    request.renew_body = nullptr;
    CHECK(s.transport.send(request, {}).value().status == 400);
    CHECK(s.inner->count() == 1);
  }
}
