// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.revocation;
import latchkey.session;
import latchkey.test.oauth;
import latchkey.test.outcome;

using latchkey::ErrorCode;
using latchkey::SecretString;
using latchkey::SessionSummary;
using latchkey::TimePoint;
using latchkey::TokenKind;
using latchkey::test::detail_of;
using latchkey::test::field;
using latchkey::test::field_names;
using latchkey::test::typed_answer;

namespace {

SessionSummary session() {
  SessionSummary s;
  s.issuer = "https://entryway.test.dev";
  s.revocation_endpoint = "https://entryway.test.dev/oauth/revoke";
  s.client_auth_kid = "kid-1";
  return s;
}

}  // namespace

TEST_CASE("C7.11: a revocation sends the token, its kind and the client", "[revocation]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request = build_revocation_request(session(), SecretString("the&token"),
                                                TokenKind::refresh_token, *client)
                           .value();
  CHECK(request.method == "POST");
  CHECK(request.url.text() == "https://entryway.test.dev/oauth/revoke");
  CHECK(field_names(request) == std::vector<std::string>{"token", "token_type_hint", "client_id"});
  CHECK(field(request, "token") == "the&token");
  CHECK(field(request, "token_type_hint") == "refresh_token");
  const auto access =
      build_revocation_request(session(), SecretString("t"), TokenKind::access_token, *client);
  CHECK(field(access.value(), "token_type_hint") == "access_token");
}

TEST_CASE("C7.11: a confidential client signs with the session's own key", "[revocation]") {
  latchkey::test::AssertingClient client;
  const auto request =
      build_revocation_request(session(), SecretString("t"), TokenKind::refresh_token, client);
  CHECK(field(request.value(), "client_assertion") == "https://entryway.test.dev|kid-1|1");
}

TEST_CASE("C7.11: without a usable endpoint or key nothing is sent", "[revocation]") {
  const auto client = latchkey::public_client("http://localhost");
  latchkey::test::KeylessClient keyless;
  const auto detail = [](const SessionSummary& s, latchkey::ClientAuthenticator& by) {
    return detail_of(build_revocation_request(s, SecretString("t"), TokenKind::refresh_token, by));
  };
  auto s = session();
  CHECK(detail(s, keyless) == "client.key_gone");
  s.revocation_endpoint = "http://entryway.test.dev/oauth/revoke";
  CHECK(detail(s, *client) == "url.not_https");
  s.revocation_endpoint = "";
  CHECK(detail(s, *client) == "revocation.no_endpoint");
}

TEST_CASE("C7.11: any 2xx is success, whatever the body", "[revocation]") {
  const int status = GENERATE(200, 201, 202, 204, 299);
  CHECK(process_revocation_response(typed_answer(status, "", ""), TimePoint{}));
  CHECK(process_revocation_response(typed_answer(status, "{}"), TimePoint{}));
  CHECK(process_revocation_response(typed_answer(status, R"({"error":"x"})"), TimePoint{}));
  CHECK(process_revocation_response(typed_answer(status, "<html>", "text/html"), TimePoint{}));
}

TEST_CASE("C7.11: everything else is not", "[revocation]") {
  const auto error = [](int status, const std::string& body) {
    const auto result = process_revocation_response(typed_answer(status, body), TimePoint{});
    REQUIRE_FALSE(result);
    return result.error();
  };
  CHECK(error(199, "").detail == "revocation.status");
  CHECK(error(300, "").detail == "revocation.status");
  CHECK(error(302, "").detail == "revocation.status");
  CHECK(error(400, R"({"error":"unsupported_token_type"})").detail ==
        "revocation.unsupported_token_type");
  CHECK(error(400, R"({"error":"use_dpop_nonce"})").code == ErrorCode::dpop_refused);
  CHECK(error(401, R"({"error":"invalid_client"})").code == ErrorCode::invalid_client);
  CHECK(error(404, "").code == ErrorCode::invalid_response);
  CHECK(error(429, "").code == ErrorCode::rate_limited);
  CHECK(error(503, "").detail == "revocation.server_error");
}

TEST_CASE("revocation: a busy server says when to come back", "[revocation]") {
  auto response = typed_answer(503, "");
  response.headers.add("Retry-After", "120").value();
  const auto result = process_revocation_response(response, TimePoint{});
  REQUIRE_FALSE(result);
  CHECK(result.error().retry_after == std::chrono::seconds(120));
}
