// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.session;
import latchkey.test.oauth;
import latchkey.test.outcome;

using latchkey::authorization_url;
using latchkey::PendingLogin;
using latchkey::TimePoint;
using latchkey::test::detail_of;
using latchkey::test::field;
using latchkey::test::field_names;
using latchkey::test::typed_answer;

namespace {

PendingLogin pending() {
  PendingLogin login;
  login.state = "the state";
  login.code_verifier = latchkey::SecretString("the-verifier");
  login.issuer = "https://entryway.test.dev";
  login.par_endpoint = "https://entryway.test.dev/oauth/par";
  login.client_id = "http://localhost";
  login.redirect_uri = "http://127.0.0.1:49152/callback";
  login.scope = "atproto transition:generic";
  return login;
}

std::string fault(int status, std::string_view body, std::string_view type = "application/json") {
  const auto result = process_par_response(typed_answer(status, body, type), TimePoint{});
  return result ? "" : result.error().detail;
}

}  // namespace

TEST_CASE("C4.1, C4.2: a pushed request is a form POST with what the profile demands", "[par]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request =
      build_par_request(pending(), "the-challenge", "alice.test.dev", *client).value();
  CHECK(request.method == "POST");
  CHECK(request.url.text() == "https://entryway.test.dev/oauth/par");
  CHECK(*request.headers.find("Content-Type") == "application/x-www-form-urlencoded");
  CHECK(*request.headers.find("Accept") == "application/json");
  CHECK(field(request, "client_id") == "http://localhost");
  CHECK(field(request, "response_type") == "code");
  CHECK(field(request, "code_challenge") == "the-challenge");
  CHECK(field(request, "code_challenge_method") == "S256");
  CHECK(field(request, "state") == "the state");
  CHECK(field(request, "redirect_uri") == "http://127.0.0.1:49152/callback");
  CHECK(field(request, "scope") == "atproto transition:generic");
}

TEST_CASE("C4.3: a pushed request has nothing else, above all not the verifier", "[par]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request = build_par_request(pending(), "the-challenge", "", *client).value();
  CHECK(field_names(request) == std::vector<std::string>{"response_type", "code_challenge",
                                                         "code_challenge_method", "state",
                                                         "redirect_uri", "scope", "client_id"});
  CHECK(request.body.expose().find("the-verifier") == std::string_view::npos);
  CHECK_FALSE(request.authorization);
}

TEST_CASE("C4.10: the login hint is exactly what was typed, or left out", "[par]") {
  const auto client = latchkey::public_client("http://localhost");
  for (const auto* hint :
       {"alice.test.dev", "@Alice.Test.dev", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "a&b=c+d"}) {
    CHECK(field(build_par_request(pending(), "c", hint, *client).value(), "login_hint") == hint);
  }
}

TEST_CASE("C4.7: each attempt carries a new client assertion", "[par]") {
  latchkey::test::AssertingClient client;
  auto login = pending();
  login.client_auth_kid = "kid-1";
  const auto first = build_par_request(login, "c", "", client).value();
  const auto second = build_par_request(login, "c", "", client).value();
  CHECK(field(first, "client_assertion") == "https://entryway.test.dev|kid-1|1");
  CHECK(field(second, "client_assertion") == "https://entryway.test.dev|kid-1|2");
  CHECK(field(first, "state") == field(second, "state"));
}

TEST_CASE("C4.1: without a usable endpoint or client nothing is sent", "[par]") {
  const auto client = latchkey::public_client("http://localhost");
  latchkey::test::KeylessClient keyless;
  auto login = pending();
  CHECK(detail_of(build_par_request(login, "c", "", keyless)) == "client.key_gone");
  login.par_endpoint = "";
  CHECK(detail_of(build_par_request(login, "c", "", *client)) == "par.no_endpoint");
  login.par_endpoint = "http://entryway.test.dev/oauth/par";
  CHECK(detail_of(build_par_request(login, "c", "", *client)) == "url.not_https");
}

TEST_CASE("C4.8: 201 and 200 with a request_uri are answers", "[par]") {
  const int status = GENERATE(200, 201);
  const auto par = process_par_response(
      typed_answer(status,
                   R"({"request_uri":"urn:ietf:params:oauth:request_uri:req-1","expires_in":299})"),
      TimePoint{});
  CHECK(par.value().request_uri == "urn:ietf:params:oauth:request_uri:req-1");
  CHECK(par.value().expires_in == std::chrono::seconds(299));
  CHECK_FALSE(process_par_response(typed_answer(status, R"({"request_uri":"u"})"), TimePoint{})
                  .value()
                  .expires_in);
}

TEST_CASE("C4.8: answers without a clean request_uri are refused", "[par]") {
  CHECK(fault(201, "{}") == "par.missing_member");
  CHECK(fault(201, R"({"request_uri":""})") == "par.missing_member");
  CHECK(fault(201, R"({"request_uri":1})") == "par.wrong_type");
  CHECK(fault(201, R"({"request_uri":"a b"})") == "par.request_uri");
  CHECK(fault(201, R"({"request_uri":"a\nb"})") == "par.request_uri");
  CHECK(fault(201, R"({"request_uri":")" + std::string(2049, 'x') + "\"}") == "par.request_uri");
  CHECK(fault(201, R"({"request_uri":"u","request_uri":"v"})") == "par.duplicate_member");
  CHECK(fault(201, R"({"request_uri":"u","expires_in":"300"})") == "par.wrong_type");
  CHECK(fault(201, R"({"request_uri":"u","expires_in":0})") == "par.expires_in");
  CHECK(fault(201, R"({"request_uri":"u","expires_in":-5})") == "par.expires_in");
  CHECK(fault(201, "request_uri=u") == "par.not_json");
  CHECK(fault(201, R"({"request_uri":"u"})", "text/html") == "par.content_type");
}

TEST_CASE("C4.8: an absurdly long expiry is a day", "[par]") {
  const auto par = process_par_response(
      typed_answer(201, R"({"request_uri":"u","expires_in":1e300})"), TimePoint{});
  CHECK(par.value().expires_in == std::chrono::hours(24));
}

TEST_CASE("C4.8: other statuses are errors", "[par]") {
  CHECK(fault(204, "") == "par.status");
  CHECK(fault(302, R"({"request_uri":"u"})") == "par.status");
  CHECK(fault(400, R"({"error":"invalid_scope"})") == "par.invalid_scope");
  CHECK(fault(400, R"({"error":"use_dpop_nonce"})") == "par.use_dpop_nonce");
  CHECK(fault(503, "") == "par.server_error");
}

TEST_CASE("C4.9: the browser's URL has client_id and request_uri, nothing else", "[par]") {
  const auto url = authorization_url("https://entryway.test.dev/oauth/authorize",
                                     "http://localhost?scope=atproto",
                                     "urn:ietf:params:oauth:request_uri:req-1");
  CHECK(
      url.value().text() ==
      "https://entryway.test.dev/oauth/authorize?client_id=http%3A%2F%2Flocalhost%3Fscope%3Datproto"
      "&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Areq-1");
}

TEST_CASE("C4.9: a query that the endpoint has is kept", "[par]") {
  CHECK(authorization_url("https://a.dev/z?tenant=1", "c", "u").value().text() ==
        "https://a.dev/z?tenant=1&client_id=c&request_uri=u");
  CHECK(authorization_url("https://a.dev?", "c", "u").value().text() ==
        "https://a.dev/?client_id=c&request_uri=u");
}

TEST_CASE("C4.9: a value can't add parameters of its own", "[par]") {
  CHECK(authorization_url("https://a.dev/", "c&x=1", "u#&prompt=none").value().query() ==
        "client_id=c%26x%3D1&request_uri=u%23%26prompt%3Dnone");
}

TEST_CASE("TS-45: a browser is sent to https only, or http on this machine", "[par]") {
  CHECK(authorization_url("http://localhost:2583/z", "c", "u"));
  CHECK_FALSE(authorization_url("http://a.dev/z", "c", "u"));
  CHECK_FALSE(authorization_url("javascript://a.dev/%0aalert(1)", "c", "u"));
  CHECK_FALSE(authorization_url("file:///etc/passwd", "c", "u"));
  CHECK_FALSE(authorization_url("https://a.dev/z#x", "c", "u"));
  CHECK_FALSE(authorization_url("", "c", "u"));
}

TEST_CASE("C4.2: form_post is asked for only when it is wanted", "[par]") {
  const auto client = latchkey::public_client("http://localhost");
  const auto request =
      build_par_request(pending(), "c", "", *client, {}, latchkey::ResponseMode::form_post).value();
  CHECK(field(request, "response_mode") == "form_post");
  auto login = pending();
  login.par_endpoint.clear();
  const auto url = [&](latchkey::ResponseMode mode) {
    return plain_authorization_url("https://entryway.test.dev/a", login, "c", "", {}, mode)
        .value()
        .text();
  };
  CHECK(url(latchkey::ResponseMode::form_post).ends_with("&response_mode=form_post"));
  CHECK(url(latchkey::ResponseMode::query).find("response_mode") == std::string::npos);
}
