// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.test.oauth;

using latchkey::Error;
using latchkey::ErrorCode;
using latchkey::TimePoint;
using latchkey::test::typed_answer;

namespace {

Error error_of(int status, std::string_view body, std::string_view type = "application/json") {
  return oauth_error("token", typed_answer(status, body, type), TimePoint{});
}

}  // namespace

TEST_CASE("oauth_error: each known error has its code and detail", "[oauth_error]") {
  struct Row {
    std::string error;
    ErrorCode code;
  };
  const Row rows[] = {
      {"invalid_grant", ErrorCode::invalid_grant},
      {"invalid_client", ErrorCode::invalid_client},
      {"access_denied", ErrorCode::access_denied},
      {"invalid_dpop_proof", ErrorCode::dpop_refused},
      {"use_dpop_nonce", ErrorCode::dpop_refused},
      {"invalid_request", ErrorCode::provider_error},
      {"unsupported_token_type", ErrorCode::provider_error},
      {"unmet_authentication_requirements", ErrorCode::provider_error},
      {"slow_down", ErrorCode::provider_error},
      {"custom_error_7", ErrorCode::provider_error},
  };
  for (const auto& [name, code] : rows) {
    for (const int status : {200, 400, 401, 403}) {
      const auto error = error_of(status, "{\"error\":\"" + name + "\"}");
      CAPTURE(name, status);
      CHECK(error.code == code);
      CHECK(error.detail == "token." + name);
      CHECK(error.oauth->error == name);
      CHECK(error.http_status == status);
      CHECK(error.message.find("token failed: the server answered HTTP " + std::to_string(status) +
                               " " + name) == 0);
    }
  }
}

TEST_CASE("oauth_error: the server's description and uri are kept", "[oauth_error]") {
  const auto error = error_of(
      400,
      R"({"error":"invalid_grant","error_description":"too old","error_uri":"https://a.dev/e"})");
  CHECK(error.oauth->error_description == "too old");
  CHECK(error.oauth->error_uri == "https://a.dev/e");
  CHECK(error.message ==
        "token failed: the server answered HTTP 400 invalid_grant (too old); log in again");
}

TEST_CASE("oauth_error: a 5xx is the server's problem, whatever its body says", "[oauth_error]") {
  const int status = GENERATE(500, 502, 503, 504, 599);
  const auto with = error_of(status, R"({"error":"invalid_grant"})");
  CHECK(with.code == ErrorCode::provider_error);
  CHECK(with.detail == "token.server_error");
  CHECK(with.http_status == status);
  CHECK(with.oauth->error == "invalid_grant");
  const auto without = error_of(status, "<html>", "text/html");
  CHECK(without.code == ErrorCode::provider_error);
  CHECK(without.detail == "token.server_error");
  CHECK_FALSE(without.oauth);
}

TEST_CASE("oauth_error: 429 is rate_limited, whatever its body says", "[oauth_error]") {
  for (const auto* body : {"", "{}", R"({"error":"invalid_grant"})", "<html>"}) {
    const auto error = error_of(429, body);
    CHECK(error.code == ErrorCode::rate_limited);
    CHECK(error.detail == "token.rate_limited");
    CHECK_FALSE(error.retry_after);
  }
}

TEST_CASE("oauth_error: Retry-After is read, in seconds and as a date", "[oauth_error]") {
  auto response = typed_answer(503, "");
  response.headers.add("Retry-After", "17").value();
  CHECK(oauth_error("token", response, TimePoint{}).retry_after == std::chrono::seconds(17));
  auto dated = typed_answer(429, "");
  dated.headers.add("Retry-After", "Fri, 20 Nov 2026 09:30:30 GMT").value();
  const auto now = latchkey::parse_rfc3339("2026-11-20T09:30:00Z").value();
  CHECK(oauth_error("token", dated, now).retry_after == std::chrono::seconds(30));
}

TEST_CASE("oauth_error: an answer without a readable OAuth error is not OAuth's", "[oauth_error]") {
  const auto body = GENERATE(
      as<std::string>{}, "", "{}", "[]", "null", "not json", R"({"error":1})", R"({"error":null})",
      R"({"error":""})", R"({"error":{"code":"invalid_grant"}})", R"({"Error":"invalid_grant"})",
      R"({"error":"invalid_grant","error":"invalid_grant"})", R"({"error":"invalid_grant"} x)");
  CAPTURE(body);
  const auto error = error_of(400, body);
  CHECK(error.code == ErrorCode::invalid_response);
  CHECK(error.detail == "token.status");
  CHECK(error.http_status == 400);
  CHECK_FALSE(error.oauth);
}

TEST_CASE("oauth_error: only JSON content is read", "[oauth_error]") {
  for (const auto* type : {"text/html", "text/plain", "", "application/x-www-form-urlencoded"}) {
    CHECK(error_of(400, R"({"error":"invalid_grant"})", type).code == ErrorCode::invalid_response);
  }
}

TEST_CASE("oauth_error: redirects and other oddities never end a session", "[oauth_error]") {
  const int status = GENERATE(100, 201, 204, 302, 307, 399);
  const auto error = error_of(status, R"({"error":"invalid_grant"})");
  CHECK(error.code == ErrorCode::invalid_response);
  CHECK(error.detail == "token.status");
}

TEST_CASE("oauth_error: an error that is no plain word gets no detail of its own",
          "[oauth_error]") {
  const auto name =
      GENERATE(as<std::string>{}, "Invalid_Grant", "invalid grant", "invalid-grant", "a.b",
               "\\u001b[31m", std::string(65, 'a'), "0123456789abcdef0123456789abcdef");
  CAPTURE(name);
  const auto error = error_of(400, "{\"error\":\"" + name + "\"}");
  CHECK(error.code == ErrorCode::provider_error);
  CHECK(error.detail == "token.unknown_error");
  CHECK(error.oauth->error.size() <= 70);
  CHECK(error.message.find('\x1b') == std::string::npos);
}

TEST_CASE("oauth_error: descriptions are cut and can't draw on a terminal", "[oauth_error]") {
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word ";
  const auto error = error_of(
      400, R"({"error":"invalid_grant","error_description":"\u001b[2J\r\n)" + words + "\"}");
  CHECK(error.oauth->error_description.size() == 515);
  CHECK(error.message.find_first_of("\x1b\r\n") == std::string::npos);
}

TEST_CASE("oauth_error: texts of another type are left out, the error stands", "[oauth_error]") {
  const auto error =
      error_of(400, R"({"error":"invalid_grant","error_description":7,"error_uri":null})");
  CHECK(error.code == ErrorCode::invalid_grant);
  CHECK(error.oauth->error_description.empty());
}

TEST_CASE("oauth_error: what looks like a token is never shown", "[oauth_error]") {
  const auto token =
      GENERATE(as<std::string>{}, "ref-0123456789abcdef0123456789abcdef0123456789abcdef",
               "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJkaWQ6cGxjIn0.c2lnbmF0dXJl",
               "req-0123456789abcdef0123456789ab");
  const std::string description = R"(bad \")" + token + R"x(\" (given))x";
  const auto error =
      error_of(400, R"({"error":"invalid_grant","error_description":")" + description +
                        R"(","error_uri":"https://a.dev/?t=)" + token + "\"}");
  CHECK(error.message.find(token) == std::string::npos);
  CHECK(error.oauth->error_description == "bad \"[...]\" (given)");
  CHECK(error.oauth->error_uri.find(token) == std::string::npos);
  const auto as_error = error_of(400, "{\"error\":\"" + token + "\"}");
  CHECK(as_error.message.find(token) == std::string::npos);
  CHECK(as_error.detail.find(token) == std::string::npos);
  CHECK(as_error.oauth->error.find(token) == std::string::npos);
}

TEST_CASE("oauth_error: a DID in a description is shown", "[oauth_error]") {
  const auto error = error_of(
      400,
      R"({"error":"invalid_grant","error_description":"no did:plc:ewvi7nxzyoun6zhxrhs64oiz here"})");
  CHECK(error.oauth->error_description == "no did:plc:ewvi7nxzyoun6zhxrhs64oiz here");
}
