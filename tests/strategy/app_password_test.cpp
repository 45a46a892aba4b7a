// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.flows.app_password;
import latchkey.http;
import latchkey.session;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;
import latchkey.test.strategy_rig;

// The pure steps of app passwords: requests, answers, and sessions made of them.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kPds = "https://pds.test";
constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

std::string jwt(std::string_view claims) {
  return "eyJhbGciOiJIUzI1NiJ9." + base64url_encode(as_bytes(claims)) + ".c2ln";
}

HttpResponse session_answer(std::string_view access, std::string_view did = kDid) {
  return json_answer(200, R"({"accessJwt":")" + std::string(access) +
                              R"(","refreshJwt":"rt","handle":"alice.test","did":")" +
                              std::string(did) + R"("})");
}

std::string created(const HttpResponse& response) {
  return outcome(process_create_session_response(response, kRigNow));
}
std::string refreshed(const HttpResponse& response) {
  return outcome(process_refresh_session_response(response, kRigNow));
}

HttpResponse xrpc(int status, std::string_view name) {
  return json_answer(status, R"({"error":")" + std::string(name) + R"(","message":"it says so"})");
}

// The expiry of a session whose access token this is.
Result<OAuthSession> session_of(std::string_view access) {
  auto answer = process_create_session_response(session_answer(access), kRigNow);
  REQUIRE(answer);
  return session_from_app_session(*std::move(answer), kPds, kRigNow);
}

}  // namespace

TEST_CASE("app password: createSession carries identifier and password as JSON", "[app_password]") {
  const auto request = build_create_session_request(kPds, "alice.test", SecretString("p\"a\\s\ns"));
  REQUIRE(request);
  CHECK(request->method == "POST");
  CHECK(request->url.text() == "https://pds.test/xrpc/com.atproto.server.createSession");
  CHECK(*request->headers.find("Content-Type") == "application/json");
  CHECK(request->body.expose() == R"({"identifier":"alice.test","password":"p\"a\\s\u000as"})");
  CHECK_FALSE(request->authorization);
}

TEST_CASE("app password: refreshSession and deleteSession carry the refresh token and no body",
          "[app_password]") {
  for (const auto& [request, nsid] :
       {std::pair{build_refresh_session_request(kPds, SecretString("rt")), "refreshSession"},
        std::pair{build_delete_session_request(kPds, SecretString("rt")), "deleteSession"}}) {
    REQUIRE(request);
    CHECK(request->url.path() == std::string("/xrpc/com.atproto.server.") + nsid);
    CHECK(request->method == "POST");
    CHECK(request->body.empty());
    REQUIRE(request->authorization);
    CHECK(request->authorization->scheme == Authorization::Scheme::bearer);
    CHECK(request->authorization->credentials.expose() == "rt");
  }
}

TEST_CASE("app password: what must not be sent is refused", "[app_password]") {
  const auto refused = [](std::string_view pds, std::string_view identifier,
                          std::string_view password) {
    return outcome(build_create_session_request(pds, identifier, SecretString(password)));
  };
  CHECK(refused(kPds, "", "p") == "invalid_argument app_password.identifier");
  CHECK(refused(kPds, "\xff", "p") == "invalid_argument app_password.identifier");
  CHECK(refused(kPds, "a.test", "") == "invalid_argument app_password.password");
  CHECK(refused(kPds, "a.test", std::string(2049, 'p')) ==
        "invalid_argument app_password.password");
  CHECK(refused("http://pds.test", "a.test", "p") == "insecure_address url.not_https");
  CHECK(refused("https://pds.test/path", "a.test", "p") == "invalid_url url.not_an_origin");
  CHECK(refused("pds.test", "a.test", "p").starts_with("invalid_url"));
}

TEST_CASE("app password: each refusal of a login is its own error", "[app_password]") {
  CHECK(created(xrpc(401, "AuthenticationRequired")) == "access_denied app_password.refused");
  CHECK(created(xrpc(401, "AuthFactorTokenRequired")) == "access_denied app_password.factor");
  CHECK(created(xrpc(401, "AccountTakedown")) == "access_denied app_password.takedown");
  CHECK(created(xrpc(429, "RateLimitExceeded")) == "rate_limited xrpc.RateLimitExceeded");
  CHECK(created(xrpc(400, "InvalidRequest")) == "resource_error xrpc.InvalidRequest");
  CHECK(created(xrpc(500, "InternalServerError")) == "resource_error xrpc.InternalServerError");
  CHECK(created(answer(502)) == "resource_error xrpc.status");
}

TEST_CASE("app password: each refusal of a refresh is its own error", "[app_password]") {
  CHECK(refreshed(xrpc(400, "ExpiredToken")) == "invalid_grant app_password.session_over");
  CHECK(refreshed(xrpc(400, "InvalidToken")) == "invalid_grant app_password.session_over");
  CHECK(refreshed(xrpc(401, "AuthMissing")) == "invalid_grant app_password.session_over");
  CHECK(refreshed(xrpc(401, "AccountTakedown")) == "access_denied app_password.takedown");
  CHECK(refreshed(xrpc(429, "RateLimitExceeded")) == "rate_limited xrpc.RateLimitExceeded");
  CHECK(refreshed(answer(503)) == "resource_error xrpc.status");
}

TEST_CASE("app password: a rate limit says how long to wait", "[app_password]") {
  const auto limited =
      json_answer(429, R"({"error":"RateLimitExceeded"})", {{"RateLimit-Reset", "1790000300"}});
  const auto refused = process_create_session_response(limited, kRigNow);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().retry_after == 300s);
}

TEST_CASE("app password: an answer that breaks the lexicon is refused", "[app_password]") {
  CHECK(created(json_answer(200, "[]")) == "invalid_response app_password.not_json");
  CHECK(created(json_answer(200, "{}")) == "invalid_response app_password.missing_member");
  CHECK(created(json_answer(200, R"({"did":"alice","accessJwt":"a","refreshJwt":"b"})")) ==
        "invalid_response app_password.wrong_type");
  CHECK(created(json_answer(200, R"({"did":"did:web:a.test","refreshJwt":"b"})")) ==
        "invalid_response app_password.missing_member");
  CHECK(created(json_answer(200, R"({"did":"did:web:a.test","accessJwt":"a","refreshJwt":""})")) ==
        "invalid_response app_password.missing_member");
  CHECK(created(json_answer(200, R"({"did":"did:web:a.test","accessJwt":1,"refreshJwt":"b"})")) ==
        "invalid_response app_password.wrong_type");
}

TEST_CASE("SA-19: exp is a moment of the server's clock; the difference to iat is what counts",
          "[app_password]") {
  const auto session = session_of(jwt(R"({"iat":1000,"exp":8200})"));
  REQUIRE(session);
  CHECK(session->expires_at == kRigNow + 2h);
  CHECK(session->subject == kDid);
  CHECK(session->resource_server == kPds);
  CHECK(session->handle == "alice.test");
  CHECK(session->token_type == "Bearer");
  CHECK(session->refresh_token->expose() == "rt");
}

TEST_CASE("app password: a token that does not say when it ends has no expiry", "[app_password]") {
  CHECK_FALSE(session_of("opaque").value().expires_at);
  CHECK_FALSE(session_of(jwt(R"({"exp":8200})")).value().expires_at);
  CHECK_FALSE(session_of(jwt(R"({"iat":8200})")).value().expires_at);
}

TEST_CASE("app password: a token with absurd times is refused", "[app_password]") {
  CHECK(outcome(session_of(jwt(R"({"iat":8200,"exp":8200})"))) ==
        "invalid_response app_password.expiry");
  CHECK(outcome(session_of(jwt(R"({"iat":8200,"exp":1000})"))) ==
        "invalid_response app_password.expiry");
  CHECK(outcome(session_of(jwt(R"({"iat":0,"exp":1790000000})"))) ==
        "invalid_response app_password.expiry");
}
