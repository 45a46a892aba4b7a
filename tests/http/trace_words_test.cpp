// SPDX-License-Identifier: MIT
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

import latchkey.core;
import latchkey.http.trace;
import latchkey.test.proof_key;

// What can get into a trace at all.

using namespace latchkey;
using namespace latchkey::test;

namespace {

// As long, and of such letters, as the tokens of real servers.
constexpr std::string_view kToken = "h7Kd02LmQx9vTzR4sWb8NpEa1YcUj6FgIoMk3XqBnDt";

std::string path(std::string_view target) {
  return TracePath(Url::parse("https://pds.test" + std::string(target)).value()).text();
}
std::string origin(std::string_view url) {
  return TraceOrigin(Url::parse(url).value()).text();
}
std::string detail(std::string_view text) {
  return TraceDetail(text).text();
}

}  // namespace

TEST_CASE("C11.6: no text becomes a word of a trace but this program's own", "[trace]") {
  STATIC_CHECK_FALSE(std::is_constructible_v<TraceWord, std::string>);
  STATIC_CHECK_FALSE(std::is_constructible_v<TraceWord, std::string_view>);
  STATIC_CHECK_FALSE(std::is_convertible_v<std::string, TraceDetail>);
  constexpr auto known = std::to_array<TraceWord>({"one", "two"});
  CHECK(TraceWord::listed("two", known).text() == "two");
  CHECK(TraceWord::listed("", known).empty());
  for (const std::string_view other : {"three", "tw", "two ", "TWO", kToken.data()}) {
    CAPTURE(other);
    CHECK(TraceWord::listed(other, known).text() == "unlisted");
  }
}

TEST_CASE("C11.6: an error of a server is shown only if it is a registered one", "[trace]") {
  for (const std::string_view error :
       {"use_dpop_nonce", "invalid_grant", "authorization_pending", "InvalidSwap"}) {
    CHECK(traced_error(error).text() == error);
  }
  for (const std::string_view error :
       {kToken, std::string_view("invalid_grant "), std::string_view("<script>"),
        std::string_view("invalid_grant\n"), std::string_view("marked")}) {
    CAPTURE(error);
    CHECK(traced_error(error).text() == "unlisted");
  }
  CHECK(traced_method("GET").text() == "GET");
  CHECK(traced_method(kToken).text() == "unlisted");
}

TEST_CASE("trace path: words that such servers have stay, and the query is gone", "[trace]") {
  CHECK(path("/oauth/token") == "/oauth/token");
  CHECK(path("/.well-known/oauth-protected-resource?x=1") ==
        "/.well-known/oauth-protected-resource");
  CHECK(path("/xrpc/com.atproto.repo.createRecord?repo=did") ==
        "/xrpc/com.atproto.repo.createRecord");
  CHECK(path("/") == "/");
  CHECK(path("/oauth/") == "/oauth/");
}

TEST_CASE("C11.6: every part of a path that is no such word is hidden", "[trace]") {
  const std::string token(kToken);
  CHECK(path("/" + token) == "/*");
  CHECK(path("/oauth/" + token + "/token") == "/oauth/*/token");
  CHECK(path("/did:plc:ewvi7nxzyoun6zhxrhs64oiz") == "/*");
  CHECK(path("/xrpc/" + token) == "/xrpc/*");
  CHECK(path("/xrpc/com.example." + token) == "/xrpc/*");
  CHECK(path("/xrpc/com." + token + ".get") == "/xrpc/*");
  CHECK(path("/xrpc/eyJhbGciOi.eyJzdWIiOiJ4.c2lnbmF0dXJl") == "/xrpc/*");
  CHECK(path("/xrpc/a.b") == "/xrpc/*");
  CHECK(path("/xrpc/com..get") == "/xrpc/*");
  CHECK(path("/xrpc/com.example.get/com.example.get") == "/xrpc/com.example.get/*");
  CHECK(path("/v1/com.example.get") == "/v1/*");
  CHECK(path("/%3Cscript%3E/token") == "/*/token");
  CHECK(path("/v1/v1/v1/v1/v1/v1/v1/v1/v1") == "/v1/v1/v1/v1/v1/v1/v1/v1/*");
}

TEST_CASE("trace origin: the scheme, the host, and a port that is not the default one", "[trace]") {
  CHECK(origin("https://PDS.example.com/x?y#z") == "https://pds.example.com");
  CHECK(origin("https://pds.test:443/") == "https://pds.test");
  CHECK(origin("http://127.0.0.1:8080/") == "http://127.0.0.1:8080");
  CHECK(origin("http://[::1]:80/") == "http://[::1]");
}

TEST_CASE("C11.6: a long label of a host is hidden", "[trace]") {
  const std::string label24(24, 'a'), label25(25, 'a');
  CHECK(origin("https://" + label24 + ".test/") == "https://" + label24 + ".test");
  CHECK(origin("https://" + label25 + ".test:8443/") == "https://*.test:8443");
  CHECK(origin("https://a." + std::string(kToken) + ".test/") == "https://a.*.test");
}

TEST_CASE("C11.6: the detail of an error is shown if it is of dotted words", "[trace]") {
  CHECK(detail("dpop.nonce_again") == "dpop.nonce_again");
  CHECK(detail("").empty());
  for (const std::string_view other :
       {kToken, std::string_view("Dpop.nonce"), std::string_view("dpop..nonce"),
        std::string_view("dpop.nonce1"), std::string_view("a b"), std::string_view("."),
        std::string_view("abcdefghijklmnopqrstuvwxyzabcdefgh")}) {
    CAPTURE(other);
    CHECK(detail(other) == "unlisted");
  }
}

TEST_CASE("G-46: a key is told by eight characters of its thumbprint", "[trace]") {
  const ProofKey key;
  const std::string proof = key.sign(key.header(), proof_claims("GET", "https://pds.test/", 1));
  CHECK(TraceKey(proof).text() == key.thumbprint().substr(0, 8));
  CHECK(TraceKey(std::string_view()).text().empty());
  CHECK(TraceKey(std::string_view("a.b.c")).text().empty());
  CHECK(TraceKey(std::string_view("e30.e30.x")).text().empty());
}
