// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

import latchkey.core.error;
import latchkey.http;
import latchkey.test.adapters;
import latchkey.test.raw_server;

// What both adapters say when there is no answer, and that they never try again on their own.

using namespace std::chrono_literals;
using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::HttpResponse;
using latchkey::Result;
using latchkey::test::Adapter;
using latchkey::test::Kind;
using latchkey::test::kKinds;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::SilentPort;
using latchkey::test::Stopwatch;

namespace {

// Sends a GET in a thread of its own and asks it to stop once `when` has happened.
template <class When>
Result<HttpResponse> cancelled_get(Adapter& adapter, const std::string& url, When when) {
  std::stop_source stop;
  adapter.options.stop = stop.get_token();
  std::optional<Result<HttpResponse>> answer;
  std::jthread sender([&] { answer = adapter.get(url); });
  when();
  stop.request_stop();
  sender.join();
  return std::move(*answer);
}

}  // namespace

TEST_CASE("transport: says unreachable and not sent when nobody listens", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  Adapter adapter(kind);
  const auto answer = adapter.post(
      "http://127.0.0.1:" + std::to_string(latchkey::test::closed_port()) + "/", "a=b");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::unreachable);
  CHECK(answer.error().detail == "http.connect");
  CHECK(answer.error().delivery == Delivery::not_sent);
}

TEST_CASE("transport: says unreachable and not sent when the name does not resolve", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  Adapter adapter(kind);
  adapter.options.timeout = 20s;
  const auto answer = adapter.get("https://no-such-host.invalid/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::unreachable);
  CHECK(answer.error().detail == "http.name");
  CHECK(answer.error().delivery == Delivery::not_sent);
}

TEST_CASE("transport: sends a POST once when the server reads it and closes", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool reset = GENERATE(false, true);
  INFO(latchkey::test::name_of(kind) << " reset " << reset);
  RawServer server([&](Peer& peer) {
    peer.read_request();
    if (reset) peer.reset();
  });
  Adapter adapter(kind);
  const auto answer = adapter.post(server.origin() + "/token", "grant_type=refresh_token");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::connection_lost);
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(answer.error().message.find("refresh_token") == std::string::npos);
  CHECK(server.requests().size() == 1);
  CHECK(server.connections() == 1);
}

TEST_CASE("transport: says connection lost when the answer breaks off", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const std::string part =
      GENERATE("HTTP/1.1 2", "HTTP/1.1 200 OK\r\nX: y\r\n",
               "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
  INFO(latchkey::test::name_of(kind) << " " << part);
  RawServer server([&](Peer& peer) {
    peer.read_request();
    peer.write(part);
  });
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK((answer.error().code == ErrorCode::connection_lost ||
         answer.error().code == ErrorCode::invalid_response));
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(server.requests().size() == 1);
}

TEST_CASE(
    "transport: refuses answers that are not HTTP, or that two readers would read differently",
    "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const std::string bytes = GENERATE(
      "SSH-2.0-OpenSSH_9.2\r\n\r\n", "\r\n\r\n\r\n\r\n", "HTTP/1.1\r\n\r\n",
      "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 99999999999 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
      "HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\nabcde",
      "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: a\x01z\r\nContent-Length: 0\r\n\r\n");
  INFO(latchkey::test::name_of(kind) << " " << bytes);
  RawServer server([&](Peer& peer) {
    peer.read_request();
    peer.write(bytes);
  });
  Adapter adapter(kind);
  adapter.options.timeout = 5s;
  const Stopwatch time;
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CAPTURE(answer.error().message);
  CHECK((answer.error().code == ErrorCode::invalid_response ||
         answer.error().code == ErrorCode::connection_lost ||
         answer.error().code == ErrorCode::response_too_large));
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(server.requests().size() == 1);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: never takes an interim answer for the answer", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer& peer) {
    for (int i = 0; !peer.read_request().empty(); ++i) {
      peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
                 ok_answer("answer " + std::to_string(i)));
    }
  });
  Adapter adapter(kind);
  for (int i = 0; i < 2; ++i) {
    const auto answer = adapter.get(server.origin() + "/");
    if (answer) {
      CHECK(answer->body.expose() == "answer 0");  // each request on a connection of its own
    } else {
      CHECK(answer.error().code == ErrorCode::invalid_response);
    }
  }
}

TEST_CASE("transport: an endless answer ends at the cap", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool chunked = GENERATE(false, true);
  INFO(latchkey::test::name_of(kind) << " chunked " << chunked);
  RawServer server([&](Peer& peer) {
    peer.read_request();
    peer.write(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       : "HTTP/1.1 200 OK\r\n\r\n");
    const std::string part =
        (chunked ? "400\r\n" : "") + std::string(0x400, 'x') + (chunked ? "\r\n" : "");
    while (peer.write(part)) continue;
  });
  Adapter adapter(kind);
  const Stopwatch time;
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::response_too_large);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: the time for the whole exchange ends an answer that drips", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const std::string start =
      GENERATE("", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  INFO(latchkey::test::name_of(kind) << " " << start);
  RawServer server([&](Peer& peer) {
    peer.read_request();
    peer.write(start);
    const bool chunked = start.find("chunked") != std::string::npos;
    const bool silent = start.empty();
    while (peer.pause(20ms) && (silent || peer.write(chunked ? "1\r\nx\r\n" : "x"))) continue;
  });
  Adapter adapter(kind);
  adapter.options.timeout = 300ms;
  const Stopwatch time;
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::timeout);
  CHECK(answer.error().detail == "http.timeout");
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(server.requests().size() == 1);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: the time to connect ends an attempt that hangs", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const SilentPort port;
  Adapter adapter(kind);
  adapter.options.connect_timeout = 200ms;
  const Stopwatch time;
  const auto answer = adapter.get("https://127.0.0.1:" + std::to_string(port.port()) + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::timeout);
  CHECK(answer.error().detail == "http.connect_timeout");
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: does not begin when it was asked to stop before", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer& peer) { peer.wait_for_close(); });
  Adapter adapter(kind);
  std::stop_source stop;
  stop.request_stop();
  adapter.options.stop = stop.get_token();
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::cancelled);
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(server.connections() == 0);
}

TEST_CASE("transport: a stop request ends the wait for the connection", "[http][concurrency]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const SilentPort port;
  Adapter adapter(kind);
  const Stopwatch time;
  const auto answer =
      cancelled_get(adapter, "https://127.0.0.1:" + std::to_string(port.port()) + "/", [] {});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::cancelled);
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: a stop request ends the TLS handshake", "[http][concurrency]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer&) {}, {.shake_hands = false});
  Adapter adapter(kind);
  const Stopwatch time;
  const auto answer =
      cancelled_get(adapter, "https://127.0.0.1:" + std::to_string(server.port()) + "/",
                    [&] { CHECK(server.wait_for_connections(1)); });
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::cancelled);
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: a stop request ends the wait for the answer", "[http][concurrency]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer& peer) {
    peer.read_request();
    peer.wait_for_close();
  });
  Adapter adapter(kind);
  const Stopwatch time;
  const auto answer =
      cancelled_get(adapter, server.origin() + "/", [&] { CHECK(server.wait_for_requests(1)); });
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::cancelled);
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(server.requests().size() == 1);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: a stop request ends an answer that has begun", "[http][concurrency]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  std::atomic<bool> begun = false;
  RawServer server([&](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
    begun = true;
    begun.notify_all();
    peer.wait_for_close();
  });
  Adapter adapter(kind);
  const Stopwatch time;
  const auto answer = cancelled_get(adapter, server.origin() + "/", [&] { begun.wait(false); });
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::cancelled);
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(time.is_prompt());
}
