// SPDX-License-Identifier: MIT
#include <openssl/ssl.h>
#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

import latchkey.core.error;
import latchkey.http;
import latchkey.http.policy;
import latchkey.test.adapters;
import latchkey.test.certificate;
import latchkey.test.raw_server;

// Whom both adapters trust. The servers stand on 127.0.0.1, where "localhost" leads too.

using namespace std::chrono_literals;
using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::test::Adapter;
using latchkey::test::Authority;
using latchkey::test::Kind;
using latchkey::test::kKinds;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::Stopwatch;
using latchkey::test::TemporaryFile;

namespace {

void answer_all(Peer& peer) {
  while (!peer.read_request().empty()) peer.write(ok_answer("safe"));
}

void check_refused(const latchkey::Result<latchkey::HttpResponse>& answer,
                   const RawServer& server) {
  REQUIRE_FALSE(answer.has_value());
  CAPTURE(answer.error().message);
  CHECK(answer.error().code == ErrorCode::tls_failed);
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(server.requests().empty());
}

}  // namespace

TEST_CASE("tls: a name is checked and sent as SNI without the port", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind, ca.path());
  const auto answer = adapter.post(server.origin("localhost") + "/", "a=b");
  REQUIRE(answer.has_value());
  CHECK(answer->body.expose() == "safe");
  CHECK(server.server_names() == std::vector<std::string>{"localhost"});
  const auto host = "localhost:" + std::to_string(server.port()) + "\r\n";
  CHECK((server.requests().at(0).find("Host: " + host) != std::string::npos ||
         server.requests().at(0).find("Host:" + host) != std::string::npos));
}

TEST_CASE("tls: an IP literal is checked as an address and sends no SNI", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({"127.0.0.1"})});
  Adapter adapter(kind, ca.path());
  REQUIRE(adapter.get(server.origin() + "/").has_value());
  CHECK(server.server_names() == std::vector<std::string>{""});
}

TEST_CASE("tls: an IPv6 literal is checked as an address", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({"::1"}), .ipv6 = true});
  Adapter adapter(kind, ca.path());
  CHECK(adapter.get(server.origin("[::1]") + "/").has_value());
}

TEST_CASE("tls: a certificate for another name is refused", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const auto [host, names] = GENERATE(table<std::string, std::vector<std::string>>({
      {"localhost", {"example.com"}},
      {"localhost", {"127.0.0.1"}},
      {"localhost", {"localhost.example.com"}},
      {"localhost", {"*"}},
      {"127.0.0.1", {"localhost"}},
      {"127.0.0.1", {"127.0.0.2"}},
  }));
  INFO(latchkey::test::name_of(kind) << " " << host << " " << names[0]);
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue(names)});
  Adapter adapter(kind, ca.path());
  check_refused(adapter.get(server.origin(host) + "/"), server);
}

TEST_CASE("tls: a certificate of an unknown authority is refused", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool other = GENERATE(false, true);
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(Authority().certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind, other ? ca.path() : "");
  check_refused(adapter.get(server.origin("localhost") + "/"), server);
}

TEST_CASE("tls: the machine's own trust store counts, wherever OpenSSL is told to find it",
          "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind);
  ::setenv("SSL_CERT_FILE", ca.path().c_str(), 1);
  const auto answer = adapter.get(server.origin("localhost") + "/");
  ::setenv("SSL_CERT_FILE", "/dev/null", 1);
  CHECK(answer.has_value());
}

TEST_CASE("tls: an expired certificate is refused", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue_expired({"localhost"})});
  Adapter adapter(kind, ca.path());
  check_refused(adapter.get(server.origin("localhost") + "/"), server);
}

TEST_CASE("tls: nothing older than 1.2 is spoken", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const auto [version, fine] = GENERATE(
      table<int, bool>({{TLS1_VERSION, false}, {TLS1_1_VERSION, false}, {TLS1_2_VERSION, true}}));
  INFO(latchkey::test::name_of(kind) << " " << version);
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all,
                   {.identity = authority.issue({"localhost"}), .highest_tls = version});
  Adapter adapter(kind, ca.path());
  const auto answer = adapter.get(server.origin("localhost") + "/");
  if (fine) {
    CHECK(answer.has_value());
  } else {
    check_refused(answer, server);
  }
}

TEST_CASE("tls: a server without TLS is refused", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer& peer) {
    peer.write(ok_answer("plain"));
    peer.wait_for_close();
  });
  Adapter adapter(kind);
  check_refused(adapter.get("https://127.0.0.1:" + std::to_string(server.port()) + "/"), server);
}

TEST_CASE("tls: a POST that is read and not answered is sent once", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server([](Peer& peer) { peer.read_request(); },
                   {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind, ca.path());
  const auto answer = adapter.post(server.origin("localhost") + "/", "a=b");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::connection_lost);
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(server.requests().size() == 1);
}

TEST_CASE("tls: headers without end are stopped by the byte budget", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool one_line = GENERATE(false, true);
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(
      [&](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 200 OK\r\nX-Long: ");
        const std::string part = std::string(1000, 'x') + (one_line ? "" : "\r\nX-More: ");
        while (peer.write(part)) continue;
      },
      {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind, ca.path());
  const Stopwatch time;
  const auto answer = adapter.get(server.origin("localhost") + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::response_too_large);
  CHECK(time.is_prompt());
}

TEST_CASE("tls: one chunk that never ends is stopped by the byte budget", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
        const std::string part(16'000, 'x');
        while (peer.write(part)) continue;
      },
      {.identity = authority.issue({"localhost"})});
  Adapter adapter(kind, ca.path());
  const Stopwatch time;
  const auto answer = adapter.get(server.origin("localhost") + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::response_too_large);
  CHECK(time.is_prompt());
}

TEST_CASE("tls: the whole exchange has its time, the handshake included", "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer&) {}, {.shake_hands = false});
  Adapter adapter(kind);
  adapter.options.timeout = 300ms;
  const Stopwatch time;
  const auto answer = adapter.get("https://127.0.0.1:" + std::to_string(server.port()) + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::timeout);
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(time.is_prompt());
}

TEST_CASE("proxy: is asked to CONNECT, gets its own credentials, and never the request's",
          "[http.tls]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer proxy([](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
  });
  Adapter adapter(
      kind, "",
      latchkey::Proxy::parse("http://user:pass@127.0.0.1:" + std::to_string(proxy.port()), "")
          .value());
  const auto answer = adapter.post("https://pds.example/token", "a=b");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(answer.error().code == ErrorCode::unreachable);
  REQUIRE(proxy.requests().size() == 1);
  CHECK(proxy.requests()[0].starts_with("CONNECT pds.example:443 HTTP/1.1\r\n"));
  CHECK(proxy.requests()[0].find("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n") !=
        std::string::npos);
}
