// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.loopback.receiver;
import latchkey.test.login_wait;
import latchkey.test.raw_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// One that was free a moment ago.
std::uint16_t free_port() {
  return LoopbackReceiver::open().value()->port();
}

}  // namespace

TEST_CASE("port: LA-25: a required port that is free is taken, and free again afterwards",
          "[receiver]") {
  const auto port = free_port();
  for (int i = 0; i < 2; ++i) {
    const auto receiver = LoopbackReceiver::open({.port = port});
    REQUIRE(receiver);
    CHECK((*receiver)->port() == port);
    CHECK_FALSE((*receiver)->fell_back());
  }
}

TEST_CASE("port: LA-25, G-50: a required port that is busy is an error which names it",
          "[receiver]") {
  const auto first = LoopbackReceiver::open().value();
  const auto second = LoopbackReceiver::open({.port = first->port()});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::io);
  CHECK(second.error().detail == "loopback.bind");
  CHECK(holds(second.error().message, std::to_string(first->port())));
  CHECK(holds(second.error().message, "use another one, which the server must know"));
}

TEST_CASE("port: LA-25: a preferred port that is free is taken", "[receiver]") {
  const auto port = free_port();
  const auto receiver =
      LoopbackReceiver::open({.port = port, .port_policy = PortPolicy::preferred}).value();
  CHECK(receiver->port() == port);
  CHECK_FALSE(receiver->fell_back());
}

TEST_CASE("port: LA-25: where a preferred port is busy another one is taken, and it says so",
          "[receiver]") {
  const auto first = LoopbackReceiver::open().value();
  const auto second =
      LoopbackReceiver::open({.port = first->port(), .port_policy = PortPolicy::preferred}).value();
  CHECK(second->port() != first->port());
  CHECK(second->fell_back());
  CHECK(second->redirect_uri() ==
        "http://127.0.0.1:" + std::to_string(second->port()) + "/callback");
}

TEST_CASE("port: no port at all is any free one, whatever the policy", "[receiver]") {
  const auto policy = GENERATE(PortPolicy::required, PortPolicy::preferred);
  const auto receiver = LoopbackReceiver::open({.port_policy = policy}).value();
  CHECK(receiver->port() != 0);
  CHECK_FALSE(receiver->fell_back());
}

TEST_CASE("port: options that make no sense do not become another port", "[receiver]") {
  const auto receiver =
      LoopbackReceiver::open({.path = "none", .port = 1, .port_policy = PortPolicy::preferred});
  REQUIRE_FALSE(receiver);
  CHECK(receiver.error().detail == "loopback.options");
}

TEST_CASE("host: M012: [::1] is bound alone, and named in the redirect URI", "[receiver]") {
  if (!has_ipv6_loopback()) SKIP("this machine has no ::1");
  LoginWait login({.host = LoopbackHost::ipv6});
  CHECK(login.redirect_uri() == "http://[::1]:" + std::to_string(login.port()) + "/callback");
  CHECK_FALSE(RawClient(login.port(), "127.0.0.1").connected());
  auto browser = login.browser();
  login.result().value()->answer(200, "done");
  CHECK(body_of(browser.read_all()) == "done");
}

TEST_CASE("host: localhost is bound on both loopback addresses, and on no other", "[receiver]") {
  if (!has_ipv6_loopback()) SKIP("this machine has no ::1");
  LoginWait login({.host = LoopbackHost::localhost});
  CHECK(login.redirect_uri() == "http://localhost:" + std::to_string(login.port()) + "/callback");
  CHECK(RawClient(login.port(), "127.0.0.1").connected());
  CHECK_FALSE(RawClient(login.port(), "127.0.0.2").connected());
  const auto request = "GET /callback?code=c&state=" + std::string(kState) +
                       " HTTP/1.1\r\nHost: " + login.host() + "\r\n\r\n";
  RawClient browser(login.port(), "::1");
  browser.send(request);
  login.result().value()->answer(200, "done");
  CHECK(body_of(browser.read_all()) == "done");
}

TEST_CASE("host: localhost is refused where somebody else listens on [::1] at that port",
          "[receiver]") {
  if (!has_ipv6_loopback()) SKIP("this machine has no ::1");
  const auto other = LoopbackReceiver::open({.host = LoopbackHost::ipv6}).value();
  const auto receiver =
      LoopbackReceiver::open({.port = other->port(), .host = LoopbackHost::localhost});
  REQUIRE_FALSE(receiver);
  CHECK(receiver.error().detail == "loopback.bind");
}

TEST_CASE("host: a receiver named localhost refuses the address as Host, and the other way round",
          "[receiver]") {
  const auto [host, foreign] =
      GENERATE(table<LoopbackHost, std::string>({{LoopbackHost::localhost, "127.0.0.1"},
                                                 {LoopbackHost::localhost, "[::1]"},
                                                 {LoopbackHost::ipv4, "localhost"},
                                                 {LoopbackHost::ipv6, "localhost"},
                                                 {LoopbackHost::ipv6, "[0:0:0:0:0:0:0:1]"}}));
  if (host == LoopbackHost::ipv6 && !has_ipv6_loopback()) SKIP("this machine has no ::1");
  LoginWait login({.host = host});
  const auto answer = login.exchange("GET /callback?state=" + std::string(kState) +
                                     " HTTP/1.1\r\nHost: " + foreign + ':' +
                                     std::to_string(login.port()) + "\r\n\r\n");
  CHECK(status_of(answer) == 400);
  CHECK(login.is_waiting());
}
