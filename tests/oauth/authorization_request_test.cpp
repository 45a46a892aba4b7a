// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oauth.token;
import latchkey.session;
import latchkey.test.oauth;
import latchkey.test.outcome;

// What an authorization request asks for, pushed or in the URL, and what a program may add.

using namespace latchkey;
using namespace latchkey::test;

namespace {

PendingLogin pending() {
  PendingLogin login;
  login.state = "the state";
  login.code_verifier = SecretString("the-verifier");
  login.issuer = "https://as.test";
  login.par_endpoint = "https://as.test/par";
  login.token_endpoint = "https://as.test/token";
  login.client_id = "my&client";
  login.redirect_uri = "http://127.0.0.1:4321/callback";
  login.scope = "openid email";
  login.nonce = "the nonce";
  login.max_age = std::chrono::seconds(0);
  login.resources = {"https://api.test/v1", "urn:example:cooperation"};
  return login;
}

FormFields query_of(const Result<Url>& url) {
  return form_decode(url.value().query()).value();
}

constexpr std::string_view kPage = "https://as.test/authorize";

const FormFields kWanted{{"client_id", "my&client"},
                         {"response_type", "code"},
                         {"code_challenge", "the-challenge"},
                         {"code_challenge_method", "S256"},
                         {"state", "the state"},
                         {"redirect_uri", "http://127.0.0.1:4321/callback"},
                         {"scope", "openid email"},
                         {"nonce", "the nonce"},
                         {"max_age", "0"},
                         {"resource", "https://api.test/v1"},
                         {"resource", "urn:example:cooperation"},
                         {"login_hint", "alice"},
                         {"prompt", "consent"}};

}  // namespace

TEST_CASE("plain request: the URL has every parameter once, and each resource", "[authorization]") {
  const auto url =
      plain_authorization_url(kPage, pending(), "the-challenge", "alice", {{"prompt", "consent"}});
  CHECK(query_of(url) == kWanted);
  CHECK(url->origin() == "https://as.test");
  CHECK(url->path() == "/authorize");
}

TEST_CASE("plain request: the verifier is not in the URL, nor is what was not asked for",
          "[authorization]") {
  PendingLogin login = pending();
  login.scope = login.nonce = "";
  login.max_age.reset();
  login.resources.clear();
  const auto url = plain_authorization_url(kPage, login, "the-challenge", "");
  CHECK(url.value().text().find("the-verifier") == std::string::npos);
  std::vector<std::string> names;
  for (const auto& [name, value] : query_of(url)) names.push_back(name);
  CHECK(names == std::vector<std::string>{"client_id", "response_type", "code_challenge",
                                          "code_challenge_method", "state", "redirect_uri"});
}

TEST_CASE("plain request: a query that the endpoint has already is kept", "[authorization]") {
  const auto url = plain_authorization_url("https://as.test/authorize?tenant=a%20b", pending(),
                                           "the-challenge", "alice", {{"prompt", "consent"}});
  CHECK(url.value().query().starts_with("tenant=a%20b&client_id="));
  const auto bare = plain_authorization_url("https://as.test/authorize?", pending(), "c", "");
  CHECK(bare.value().query().starts_with("client_id="));
}

TEST_CASE("RFC 9449 10: a code that will be bound to a key says so, but not in a pushed request",
          "[authorization]") {
  PendingLogin login = pending();
  login.dpop_jkt = "the-jkt";
  const auto fields = query_of(plain_authorization_url(kPage, login, "c", ""));
  CHECK(*form_value(fields, "dpop_jkt").value() == "the-jkt");
  const auto client = public_client(login.client_id);
  const auto pushed = build_par_request(login, "c", "", *client).value();
  CHECK(form_value(form_of(pushed), "dpop_jkt").value() == nullptr);
}

TEST_CASE("pushed request: it has what the URL would have had", "[authorization]") {
  const auto client = public_client("my&client");
  const auto request =
      build_par_request(pending(), "the-challenge", "alice", *client, {{"prompt", "consent"}})
          .value();
  FormFields sent = form_of(request);
  std::rotate(sent.begin(), sent.end() - 1, sent.end());  // the client adds itself last
  CHECK(sent == kWanted);
}

TEST_CASE("RFC 8707: the exchange and a refresh name the resources", "[authorization]") {
  const auto client = public_client("my&client");
  const auto exchange = build_code_exchange(pending(), SecretString("code"), *client).value();
  std::vector<std::string> resources;
  for (const auto& [name, value] : form_of(exchange)) {
    if (name == "resource") resources.push_back(value);
  }
  CHECK(resources == pending().resources);
  OAuthSession session;
  session.token_endpoint = "https://as.test/token";
  session.refresh_token = SecretString("refresh");
  CHECK(field(build_refresh_request(session, *client, {"https://api.test"}).value(), "resource") ==
        "https://api.test");
  CHECK(form_value(form_of(build_refresh_request(session, *client).value()), "resource").value() ==
        nullptr);
}

TEST_CASE("LA-08: a parameter that the login sets itself is refused, not dropped",
          "[authorization]") {
  const std::string name =
      GENERATE(as<std::string>{}, "response_type", "response_mode", "client_id", "redirect_uri",
               "state", "code_challenge", "code_challenge_method", "nonce", "scope", "max_age",
               "request", "request_uri", "resource", "dpop_jkt", "code_verifier", "client_secret",
               "client_assertion", "client_assertion_type");
  CAPTURE(name);
  const FormFields extra{{"prompt", "login"}, {name, "x"}};
  const std::string refused = "invalid_argument authorization.reserved_parameter";
  const auto client = public_client("c");
  CHECK(outcome(check_extra_parameters(extra)) == refused);
  CHECK(outcome(plain_authorization_url(kPage, pending(), "c", "", extra)) == refused);
  CHECK(outcome(build_par_request(pending(), "c", "", *client, extra)) == refused);
}

TEST_CASE("LA-08: other parameters pass, whatever they are called", "[authorization]") {
  CHECK(outcome(check_extra_parameters({})) == "ok");
  CHECK(outcome(check_extra_parameters({{"prompt", "none"},
                                        {"acr_values", "a b"},
                                        {"access_type", "offline"},
                                        {"Scope", "is another word"},
                                        {"login_hint", "alice"},
                                        {"claims", "{\"id_token\":{}}"},
                                        {"empty", ""}})) == "ok");
}

TEST_CASE("extra parameters: names that are none, and names given twice, are refused",
          "[authorization]") {
  CHECK(outcome(check_extra_parameters({{"", "x"}})) ==
        "invalid_argument authorization.parameter_name");
  CHECK(outcome(check_extra_parameters({{"two words", "x"}})) ==
        "invalid_argument authorization.parameter_name");
  CHECK(outcome(check_extra_parameters({{"line\nbreak", "x"}})) ==
        "invalid_argument authorization.parameter_name");
  CHECK(outcome(check_extra_parameters({{std::string(129, 'n'), "x"}})) ==
        "invalid_argument authorization.parameter_name");
  CHECK(outcome(check_extra_parameters({{"prompt", "x"}, {"display", "y"}, {"prompt", "x"}})) ==
        "invalid_argument authorization.duplicate_parameter");
}

TEST_CASE("plain request: a page that is no https address is not opened", "[authorization]") {
  CHECK(outcome(plain_authorization_url("", pending(), "c", "")) ==
        "invalid_argument authorization.no_endpoint");
  CHECK(outcome(plain_authorization_url("http://as.test/a", pending(), "c", "")) ==
        "insecure_address url.not_https");
  CHECK(outcome(plain_authorization_url("javascript:alert(1)", pending(), "c", "")) ==
        "invalid_url url.malformed");
  CHECK(outcome(plain_authorization_url("https://as.test/a#b", pending(), "c", "")) ==
        "invalid_url authorization.endpoint_fragment");
}

namespace {

std::string judged(const PendingLogin& login, std::string_view iss) {
  return outcome(process_callback("state=the+state&code=c" + std::string(iss), login));
}

}  // namespace

TEST_CASE("RFC 9207: a login that does not require iss takes a callback without one",
          "[authorization]") {
  PendingLogin login = pending();
  CHECK(judged(login, "") == "callback_invalid callback.iss_missing");
  login.iss_required = false;
  CHECK(judged(login, "") == "ok");
  CHECK(process_callback("state=the+state&code=c", login).value().iss.empty());
}

TEST_CASE("RFC 9207: an iss that is there must be right, whether it is required or not",
          "[authorization]") {
  PendingLogin login = pending();
  login.iss_required = GENERATE(true, false);
  CHECK(judged(login, "&iss=https://as.test") == "ok");
  for (const std::string wrong : {"&iss=", "&iss=https://as.test/", "&iss=https://evil.test"}) {
    CHECK(judged(login, wrong) == "callback_invalid callback.iss_mismatch");
  }
}

TEST_CASE("RFC 9207: of a server whose issuer is not known, iss says nothing", "[authorization]") {
  PendingLogin login = pending();
  login.issuer = "";
  login.iss_required = false;
  CHECK(judged(login, "&iss=https://as.test") == "ok");
  login.iss_required = true;
  CHECK(judged(login, "&iss=https://as.test") == "callback_invalid callback.iss_mismatch");
}
