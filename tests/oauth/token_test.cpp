// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;
import latchkey.session;
import latchkey.test.oauth;
import latchkey.test.outcome;

using latchkey::ClientAuthMethod;
using latchkey::ErrorCode;
using latchkey::OAuthSession;
using latchkey::PendingLogin;
using latchkey::SecretString;
using latchkey::TimePoint;
using latchkey::TokenAnswer;
using latchkey::test::detail_of;
using latchkey::test::field;
using latchkey::test::field_names;
using latchkey::test::typed_answer;
using nlohmann::json;

namespace {

constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

PendingLogin pending() {
  PendingLogin login;
  login.code_verifier = SecretString("the-verifier");
  login.issuer = "https://entryway.test.dev";
  login.token_endpoint = "https://entryway.test.dev/oauth/token";
  login.redirect_uri = "http://127.0.0.1:49152/callback";
  login.client_auth_kid = "kid-1";
  return login;
}

OAuthSession session() {
  OAuthSession s;
  s.subject = kDid;
  s.issuer = "https://entryway.test.dev";
  s.token_endpoint = "https://entryway.test.dev/oauth/token";
  s.client_auth_kid = "kid-1";
  s.scope = "atproto";
  s.access_token = SecretString("old-access");
  s.refresh_token = SecretString("old refresh&token");
  return s;
}

json full() {
  return {{"access_token", "the-access"},
          {"token_type", "DPoP"},
          {"refresh_token", "the-refresh"},
          {"scope", "atproto transition:generic"},
          {"expires_in", 3599},
          {"sub", kDid}};
}

std::string token_fault(const json& body) {
  const auto result = process_token_response("token", typed_answer(200, body.dump()), TimePoint{});
  if (result) return "";
  CHECK(result.error().code == ErrorCode::invalid_response);
  return result.error().detail;
}

json with(const std::string& name, const json& value) {
  auto body = full();
  body[name] = value;
  return body;
}

json without(const std::string& name) {
  auto body = full();
  body.erase(name);
  return body;
}

std::string refusal(const json& body, std::string_view expected = kDid) {
  const auto answer = process_token_response("token", typed_answer(200, body.dump()), TimePoint{});
  const auto checked = check_atproto_token(answer.value(), expected);
  if (checked) return "";
  CHECK(checked.error().code == ErrorCode::token_invalid);
  return checked.error().detail;
}

}  // namespace

TEST_CASE("C4.12, C5.4: the exchange sends code, verifier, the same redirect_uri and the client",
          "[token]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request = build_code_exchange(pending(), SecretString("the&code"), *client).value();
  CHECK(request.method == "POST");
  CHECK(request.url.text() == "https://entryway.test.dev/oauth/token");
  CHECK(field_names(request) == std::vector<std::string>{"grant_type", "code", "redirect_uri",
                                                         "code_verifier", "client_id"});
  CHECK(field(request, "grant_type") == "authorization_code");
  CHECK(field(request, "code") == "the&code");
  CHECK(field(request, "redirect_uri") == "http://127.0.0.1:49152/callback");
  CHECK(field(request, "code_verifier") == "the-verifier");
  CHECK(field(request, "client_id") == "http://localhost");
  CHECK(*request.headers.find("Accept") == "application/json");
}

TEST_CASE("C5.4: a confidential client adds a fresh assertion to each exchange", "[token]") {
  latchkey::test::AssertingClient client;
  const auto first = build_code_exchange(pending(), SecretString("c"), client).value();
  const auto second = build_code_exchange(pending(), SecretString("c"), client).value();
  CHECK(field(first, "client_assertion") == "https://entryway.test.dev|kid-1|1");
  CHECK(field(second, "client_assertion") == "https://entryway.test.dev|kid-1|2");
}

TEST_CASE("C5.4: no secret stands in a URL or a header", "[token]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto exchange = build_code_exchange(pending(), SecretString("the-code"), *client).value();
  const auto refresh = build_refresh_request(session(), *client).value();
  CHECK_FALSE(exchange.url.has_query());
  CHECK_FALSE(refresh.url.has_query());
  CHECK_FALSE(exchange.authorization);
  CHECK_FALSE(refresh.authorization);
  for (const auto* request : {&exchange, &refresh}) {
    for (const auto& [name, value] : request->headers.fields()) {
      CHECK(value.find("the-code") == std::string::npos);
      CHECK(value.find("old refresh") == std::string::npos);
    }
  }
}

TEST_CASE("C5.4: without a usable endpoint or key there is no exchange", "[token]") {
  const auto client = latchkey::public_client("http://localhost");
  latchkey::test::KeylessClient keyless;
  auto login = pending();
  CHECK(detail_of(build_code_exchange(login, SecretString("c"), keyless)) == "client.key_gone");
  login.token_endpoint = "http://entryway.test.dev/oauth/token";
  CHECK(detail_of(build_code_exchange(login, SecretString("c"), *client)) == "url.not_https");
  login.token_endpoint = "";
  CHECK(detail_of(build_code_exchange(login, SecretString("c"), *client)) == "token.no_endpoint");
}

TEST_CASE("C7.4: a refresh sends grant_type, refresh_token and the client", "[token]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request = build_refresh_request(session(), *client).value();
  CHECK(request.method == "POST");
  CHECK(request.url.text() == "https://entryway.test.dev/oauth/token");
  CHECK(field_names(request) ==
        std::vector<std::string>{"grant_type", "refresh_token", "client_id"});
  CHECK(field(request, "grant_type") == "refresh_token");
  CHECK(field(request, "refresh_token") == "old refresh&token");
}

TEST_CASE("C7.3: a refresh is signed with the session's own key, not the newest", "[token]") {
  latchkey::test::AssertingClient client;
  auto s = session();
  s.client_auth_method = ClientAuthMethod::private_key_jwt;
  const auto request = build_refresh_request(s, client).value();
  CHECK(field(request, "client_assertion") == "https://entryway.test.dev|kid-1|1");
}

TEST_CASE("C7.3: a session is not renewed with another client authentication", "[token]") {
  latchkey::test::AssertingClient asserting;
  const auto request = build_refresh_request(session(), asserting);
  REQUIRE_FALSE(request);
  CHECK(request.error().code == ErrorCode::client_mismatch);
  CHECK(request.error().detail == "refresh.auth_method");
  auto s = session();
  s.client_auth_method = ClientAuthMethod::private_key_jwt;
  CHECK_FALSE(build_refresh_request(s, *latchkey::public_client("http://localhost")));
  latchkey::test::KeylessClient keyless;
  CHECK(detail_of(build_refresh_request(s, keyless)) == "client.key_gone");
}

TEST_CASE("C7.4: without a refresh token a login is required", "[token]") {
  const auto client = latchkey::public_client("http://localhost");
  auto s = session();
  s.refresh_token = SecretString("");
  CHECK(detail_of(build_refresh_request(s, *client)) == "refresh.no_refresh_token");
  s.refresh_token = std::nullopt;
  const auto request = build_refresh_request(s, *client);
  REQUIRE_FALSE(request);
  CHECK(request.error().code == ErrorCode::login_required);
  CHECK(request.error().detail == "refresh.no_refresh_token");
}

TEST_CASE("token: a whole answer is read", "[token]") {
  auto body = full();
  body["id_token"] = "a.b.c";
  body["unknown"] = {1, 2};
  const auto answer =
      process_token_response("token", typed_answer(200, body.dump()), TimePoint{}).value();
  CHECK(answer.access_token.expose() == std::string("the-access"));
  CHECK(answer.token_type == "DPoP");
  CHECK(answer.refresh_token->expose() == std::string("the-refresh"));
  CHECK(answer.id_token->expose() == std::string("a.b.c"));
  CHECK(answer.expires_in == std::chrono::seconds(3599));
  CHECK(answer.scope == "atproto transition:generic");
  CHECK(answer.sub == kDid);
}

TEST_CASE("token: the smallest answer is read, what is absent stays absent", "[token]") {
  const auto answer =
      process_token_response(
          "token", typed_answer(200, R"({"access_token":"a","token_type":"Bearer"})"), TimePoint{})
          .value();
  CHECK_FALSE(answer.refresh_token);
  CHECK_FALSE(answer.id_token);
  CHECK_FALSE(answer.expires_in);
  CHECK_FALSE(answer.scope);
  CHECK(answer.sub.empty());
}

TEST_CASE("token: access_token and token_type are required", "[token]") {
  CHECK(token_fault(without("access_token")) == "token.missing_member");
  CHECK(token_fault(without("token_type")) == "token.missing_member");
  CHECK(token_fault(with("token_type", "")) == "token.missing_member");
  CHECK(token_fault(json::object()) == "token.missing_member");
}

TEST_CASE("token: every member of another type is refused", "[token]") {
  for (const auto* name :
       {"access_token", "token_type", "refresh_token", "id_token", "scope", "sub"}) {
    for (const auto& value :
         {json(nullptr), json(1), json(true), json::array({"x"}), json::object()}) {
      CAPTURE(name, value.dump());
      CHECK(token_fault(with(name, value)) == "token.wrong_type");
    }
  }
  for (const auto& value : {json(nullptr), json("3600"), json(true), json::array({1})}) {
    CHECK(token_fault(with("expires_in", value)) == "token.wrong_type");
  }
}

TEST_CASE("token: tokens that no header may carry are refused", "[token]") {
  for (const auto* name : {"access_token", "refresh_token", "id_token"}) {
    for (const auto& value :
         {std::string(), std::string("a b"), std::string("a\r\nX: y"), std::string("a\tb"),
          std::string("caf\xC3\xA9"), std::string("a\0b", 3), std::string("a\x7f"),
          std::string(32 * 1024 + 1, 'a')}) {
      CAPTURE(name, value.size());
      CHECK(token_fault(with(name, value)) == "token.bad_token");
    }
    CHECK(token_fault(with(name, std::string(32 * 1024, 'a'))).empty());
  }
  CHECK(token_fault(with("token_type", "DPoP x")) == "token.bad_token");
  CHECK(token_fault(with("token_type", std::string(65, 'a'))) == "token.bad_token");
}

TEST_CASE("LA-36: expires_in is a number of seconds, from one to 366 days", "[token]") {
  const auto seconds = [](const json& value) {
    return process_token_response("token", typed_answer(200, with("expires_in", value).dump()),
                                  TimePoint{})
        .value()
        .expires_in;
  };
  CHECK(seconds(1) == std::chrono::seconds(1));
  CHECK(seconds(3599.9) == std::chrono::seconds(3599));
  CHECK(seconds(366 * 86400) == std::chrono::hours(366 * 24));
  for (const auto& value :
       {json(0), json(-1), json(0.5), json(366 * 86400 + 1), json(1e300), json(-1e300),
        json(9223372036854775807), json(18446744073709551615ULL)}) {
    CAPTURE(value.dump());
    CHECK(token_fault(with("expires_in", value)) == "token.expires_in");
  }
}

TEST_CASE("token: only status 200 with one JSON object is an answer", "[token]") {
  const auto fault = [](int status, std::string_view body,
                        std::string_view type = "application/json") {
    return detail_of(
        process_token_response("refresh", typed_answer(status, body, type), TimePoint{}));
  };
  const auto good = full().dump();
  CHECK(fault(201, good) == "refresh.status");
  CHECK(fault(204, "") == "refresh.status");
  CHECK(fault(302, good) == "refresh.status");
  CHECK(fault(500, good) == "refresh.server_error");
  CHECK(fault(429, good) == "refresh.rate_limited");
  CHECK(fault(200, "<p>" + good, "text/html") == "refresh.content_type");
  CHECK(fault(200, "", "") == "refresh.content_type");
  CHECK(fault(200, "") == "refresh.not_json");
  CHECK(fault(200, "access_token=a&token_type=Bearer") == "refresh.not_json");
  CHECK(fault(200, "[" + good + "]") == "refresh.not_json");
  CHECK(fault(200, good + good) == "refresh.not_json");
  CHECK(fault(200, good.substr(0, good.size() - 1)) == "refresh.not_json");
  CHECK(fault(200, R"({"access_token":"a","access_token":"a","token_type":"DPoP"})") ==
        "refresh.duplicate_member");
}

TEST_CASE("token: tokens under a wrong content type are not thrown away", "[token]") {
  for (const auto* type : {"text/html", "text/plain;charset=utf-8", ""}) {
    INFO(type);
    const auto answer =
        process_token_response("refresh", typed_answer(200, full().dump(), type), TimePoint{});
    REQUIRE(answer);
    CHECK(answer->access_token.expose() == full()["access_token"].get<std::string>());
  }
}

TEST_CASE("token: the server's OAuth error is told, with 200 too", "[token]") {
  for (const int status : {200, 400}) {
    const auto answer = process_token_response(
        "refresh", typed_answer(status, R"({"error":"invalid_grant"})"), TimePoint{});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::invalid_grant);
    CHECK(answer.error().detail == "refresh.invalid_grant");
  }
}

TEST_CASE("token: errors never show a token", "[token]") {
  for (const auto& body : {with("expires_in", "x"), with("id_token", "a b"), without("token_type"),
                           with("refresh_token", 1), with("scope", nullptr)}) {
    const auto answer =
        process_token_response("token", typed_answer(200, body.dump()), TimePoint{});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().message.find("the-access") == std::string::npos);
    CHECK(answer.error().message.find("the-refresh") == std::string::npos);
  }
}

TEST_CASE("C5.5: only token_type DPoP is accepted, in any case", "[token]") {
  CHECK(refusal(with("token_type", "DPoP")).empty());
  CHECK(refusal(with("token_type", "dpop")).empty());
  CHECK(refusal(with("token_type", "DPOP")).empty());
  CHECK(refusal(with("token_type", "Bearer")) == "token.type");
  CHECK(refusal(with("token_type", "DPoPs")) == "token.type");
  CHECK(refusal(with("token_type", "mac")) == "token.type");
}

TEST_CASE("C5.6: a sub that is a DID is required", "[token]") {
  CHECK(refusal(without("sub")) == "token.sub_missing");
  CHECK(refusal(with("sub", "")) == "token.sub_missing");
  for (const auto* sub : {"alice.test.dev", "did:", "did:plc:short", "did:key:z6Mk",
                          "DID:plc:ewvi7nxzyoun6zhxrhs64oiz", " did:plc:ewvi7nxzyoun6zhxrhs64oiz",
                          "did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"}) {
    CAPTURE(sub);
    CHECK(refusal(with("sub", sub)) == "token.sub_malformed");
    CHECK(refusal(with("sub", sub), "") == "token.sub_malformed");
  }
}

TEST_CASE("C5.7, C7.6: another account than the one that began is refused", "[token]") {
  CHECK(refusal(full(), "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa") == "token.sub_mismatch");
  CHECK(refusal(full(), "did:web:alice.test.dev") == "token.sub_mismatch");
  CHECK(refusal(full()).empty());
}

TEST_CASE("C5.8: a server start accepts any DID here", "[token]") {
  CHECK(refusal(full(), "").empty());
  CHECK(refusal(with("sub", "did:web:alice.test.dev"), "").empty());
}

TEST_CASE(
    "C5.9, C7.6: a granted scope with atproto is required, the requested one is never assumed",
    "[token]") {
  CHECK(refusal(without("scope")) == "token.scope_missing");
  CHECK(refusal(with("scope", "")) == "token.scope_missing");
  CHECK(refusal(with("scope", "transition:generic")) == "token.scope_without_atproto");
  CHECK(refusal(with("scope", "Atproto")) == "token.scope_without_atproto");
  CHECK(refusal(with("scope", "atproto2 x")) == "token.scope_without_atproto");
  CHECK(refusal(with("scope", "atproto  x")) == "token.scope_without_atproto");
  CHECK(refusal(with("scope", "atproto")).empty());
}

TEST_CASE("C5.10: an id token that nobody asked for is refused", "[token]") {
  CHECK(refusal(with("id_token", "a.b.c")) == "token.unexpected_id_token");
}

TEST_CASE("C5.12, G-19: more than a day of validity is refused, none is not", "[token]") {
  CHECK(refusal(with("expires_in", 86'400)).empty());
  CHECK(refusal(with("expires_in", 86'401)) == "token.expires_in");
  CHECK(refusal(without("expires_in")).empty());
}
