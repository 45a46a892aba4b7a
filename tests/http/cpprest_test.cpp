// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <thread>
#include <vector>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.test.adapters;
import latchkey.test.certificate;
import latchkey.test.raw_server;

// Kept connections: what cpprestsdk would do on its own with one that has died, and must not.

using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::test::Adapter;
using latchkey::test::Authority;
using latchkey::test::Kind;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::RawServerOptions;
using latchkey::test::request;
using latchkey::test::TemporaryFile;

namespace {

// The servers of this file, with and without TLS.
struct Setting {
  Authority authority;
  TemporaryFile ca{authority.certificate_pem()};
  bool tls = false;
  [[nodiscard]] RawServerOptions options() const {
    return tls ? RawServerOptions{.identity = authority.issue({"127.0.0.1"})} : RawServerOptions{};
  }
};

}  // namespace

TEST_CASE("cpprest: keeps a connection for pooled requests", "[http.cpprest]") {
  Setting setting;
  setting.tls = GENERATE(false, true);
  RawServer server(
      [](Peer& peer) {
        while (!peer.read_request().empty()) peer.write(ok_answer("x"));
      },
      setting.options());
  Adapter adapter(Kind::cpprest_pooled, setting.ca.path());
  for (int i = 0; i < 20; ++i) {
    const auto answer = i % 2 == 0 ? adapter.get(server.origin() + "/")
                                   : adapter.post(server.origin() + "/", "abc");
    REQUIRE(answer.has_value());
  }
  // cpprestsdk gives a connection back a moment after the answer: now and then a second one is
  // opened meanwhile.
  CHECK(server.connections() <= 3);
}

TEST_CASE("cpprest: uses a new connection for each fresh request", "[http.cpprest]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("x"));
  });
  Adapter adapter(Kind::cpprest_pooled);
  REQUIRE(adapter.get(server.origin() + "/").has_value());
  adapter.options.connection = latchkey::Connection::fresh;
  for (int i = 0; i < 3; ++i) REQUIRE(adapter.post(server.origin() + "/token", "a=b").has_value());
  CHECK(server.connections() == 4);
}

TEST_CASE("cpprest: a request on a kept connection that the server reads and closes is seen once",
          "[http.cpprest]") {
  Setting setting;
  setting.tls = GENERATE(false, true);
  const std::string method = GENERATE("GET", "POST", "DELETE");
  const bool reset = GENERATE(false, true);
  INFO(method << " tls " << setting.tls << " reset " << reset);
  std::atomic<int> fatal = 0;
  RawServer server(
      [&](Peer& peer) {
        for (;;) {
          const auto asked = peer.read_request();
          if (asked.empty()) return;
          if (asked.find("/warm") == std::string::npos) {
            ++fatal;
            if (reset) peer.reset();
            return;
          }
          peer.write(ok_answer("x"));
        }
      },
      setting.options());
  Adapter adapter(Kind::cpprest_pooled, setting.ca.path());
  for (int i = 0; i < 5; ++i) {
    REQUIRE(adapter.get(server.origin() + "/warm").has_value());
    const auto answer = adapter.send(
        request(method, server.origin() + "/xrpc/createRecord", method == "POST" ? "{}" : ""));
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == ErrorCode::connection_lost);
    CHECK(answer.error().delivery == Delivery::maybe_sent);
    CHECK((answer.error().detail == "http.dead_connection" ||
           answer.error().detail == "http.connection_lost"));
    CHECK(fatal == i + 1);
  }
  CHECK(server.requests().size() == 10);
}

TEST_CASE("cpprest: a kept connection that died under the request is told by its detail",
          "[http.cpprest]") {
  // Until the connection has been kept and used again, which the first attempts may miss by a
  // moment.
  std::string detail;
  for (int i = 0; i < 20 && detail != "http.dead_connection"; ++i) {
    RawServer server([](Peer& peer) {
      peer.read_request();
      peer.write(ok_answer("x"));
      peer.read_request();
    });
    Adapter adapter(Kind::cpprest_pooled);
    REQUIRE(adapter.get(server.origin() + "/").has_value());
    const auto second = adapter.get(server.origin() + "/");
    if (!second) detail = second.error().detail;
  }
  CHECK(detail == "http.dead_connection");
}

TEST_CASE(
    "cpprest: a kept connection that the server closed while idle is replaced before anything is "
    "sent",
    "[http.cpprest]") {
  Setting setting;
  setting.tls = GENERATE(false, true);
  RawServer server(
      [](Peer& peer) {
        peer.read_request();
        peer.write(ok_answer("x"));
      },
      setting.options());
  Adapter adapter(Kind::cpprest_pooled, setting.ca.path());
  for (int i = 0; i < 5; ++i) {
    CHECK(adapter.post(server.origin() + "/", "abc").has_value());
    REQUIRE(server.wait_until_idle());
  }
  CHECK(server.requests().size() == 5);
}

TEST_CASE("cpprest: bytes that nobody asked for are not taken for the next answer",
          "[http.cpprest]") {
  // Few, so that they are read with the answer, and more, so that they wait in the socket.
  const std::string filling(GENERATE(0U, 100'000U), ' ');
  RawServer server([&](Peer& peer) {
    while (!peer.read_request().empty()) {
      peer.write(ok_answer("real") + ok_answer("smuggled" + filling));
    }
  });
  Adapter adapter(Kind::cpprest_pooled);
  for (int i = 0; i < 5; ++i) {
    const auto answer = adapter.get(server.origin() + "/");
    REQUIRE(answer.has_value());
    CHECK(answer->body.expose() == "real");
  }
}

TEST_CASE("cpprest: many threads share a transport", "[http.cpprest][concurrency]") {
  RawServer server([](Peer& peer) {
    for (;;) {
      const auto asked = peer.read_request();
      if (asked.empty()) return;
      peer.write(ok_answer(asked.substr(asked.find('/'), asked.find(" HTTP") - asked.find('/'))));
    }
  });
  auto transport =
      latchkey::CpprestTransport::open({.http_rule = latchkey::HttpRule::allow_http_for_loopback})
          .value();
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        latchkey::SendOptions options;
        options.connection = latchkey::Connection::pooled;
        for (int i = 0; i < 10; ++i) {
          const auto path = "/" + std::to_string(t) + "-" + std::to_string(i);
          const auto answer = transport->send(request("GET", server.origin() + path), options);
          if (answer && answer->body.expose() == path) ++right;
        }
      });
    }
  }
  CHECK(right == 80);
  CHECK(server.requests().size() == 80);
}

TEST_CASE("cpprest: tells a certificate file that is missing", "[http.cpprest]") {
  const auto transport = latchkey::CpprestTransport::open({.extra_ca_file = "/nonexistent/ca.pem"});
  REQUIRE_FALSE(transport.has_value());
  CHECK(transport.error().code == ErrorCode::io);
  CHECK(transport.error().detail == "tls.ca_file");
}

TEST_CASE("cpprest: refuses http to others before anything is sent", "[http.cpprest]") {
  RawServer server([](Peer& peer) { peer.wait_for_close(); });
  const auto strict = latchkey::CpprestTransport::open({}).value();
  const auto answer = strict->send(request("GET", server.origin() + "/"), {});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::insecure_address);
  CHECK(server.connections() == 0);
}
