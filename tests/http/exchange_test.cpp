// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cstddef>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.test.adapters;
import latchkey.test.raw_server;

// What both adapters must do with answers, over plain http on loopback.

using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::SecretString;
using latchkey::test::Adapter;
using latchkey::test::Kind;
using latchkey::test::kKinds;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::request;

namespace {

RawServer::Script always(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(answer);
  };
}

// cpprestsdk leaves out the space after the colon.
bool has_field(std::string_view text, const std::string& name, const std::string& value) {
  const auto found = [&](const std::string& line) {
    return text.find("\r\n" + line + "\r\n") != std::string_view::npos;
  };
  return found(name + ": " + value) || found(name + ":" + value);
}

std::string chunks_of(std::string_view body) {
  std::string out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += 9) {
    const auto part = body.substr(at, 9);
    out += std::to_string(part.size()) + "\r\n" + std::string(part) + "\r\n";
  }
  return out + "0\r\n\r\n";
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("transport: hands every status over, with headers and body", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const int status = GENERATE(200, 201, 400, 401, 404, 429, 500, 503);
  INFO(latchkey::test::name_of(kind));
  RawServer server(always("HTTP/1.1 " + std::to_string(status) +
                          " Whatever\r\nDPoP-Nonce: n-1\r\nContent-Length: 5\r\n\r\nhello"));
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE(answer.has_value());
  CHECK(answer->status == status);
  CHECK(answer->body.expose() == "hello");
  REQUIRE(answer->headers.find("dpop-nonce") != nullptr);
  CHECK(*answer->headers.find("dpop-nonce") == "n-1");
}

TEST_CASE("transport: sends the target, headers, authorization and body as given", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("")));
  Adapter adapter(kind);
  auto post = request("POST", server.origin() + "/a//b%2Fc/./d/../e%20f?x=%20&y=a+b&z=%C3%A9",
                      std::string("key=v\0lue", 9));
  REQUIRE(post.headers.add("DPoP", "a.b.c"));
  REQUIRE(post.headers.add("X-Empty", ""));
  REQUIRE(post.headers.add("Content-Type", "application/x-www-form-urlencoded"));
  post.authorization =
      latchkey::Authorization{latchkey::Authorization::Scheme::dpop, SecretString("tok-123")};
  REQUIRE(adapter.send(post).has_value());
  const auto seen = server.requests().at(0);
  CAPTURE(seen);
  CHECK(seen.starts_with("POST /a//b%2Fc/./d/../e%20f?x=%20&y=a+b&z=%C3%A9 HTTP/1.1\r\n"));
  CHECK(has_field(seen, "Host", "127.0.0.1:" + std::to_string(server.port())));
  CHECK(has_field(seen, "DPoP", "a.b.c"));
  CHECK(has_field(seen, "Authorization", "DPoP tok-123"));
  CHECK(has_field(seen, "Content-Type", "application/x-www-form-urlencoded"));
  CHECK(has_field(seen, "Content-Length", "9"));
  CHECK(has_field(seen, "User-Agent", "latchkey"));
  CHECK(has_field(seen, "X-Empty", ""));
  CHECK(seen.ends_with(std::string("\r\n\r\nkey=v\0lue", 13)));
  for (const auto* unwanted : {"Expect", "Accept-Encoding", "Transfer-Encoding", "Cookie"})
    CHECK(seen.find(unwanted) == std::string::npos);
}

TEST_CASE("transport: takes a target that begins with two slashes for a path, not for a host",
          "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("")));
  Adapter adapter(kind);
  REQUIRE(adapter.get(server.origin() + "//evil.example/x").has_value());
  CHECK(server.requests().at(0).starts_with("GET //evil.example/x HTTP/1.1\r\n"));
}

TEST_CASE("transport: sends the method it is given", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const std::string method = GENERATE("GET", "POST", "PUT", "DELETE", "PATCH");
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("x")));
  Adapter adapter(kind);
  const auto answer = adapter.send(request(method, server.origin() + "/"));
  REQUIRE(answer.has_value());
  CHECK(server.requests().at(0).starts_with(method + " / HTTP/1.1\r\n"));
  CHECK(has_field(server.requests().at(0), "Content-Length", "0") ==
        (method == "POST" || method == "PUT"));
}

TEST_CASE("transport: expects no body after HEAD", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
  Adapter adapter(kind);
  const auto answer = adapter.send(request("HEAD", server.origin() + "/"));
  REQUIRE(answer.has_value());
  CHECK(answer->body.empty());
}

TEST_CASE("transport: sends a large body whole", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  std::string body(1'000'000, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  RawServer server(always(ok_answer("")));
  Adapter adapter(kind);
  REQUIRE(adapter.post(server.origin() + "/", body).has_value());
  CHECK(server.requests().at(0).ends_with(body));
}

TEST_CASE("transport: hands a redirect over instead of following it", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const int status = GENERATE(301, 302, 303, 307, 308);
  INFO(latchkey::test::name_of(kind));
  RawServer other(always(ok_answer("stolen")));
  RawServer server(always("HTTP/1.1 " + std::to_string(status) + " Away\r\nLocation: " +
                          other.origin() + "/\r\nContent-Length: 0\r\n\r\n"));
  Adapter adapter(kind);
  auto post =
      request(status == 307 ? "GET" : "POST", server.origin() + "/", status == 307 ? "" : "a=b");
  post.authorization =
      latchkey::Authorization{latchkey::Authorization::Scheme::bearer, SecretString("tok-123")};
  const auto answer = adapter.send(post);
  REQUIRE(answer.has_value());
  CHECK(answer->status == status);
  CHECK(server.requests().size() == 1);
  CHECK(other.connections() == 0);
}

TEST_CASE("C10.6: a redirect of a request with a proof is handed over, for htu would be wrong",
          "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const int status = GENERATE(301, 302, 303, 307, 308);
  const bool same_origin = GENERATE(false, true);
  INFO(latchkey::test::name_of(kind) << " " << status << " same origin " << same_origin);
  RawServer other(always(ok_answer("stolen")));
  RawServer server(always("HTTP/1.1 " + std::to_string(status) +
                          " Away\r\nLocation: " + (same_origin ? "" : other.origin()) +
                          "/xrpc/com.atproto.repo.createRecord\r\nContent-Length: 0\r\n\r\n"));
  Adapter adapter(kind);
  auto post = request("POST", server.origin() + "/xrpc/com.atproto.repo.createRecord", "{}");
  REQUIRE(post.headers.add("DPoP", "a.b.c"));
  post.authorization =
      latchkey::Authorization{latchkey::Authorization::Scheme::dpop, SecretString("tok-123")};
  const auto answer = adapter.send(post);
  REQUIRE(answer.has_value());
  CHECK(answer->status == status);
  CHECK(server.requests().size() == 1);
  CHECK(other.connections() == 0);
}

TEST_CASE("transport: refuses header injection before it connects", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("")));
  Adapter adapter(kind);
  auto get = request("GET", server.origin() + "/");
  CHECK_FALSE(get.headers.add("X-A", "b\r\nX-Injected: c"));
  get.authorization = latchkey::Authorization{latchkey::Authorization::Scheme::bearer,
                                              SecretString("t\r\nX-Injected: c")};
  const auto answer = adapter.send(get);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().detail == "http.credentials");
  CHECK(answer.error().delivery == Delivery::not_sent);
  CHECK(server.connections() == 0);
}

TEST_CASE("transport: leaves gzip as it is", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const std::string packed("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10);
  RawServer server(
      always("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + packed));
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE(answer.has_value());
  CHECK(answer->body.expose() == packed);
}

TEST_CASE("transport: reads chunked bodies, and bodies that end with the connection", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server([](Peer& peer) {
    for (auto asked = peer.read_request(); !asked.empty(); asked = peer.read_request()) {
      if (asked.find("/chunked") == std::string::npos) {
        peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdefgh");
        return;
      }
      peer.write(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\n\r\n");
    }
  });
  Adapter adapter(kind);
  for (const auto* path : {"/chunked", "/until-close"}) {
    const auto answer = adapter.get(server.origin() + path);
    REQUIRE(answer.has_value());
    CHECK(answer->body.expose() == "abcdefgh");
  }
}

TEST_CASE("transport: does not lose one of two headers of the same name", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(
      always("HTTP/1.1 401 No\r\nWWW-Authenticate: DPoP error=\"use_dpop_nonce\"\r\n"
             "www-authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"));
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE(answer.has_value());
  const auto challenges = latchkey::parse_challenges(answer->headers);
  REQUIRE(challenges.size() == 2);
  CHECK(challenges[0].scheme == "DPoP");
  CHECK(challenges[1].scheme == "Basic");
}

TEST_CASE("transport: takes a body of exactly the cap, and refuses one byte more", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool chunked = GENERATE(false, true);
  const std::size_t cap = GENERATE(0U, 1U, 1000U, 200'000U);
  INFO(latchkey::test::name_of(kind) << " chunked " << chunked << " cap " << cap);
  RawServer server([&](Peer& peer) {
    for (auto asked = peer.read_request(); !asked.empty(); asked = peer.read_request()) {
      const std::string body(asked.find("/more") != std::string::npos ? cap + 1 : cap, 'x');
      peer.write(chunked ? chunks_of(body) : ok_answer(body));
    }
  });
  Adapter adapter(kind);
  adapter.options.max_body = cap;
  const auto whole = adapter.get(server.origin() + "/");
  REQUIRE(whole.has_value());
  CHECK(whole->body.size() == cap);
  const auto more = adapter.get(server.origin() + "/more");
  REQUIRE_FALSE(more.has_value());
  CHECK(more.error().code == ErrorCode::response_too_large);
  CHECK(more.error().delivery == Delivery::maybe_sent);
}

TEST_CASE("transport: refuses headers beyond the cap", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  const std::string field = "X-Bomb: " + std::string(1000, 'b') + "\r\n";
  std::string bomb = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 80; ++i) bomb += "X-" + std::to_string(i) + field;
  RawServer server(always(bomb + "Content-Length: 2\r\n\r\nok"));
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin() + "/");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::response_too_large);
  adapter.options.max_headers = 128 * 1024;
  CHECK(adapter.get(server.origin() + "/").has_value());
  CHECK(count(server.requests().at(0), "\r\n\r\n") == 1);
}

TEST_CASE("transport: falls back to IPv4 when localhost is tried as ::1 first", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("four")));
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin("localhost") + "/");
  REQUIRE(answer.has_value());
  CHECK(answer->body.expose() == "four");
  CHECK(server.requests().size() == 1);
}

TEST_CASE("transport: reaches an IPv6 literal", "[http]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(latchkey::test::name_of(kind));
  RawServer server(always(ok_answer("six")), {.ipv6 = true});
  Adapter adapter(kind);
  const auto answer = adapter.get(server.origin("[::1]") + "/");
  REQUIRE(answer.has_value());
  CHECK(answer->body.expose() == "six");
  CHECK(has_field(server.requests().at(0), "Host", "[::1]:" + std::to_string(server.port())));
}
