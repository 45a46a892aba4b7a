// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

import latchkey.loopback.callback_request;

using namespace latchkey;

namespace {

CallbackPlace place(const std::string& scheme, std::uint16_t port) {
  return {.scheme = scheme, .host = "localhost", .port = port, .path = "/callback"};
}

CallbackRequest from(const std::string& host, std::vector<std::string> origins = {}) {
  return {.method = "GET",
          .target = "/callback?code=c",
          .hosts = {host},
          .origins = std::move(origins),
          .fetch_destination = "",
          .purposes = {}};
}

}  // namespace

TEST_CASE("callback request: a port that the scheme implies may be left out, as browsers do",
          "[receiver]") {
  CHECK_FALSE(refusal_of(from("localhost"), place("https", 443)));
  CHECK_FALSE(refusal_of(from("localhost:443"), place("https", 443)));
  CHECK_FALSE(refusal_of(from("localhost"), place("http", 80)));
  CHECK_FALSE(refusal_of(from("localhost", {"https://localhost"}), place("https", 443)));
}

TEST_CASE("callback request: any other port must be there", "[receiver]") {
  CHECK(refusal_of(from("localhost"), place("https", 80))->status == 400);
  CHECK(refusal_of(from("localhost"), place("http", 443))->status == 400);
  CHECK(refusal_of(from("localhost"), place("https", 8443))->status == 400);
  CHECK(refusal_of(from("localhost:8443", {"https://localhost"}), place("https", 8443))->status ==
        400);
  CHECK(
      refusal_of(from("localhost:8443", {"http://localhost:8443"}), place("https", 8443))->status ==
      400);
}

TEST_CASE("callback request: the redirect URI says its port always", "[receiver]") {
  CHECK(place("https", 443).uri() == "https://localhost:443/callback");
  CHECK(place("http", 8080).uri() == "http://localhost:8080/callback");
}

TEST_CASE("callback request: what asks to look ahead in any spelling is put off", "[receiver]") {
  auto request = from("localhost:8443");
  request.purposes = GENERATE(values<std::vector<std::string>>(
      {{"prefetch"}, {"prefetch;prerender"}, {"preview"}, {"", "prefetch"}}));
  CHECK(refusal_of(request, place("https", 8443))->status == 503);
}

TEST_CASE("callback request: the query is what follows the first question mark", "[receiver]") {
  CHECK(query_of_target("/callback?a=b?c") == "a=b?c");
  CHECK(query_of_target("/callback?").empty());
  CHECK(query_of_target("/callback").empty());
}
