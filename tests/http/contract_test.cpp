// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;

using namespace latchkey;
using namespace std::chrono_literals;

namespace {

HttpResponse with(std::string_view name, std::string_view value) {
  HttpResponse response{.status = 200};
  response.headers.add(name, value).value();
  return response;
}

std::vector<Challenge> challenges(std::initializer_list<std::string_view> values) {
  Headers headers;
  for (const auto value : values) headers.add("WWW-Authenticate", value).value();
  return parse_challenges(headers);
}

const TimePoint kNow = parse_rfc3339("1994-11-06T08:49:37Z").value();

}  // namespace

TEST_CASE("Headers: names compare without case and keep their order", "[http]") {
  Headers headers;
  headers.add("Content-Type", "text/plain").value();
  headers.add("X-One", "1").value();
  headers.add("x-one", "2").value();
  CHECK(*headers.find("content-TYPE") == "text/plain");
  CHECK(headers.all("X-ONE") == std::vector<std::string_view>{"1", "2"});
  CHECK(headers.fields()[2].first == "x-one");
  CHECK(headers.find("X-Two") == nullptr);
  headers.remove("X-one");
  CHECK(headers.size() == 1);
}

TEST_CASE("Headers: set replaces every field of the name", "[http]") {
  Headers headers;
  headers.add("A", "1").value();
  headers.add("a", "2").value();
  headers.set("A", "3").value();
  CHECK(headers.all("a") == std::vector<std::string_view>{"3"});
}

TEST_CASE("Headers: set may take its value out of the field it replaces", "[http]") {
  Headers headers;
  headers.add("A", std::string(100, 'x')).value();
  headers.set(headers.fields()[0].first, headers.fields()[0].second).value();
  CHECK(*headers.find("A") == std::string(100, 'x'));
}

TEST_CASE("Headers: space around a value is dropped, tab inside stays", "[http]") {
  Headers headers;
  headers.add("A", " \t one\ttwo  ").value();
  headers.add("B", "   ").value();
  CHECK(*headers.find("A") == "one\ttwo");
  CHECK(headers.find("B")->empty());
}

TEST_CASE("Headers: a value with a line end, NUL or control character is refused", "[http]") {
  const std::string value = GENERATE(
      std::string("a\r\nX: y"), std::string("a\n"), std::string("\ra"), std::string("a\0b", 3),
      std::string("\x7f"), std::string("\x01"), std::string("a\x1b"));
  Headers headers;
  const auto added = headers.add("Accept", value);
  REQUIRE(!added);
  CHECK(added.error().code == ErrorCode::invalid_argument);
  CHECK(added.error().detail == "header.value");
  CHECK(!headers.set("Accept", value));
  CHECK(headers.size() == 0);
}

TEST_CASE("Headers: a refused value is not in the message", "[http]") {
  Headers headers;
  CHECK(headers.add("DPoP", "hunter2\n").error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("Headers: a name that is not a token is refused", "[http]") {
  const std::string name = GENERATE(std::string(""), std::string("a b"), std::string("a:"),
                                    std::string("a\r\n"), std::string("a\0", 2), std::string("(a)"),
                                    std::string("\xc3\xa4"), std::string(" a"));
  Headers headers;
  const auto added = headers.add(name, "x");
  REQUIRE(!added);
  CHECK(added.error().detail == "header.name");
  CHECK(!headers.set(name, "x"));
}

TEST_CASE("HttpRequest: a clone has every member and shares none", "[http]") {
  auto request = form_post(Url::parse("https://as.example/token").value(), SecretString("a=b"));
  request.authorization = Authorization{Authorization::Scheme::dpop, SecretString("token")};
  const auto clone = request.clone();
  request.body = SecretString("gone");
  request.headers.remove("Accept");
  request.authorization.reset();
  CHECK(clone.method == "POST");
  CHECK(clone.url.text() == "https://as.example/token");
  CHECK(clone.body.expose() == "a=b");
  CHECK(*clone.headers.find("Accept") == "application/json");
  REQUIRE(clone.authorization.has_value());
  CHECK(clone.authorization->scheme == Authorization::Scheme::dpop);
  CHECK(clone.authorization->credentials.expose() == "token");
}

TEST_CASE("form_post and json_get: say what they send and take", "[http]") {
  const auto url = Url::parse("https://as.example/token").value();
  const auto post = form_post(url, SecretString("a=b"));
  CHECK(*post.headers.find("Content-Type") == "application/x-www-form-urlencoded");
  CHECK(*post.headers.find("Accept") == "application/json");
  const auto get = json_get(url);
  CHECK(get.method == "GET");
  CHECK(*get.headers.find("Accept") == "application/json");
  CHECK(get.body.empty());
  CHECK(!get.authorization);
}

TEST_CASE("has_json_content: true for JSON types whatever their parameters", "[http]") {
  const char* value =
      GENERATE("application/json", "Application/JSON; charset=utf-8", "application/did+ld+json",
               "application/problem+json;charset=utf-8", "application/json ;x=\"y,z\"");
  CHECK(has_json_content(with("Content-Type", value)));
}

TEST_CASE("has_json_content: false for other, malformed, missing and repeated types", "[http]") {
  const char* value = GENERATE("", "text/html", "application/jsonp", "application/json, text/html",
                               "text/plain; a=application/json", "application/+json", "json",
                               "application /json", "application/xjson", "/json");
  CHECK(!has_json_content(with("Content-Type", value)));
  CHECK(!has_json_content(HttpResponse{}));
  auto twice = with("Content-Type", "application/json");
  twice.headers.add("Content-Type", "application/json").value();
  CHECK(!has_json_content(twice));
}

TEST_CASE("retry_after: reads seconds and dates, up to a day", "[http]") {
  CHECK(retry_after(with("Retry-After", "0"), kNow) == 0s);
  CHECK(retry_after(with("Retry-After", "120"), kNow) == 120s);
  CHECK(retry_after(with("Retry-After", "86400"), kNow) == 24h);
  CHECK(retry_after(with("Retry-After", "86401"), kNow) == 24h);
  CHECK(retry_after(with("Retry-After", std::string(400, '9')), kNow) == 24h);
  CHECK(retry_after(with("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"), kNow) == 60s);
  CHECK(retry_after(with("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"), kNow - 1ms) == 61s);
  CHECK(retry_after(with("Retry-After", "Sat, 05 Nov 1994 08:50:37 GMT"), kNow) == 0s);
  CHECK(retry_after(with("Retry-After", "Tue, 08 Nov 1994 08:50:37 GMT"), kNow) == 24h);
}

TEST_CASE("retry_after: empty when missing or malformed", "[http]") {
  const char* value = GENERATE("", "-1", "1.5", "soon", "+3", "12 s", "Sunday", "1e3");
  CHECK(retry_after(with("Retry-After", value), kNow) == std::nullopt);
  CHECK(retry_after(HttpResponse{}, kNow) == std::nullopt);
}

TEST_CASE("parse_challenges: one challenge with tokens and quoted strings", "[http]") {
  const auto found =
      challenges({R"(DPoP algs="ES256 ES384", error="use_dpop_nonce", Realm=x , a = "b")"});
  REQUIRE(found.size() == 1);
  CHECK(found[0].scheme == "DPoP");
  CHECK(found[0].parameters.size() == 4);
  CHECK(*found[0].find("ERROR") == "use_dpop_nonce");
  CHECK(*found[0].find("realm") == "x");
  CHECK(*found[0].find("a") == "b");
  CHECK(found[0].find("nonce") == nullptr);
}

TEST_CASE("C6.13: parse_challenges: commas, quotes and scheme names inside quotes are text",
          "[http]") {
  const auto found =
      challenges({R"(Basic realm="a, DPoP error=\"use_dpop_nonce\" \\", charset="UTF-8")"});
  REQUIRE(found.size() == 1);
  CHECK(*found[0].find("realm") == R"(a, DPoP error="use_dpop_nonce" \)");
  CHECK(*found[0].find("charset") == "UTF-8");
}

TEST_CASE("C6.13: parse_challenges: several challenges in one field and in several", "[http]") {
  const auto found =
      challenges({R"(Basic realm="x", Negotiate, Custom dG9rZW4=, bearer error=invalid_token, a=b)",
                  R"(dpop error="invalid_token")"});
  REQUIRE(found.size() == 5);
  CHECK(found[0].scheme == "Basic");
  CHECK(found[1].scheme == "Negotiate");
  CHECK(found[1].parameters.empty());
  CHECK(found[2].scheme == "Custom");
  CHECK(found[2].parameters.empty());
  CHECK(*found[3].find("error") == "invalid_token");
  CHECK(*found[3].find("a") == "b");
  CHECK(found[4].scheme == "dpop");
}

TEST_CASE("parse_challenges: a field that an intermediary split at its comma is one list",
          "[http]") {
  const auto found = challenges({R"(DPoP algs="ES256")", R"(error="use_dpop_nonce")"});
  REQUIRE(found.size() == 1);
  CHECK(*found[0].find("error") == "use_dpop_nonce");
}

TEST_CASE("parse_challenges: empty list elements are skipped", "[http]") {
  const auto found = challenges({R"( , ,Basic realm="x",, ,a=b, ,DPoP ,)"});
  REQUIRE(found.size() == 2);
  CHECK(found[0].parameters.size() == 2);
  CHECK(found[1].scheme == "DPoP");
}

TEST_CASE("parse_challenges: empty values are allowed only in quotes", "[http]") {
  const auto found = challenges({R"(Basic realm="", a=b)"});
  REQUIRE(found.size() == 1);
  CHECK(found[0].find("realm")->empty());
  CHECK(challenges({"Basic realm=, a=b"}).empty());
}

TEST_CASE("parse_challenges: what does not parse gives nothing, not a part", "[http]") {
  const char* value = GENERATE(
      R"(DPoP error="use_dpop_nonce)", R"(DPoP error="use_dpop_nonce\)",
      R"(error="use_dpop_nonce")", R"(DPoP error="use_dpop_nonce" algs="ES256")",
      R"(DPoP error=use_dpop_nonce;algs=ES256)", R"(DPoP error="a", error="use_dpop_nonce")",
      R"(DPoP =b)", R"(DPoP, error="use_dpop_nonce")", R"(DPoP error="use_dpop_nonce"x)",
      R"(Custom abc==, error=b)", R"("DPoP" error=a)", R"(DPoP"error")", R"(DPoP error=a b)",
      R"(DPoP a=b, c d e)", R"(Basic realm=x, {})");
  CHECK(challenges({value}).empty());
}

TEST_CASE("parse_challenges: one malformed field spoils the list", "[http]") {
  CHECK(challenges({R"(DPoP error="use_dpop_nonce")", R"(Basic realm=")"}).empty());
  CHECK(challenges({}).empty());
  CHECK(challenges({""}).empty());
}
