// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.test.login_wait;
import latchkey.test.raw_client;

using namespace latchkey;
using namespace latchkey::test;
using std::chrono::milliseconds;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("receiver: C11.1: it listens on 127.0.0.1 only, and says so in the redirect URI",
          "[receiver]") {
  const auto receiver = LoopbackReceiver::open().value();
  CHECK(receiver->port() != 0);
  CHECK(receiver->redirect_uri() ==
        "http://127.0.0.1:" + std::to_string(receiver->port()) + "/callback");
  CHECK(RawClient(receiver->port()).connected());
  // Another address of this machine: a listener on the wildcard address would take it.
  CHECK_FALSE(RawClient(receiver->port(), "127.0.0.2").connected());
}

TEST_CASE("receiver: options that make no sense are refused", "[receiver]") {
  const auto options = GENERATE(ReceiverOptions{.path = ""}, ReceiverOptions{.path = "callback"},
                                ReceiverOptions{.path = "/a?b"}, ReceiverOptions{.path = "/a#b"},
                                ReceiverOptions{.path = "/a b"}, ReceiverOptions{.path = "/a\r\nb"},
                                ReceiverOptions{.path = "/\xC3\xA4"},
                                ReceiverOptions{.path = "/a", .max_connections = 0});
  const auto receiver = LoopbackReceiver::open(options);
  REQUIRE_FALSE(receiver);
  CHECK(receiver.error().detail == "loopback.options");
}

TEST_CASE("receiver: the callback's query comes as it was sent", "[receiver]") {
  LoginWait login;
  auto browser = login.browser("&code=a%2Bb+c&iss=https%3A%2F%2Fas.example&empty=");
  const auto held = login.result();
  REQUIRE(held);
  CHECK((*held)->query() ==
        "state=" + std::string(kState) + "&code=a%2Bb+c&iss=https%3A%2F%2Fas.example&empty=");
}

TEST_CASE("receiver: US-71: the page is held until the login is decided", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  auto held = login.result();
  REQUIRE(held);
  CHECK_FALSE(browser.has_news());
  (*held)->answer(400, failure_page("the server refused the code", "demo"));
  const auto answer = browser.read_all();
  CHECK(status_of(answer) == 400);
  CHECK(holds(answer, "the server refused the code"));
}

TEST_CASE("receiver: C11.4: every answer carries the protecting headers", "[receiver]") {
  LoginWait login;
  const auto check = [](const std::string& answer) {
    INFO(answer);
    CHECK(holds(answer, "Content-Type: text/html; charset=utf-8\r\n"));
    CHECK(holds(answer, "Cache-Control: no-store\r\n"));
    CHECK(holds(answer, "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'"));
    CHECK(holds(answer, "Referrer-Policy: no-referrer\r\n"));
    CHECK(holds(answer, "X-Content-Type-Options: nosniff\r\n"));
    CHECK(holds(answer, "X-Frame-Options: DENY\r\n"));
    CHECK(holds(answer, "Connection: close\r\n"));
    CHECK(holds(answer, "Content-Length: "));
  };
  check(login.exchange(login.get("/favicon.ico")));
  check(login.exchange(login.get("/callback?state=other")));
  check(login.exchange("nonsense\r\n\r\n"));
  auto browser = login.browser();
  login.result().value()->answer(200, success_page("alice.example.com", "demo"));
  check(browser.read_all());
}

TEST_CASE("receiver: a large page arrives whole", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  const std::string page(300'000, 'x');
  auto held = login.result().value();
  // It does not fit into the socket's buffers: the client must read meanwhile.
  std::string answer;
  {
    const auto reader = std::async(std::launch::async, [&] { answer = browser.read_all(); });
    held->answer(200, page);
  }
  CHECK(body_of(answer) == page);
}

TEST_CASE("receiver: only the first answer counts", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  auto held = login.result().value();
  held->answer(200, "first");
  held->answer(400, "second");
  held.reset();
  const auto answer = browser.read_all();
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "first");
}

TEST_CASE("receiver: a callback that nobody answers gets a neutral page", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  login.result().value().reset();
  CHECK(body_of(browser.read_all()) == stray_page());
}

TEST_CASE("receiver: a held callback outlives its receiver", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  auto held = login.result().value();
  login.destroy_receiver();
  CHECK_FALSE(browser.has_news());
  held->answer(200, "still here");
  CHECK(body_of(browser.read_all()) == "still here");
}

TEST_CASE("receiver: a browser that has gone away does not matter", "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  auto held = login.result().value();
  browser.abort();
  held->answer(200, std::string(300'000, 'x'));
  CHECK(holds(held->query(), "code=c"));
}

TEST_CASE("receiver: what the client sends behind its request does not spoil the page",
          "[receiver]") {
  LoginWait login;
  auto browser = login.browser();
  browser.send(std::string(50'000, 'x'));
  login.result().value()->answer(200, "page");
  CHECK(body_of(browser.read_all()) == "page");
}

TEST_CASE("receiver: a callback that comes before wait() is kept for it", "[receiver]") {
  const auto receiver = LoopbackReceiver::open().value();
  const auto host = "127.0.0.1:" + std::to_string(receiver->port());
  RawClient browser(receiver->port());
  browser.send("GET /callback?state=early&code=c HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  // The answer to a second request shows that the first has been read.
  CHECK(status_of(RawClient(receiver->port())
                      .send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
                      .read_all()) == 404);
  auto held = receiver->wait("early", std::chrono::seconds{10}, {}, {});
  REQUIRE(held);
  (*held)->answer(200, "done");
  CHECK(body_of(browser.read_all()) == "done");
}

TEST_CASE("receiver: a callback for which nobody waits is given up after the read timeout",
          "[receiver]") {
  const auto receiver = LoopbackReceiver::open({.read_timeout = milliseconds{30}}).value();
  RawClient browser(receiver->port());
  browser.send("GET /callback?state=early HTTP/1.1\r\nHost: 127.0.0.1:" +
               std::to_string(receiver->port()) + "\r\n\r\n");
  CHECK(body_of(browser.read_all()) == stray_page());
}

TEST_CASE("receiver: C11.2: the first callback is taken, later ones get a neutral page",
          "[receiver]") {
  // So long that a second callback which was kept would time the client out.
  LoginWait login({.read_timeout = std::chrono::seconds{60}});
  auto first = login.browser("&code=first");
  auto held = login.result().value();
  auto second = login.browser("&code=second");
  const auto answer = second.read_all();
  CHECK(status_of(answer) == 400);
  CHECK(body_of(answer) == stray_page());
  CHECK(login.strays() == 0);
  CHECK(holds(held->query(), "code=first"));
  held->answer(200, "page");
  CHECK(body_of(first.read_all()) == "page");
}

TEST_CASE("receiver: one receiver serves one login after another", "[receiver]") {
  const auto receiver = LoopbackReceiver::open().value();
  const auto get = [&](const std::string& state) {
    return "GET /callback?state=" + state +
           " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(receiver->port()) + "\r\n\r\n";
  };
  for (const std::string state : {"one", "two"}) {
    std::atomic<unsigned> strays = 0;
    auto waiting = std::async(std::launch::async, [&] {
      return receiver->wait(state, std::chrono::seconds{10}, {}, [&] { ++strays; });
    });
    // Until a stray is reported, the next wait may not have begun.
    while (strays == 0) (void)RawClient(receiver->port()).send(get("stray")).read_all();
    RawClient browser(receiver->port());
    browser.send(get(state));
    const auto held = waiting.get();
    REQUIRE(held);
    CHECK((*held)->query() == "state=" + state);
  }
}

TEST_CASE("receiver: C11.3: waiting ends with the time", "[receiver]") {
  LoginWait login({}, milliseconds{20});
  const auto held = login.result();
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::timeout);
  CHECK(held.error().detail == "loopback.timeout");
}

TEST_CASE("receiver: waiting for no time at all is a timeout", "[receiver]") {
  const auto time = GENERATE(milliseconds{0}, milliseconds{-1}, milliseconds::min());
  LoginWait login({}, time);
  const auto held = login.result();
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::timeout);
}

TEST_CASE("receiver: waiting ends when the caller says so", "[receiver][concurrency]") {
  LoginWait login({}, std::chrono::hours{24 * 365 * 200});
  CHECK(status_of(login.exchange(login.get("/"))) == 404);
  CHECK(login.is_waiting());
  login.stop();
  const auto held = login.result();
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::cancelled);
}

TEST_CASE("receiver: a stop that came before waits for nothing", "[receiver]") {
  const auto receiver = LoopbackReceiver::open().value();
  std::stop_source source;
  source.request_stop();
  const auto held = receiver->wait("s", std::chrono::hours{1}, source.get_token(), {});
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::cancelled);
}

TEST_CASE("receiver: destroying it closes what was open", "[receiver]") {
  auto receiver = LoopbackReceiver::open().value();
  RawClient half_open(receiver->port());
  half_open.send("GET /callback?sta");
  RawClient idle(receiver->port());
  receiver.reset();
  for (auto* client : {&half_open, &idle}) {
    const auto ending = client->read_all();
    CHECK((ending.empty() || ending == "(reset)"));
  }
}
