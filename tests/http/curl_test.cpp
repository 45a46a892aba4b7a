// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.test.adapters;
import latchkey.test.certificate;
import latchkey.test.raw_server;

// What is particular to addresses that strangers supply.

using latchkey::AddressRule;
using latchkey::CurlOptions;
using latchkey::CurlTransport;
using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::HttpRule;
using latchkey::test::Authority;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::request;
using latchkey::test::TemporaryFile;

namespace {

void answer_all(Peer& peer) {
  while (!peer.read_request().empty()) peer.write(ok_answer("did:plc:abc"));
}

void check_private(const latchkey::Result<latchkey::HttpResponse>& answer) {
  REQUIRE_FALSE(answer.has_value());
  CAPTURE(answer.error().message);
  CHECK(answer.error().code == ErrorCode::insecure_address);
  CHECK(answer.error().detail == "address.not_public");
  CHECK(answer.error().delivery == Delivery::not_sent);
}

}  // namespace

TEST_CASE("curl: never connects to a private literal", "[http.curl]") {
  RawServer server(answer_all);
  const auto transport = CurlTransport::open({}).value();
  check_private(transport->send(
      request("GET", "https://127.0.0.1:" + std::to_string(server.port()) + "/"), {}));
  CHECK(server.connections() == 0);
}

TEST_CASE("curl: never connects to a name that leads to a private address", "[http.curl]") {
  const bool ipv6 = GENERATE(false, true);
  RawServer server(answer_all, {.ipv6 = ipv6});
  const auto transport =
      CurlTransport::open({.connect_to = {{.host = "alice.test",
                                           .port = 443,
                                           .to_host = ipv6 ? "[::1]" : "127.0.0.1",
                                           .to_port = server.port()}}})
          .value();
  check_private(transport->send(request("GET", "https://alice.test/.well-known/atproto-did"), {}));
  CHECK(server.connections() == 0);
}

TEST_CASE("curl: never connects to what the resolver calls localhost", "[http.curl]") {
  RawServer server(answer_all);
  const auto transport = CurlTransport::open({}).value();
  check_private(transport->send(
      request("GET", "https://localhost:" + std::to_string(server.port()) + "/"), {}));
  CHECK(server.connections() == 0);
}

TEST_CASE("curl: a literal stays refused behind a proxy", "[http.curl]") {
  RawServer proxy(answer_all);
  const auto transport =
      CurlTransport::open(
          {.proxy = latchkey::Proxy::parse("http://127.0.0.1:" + std::to_string(proxy.port()), "")
                        .value()})
          .value();
  check_private(transport->send(request("GET", "https://169.254.169.254/latest/meta-data/"), {}));
  check_private(transport->send(request("GET", "https://[::ffff:7f00:1]/"), {}));
  CHECK(proxy.connections() == 0);
}

TEST_CASE("curl: connects elsewhere when told to, with name checks on the name", "[http.curl]") {
  const bool right_name = GENERATE(true, false);
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all,
                   {.identity = authority.issue({right_name ? "alice.test" : "127.0.0.1"})});
  const auto transport = CurlTransport::open({.address_rule = AddressRule::any,
                                              .extra_ca_file = ca.path(),
                                              .connect_to = {{.host = "alice.test",
                                                              .port = 443,
                                                              .to_host = "127.0.0.1",
                                                              .to_port = server.port()}}})
                             .value();
  const auto answer = transport->send(request("GET", "https://alice.test/.well-known/atproto-did"),
                                      latchkey::handle_file_limits());
  REQUIRE(answer.has_value() == right_name);
  if (!right_name) {
    CHECK(answer.error().code == ErrorCode::tls_failed);
    return;
  }
  CHECK(answer->body.expose() == "did:plc:abc");
  CHECK(server.server_names().at(0) == "alice.test");
  CHECK(server.requests().at(0).find("\r\nHost: alice.test\r\n") != std::string::npos);
}

TEST_CASE("curl: refuses http to others before anything is sent", "[http.curl]") {
  RawServer server(answer_all);
  const auto strict = CurlTransport::open({.address_rule = AddressRule::any}).value();
  const auto answer = strict->send(request("GET", server.origin() + "/"), {});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::insecure_address);
  CHECK(server.connections() == 0);
}

TEST_CASE("curl: heeds no proxy of the environment", "[http.curl]") {
  RawServer proxy(answer_all);
  RawServer server(answer_all);
  const auto address = "http://127.0.0.1:" + std::to_string(proxy.port());
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy"})
    ::setenv(name, address.c_str(), 1);
  const auto transport = CurlTransport::open({.address_rule = AddressRule::any,
                                              .http_rule = HttpRule::allow_http_for_loopback})
                             .value();
  const auto answer = transport->send(request("GET", server.origin() + "/"), {});
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy"}) ::unsetenv(name);
  CHECK(answer.has_value());
  CHECK(proxy.connections() == 0);
}

TEST_CASE("curl: keeps no cookies and no connection", "[http.curl]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty())
      peer.write("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
  });
  const auto transport = CurlTransport::open({.address_rule = AddressRule::any,
                                              .http_rule = HttpRule::allow_http_for_loopback})
                             .value();
  latchkey::SendOptions options;
  options.connection = latchkey::Connection::pooled;
  REQUIRE(transport->send(request("GET", server.origin() + "/"), options).has_value());
  REQUIRE(transport->send(request("GET", server.origin() + "/"), options).has_value());
  CHECK(server.connections() == 2);
  CHECK(server.requests().at(1).find("Cookie") == std::string::npos);
}

TEST_CASE("curl: tells a certificate file that is missing or broken", "[http.curl]") {
  const TemporaryFile broken("not a certificate");
  const bool missing = GENERATE(true, false);
  const auto transport =
      CurlTransport::open({.extra_ca_file = missing ? "/nonexistent/ca.pem" : broken.path()});
  REQUIRE_FALSE(transport.has_value());
  CHECK(transport.error().code == ErrorCode::io);
  CHECK(transport.error().detail == "tls.ca_file");
}
