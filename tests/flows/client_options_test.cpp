// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.flows.code_login;
import latchkey.test.flow_world;
import latchkey.test.outcome;

// What is wrong with a client is said before anything listens or opens.

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string checked(const std::function<void(OAuthClientOptions&)>& change) {
  const FlowWorld w;
  OAuthClientOptions options = w.options();
  change(options);
  return outcome(check_client_options(options));
}

using Options = OAuthClientOptions;

}  // namespace

TEST_CASE("client: what is missing or not allowed is said before anything happens", "[client]") {
  CHECK(checked([](Options&) {}) == "ok");
  CHECK(checked([](Options& o) { o.client_id.clear(); }) ==
        "invalid_argument client.client_id_missing");
  CHECK(checked([](Options& o) { o.server.token_endpoint.clear(); }) ==
        "invalid_argument token.no_endpoint");
  CHECK(checked([](Options& o) { o.scope = "read \n"; }) == "invalid_argument scope.malformed");
  CHECK(checked([](Options& o) { o.extra_parameters = {{"state", "x"}}; }) ==
        "invalid_argument authorization.reserved_parameter");
  CHECK(checked([](Options& o) { o.allowed_origins = {"https://api.test/path"}; }) ==
        "invalid_url url.not_an_origin");
  CHECK(checked([](Options& o) {
          o.proof = ProofRule::required;
          o.vault.reset();
        }) == "invalid_argument client.no_vault");
}

TEST_CASE("client: openid is a decision, not a scope", "[client]") {
  const std::string refused = "invalid_argument client.openid_in_scope";
  CHECK(checked([](Options& o) { o.scope = "openid"; }) == refused);
  CHECK(checked([](Options& o) { o.scope = "email openid profile"; }) == refused);
  CHECK(checked([](Options& o) {
          o.scope = "openid";
          o.validator = std::make_shared<ToldValidator>();
        }) == refused);
  CHECK(checked([](Options& o) { o.scope = "openid_connect OpenID"; }) == "ok");
  const FlowWorld w;
  CHECK(outcome(make_code_request(w.options(), "email openid", "r")) == refused);
}

TEST_CASE("client: an id token needs an issuer to compare with, and max_age an id token",
          "[client]") {
  const auto judge = std::make_shared<ToldValidator>();
  CHECK(checked([&](Options& o) { o.validator = judge; }) == "ok");
  CHECK(checked([&](Options& o) {
          o.validator = judge;
          o.server.issuer.clear();
        }) == "invalid_argument client.issuer_missing");
  CHECK(checked([](Options& o) { o.server.issuer.clear(); }) == "ok");
  CHECK(checked([](Options& o) { o.max_age = std::chrono::seconds(1); }) ==
        "invalid_argument client.max_age");
  CHECK(checked([&](Options& o) {
          o.validator = judge;
          o.max_age = std::chrono::seconds(-1);
        }) == "invalid_argument client.max_age");
}

TEST_CASE("client: no endpoint is called in clear, unless it is here and that is allowed",
          "[client]") {
  const std::string refused = "insecure_address url.not_https";
  CHECK(checked([](Options& o) { o.server.token_endpoint = "http://op.test/t"; }) == refused);
  CHECK(checked([](Options& o) { o.server.authorization_endpoint = "http://op.test/a"; }) ==
        refused);
  CHECK(checked([](Options& o) { o.server.revocation_endpoint = "http://op.test/r"; }) == refused);
  CHECK(checked([](Options& o) {
          o.server.pushed_authorization_request_endpoint = "http://op.test/p";
        }) == refused);
  CHECK(checked([](Options& o) { o.server.token_endpoint = "http://127.0.0.1:1/t"; }) == refused);
  CHECK(checked([](Options& o) {
          o.server.token_endpoint = "http://127.0.0.1:1/t";
          o.http_rule = HttpRule::allow_http_for_loopback;
        }) == "ok");
}

TEST_CASE("RFC 8707: a resource is an absolute URI without a fragment", "[client]") {
  const auto resource = [](std::string uri) {
    return checked([&](Options& o) { o.resources = {uri}; });
  };
  CHECK(resource("https://api.test/v1?x=1") == "ok");
  CHECK(resource("urn:example:cooperation") == "ok");
  for (const std::string bad :
       {"", "api.test", "/v1", "https:", ":x", "1a:x", "https://api.test/#a", "https://a b"}) {
    CAPTURE(bad);
    CHECK(resource(bad) == "invalid_argument client.resource");
  }
}

TEST_CASE("request: openid comes first when id tokens are judged, and a nonce with it",
          "[client]") {
  const FlowWorld w;
  Options options = w.options();
  CHECK(make_code_request(options, "", "r")->scope == "read write");
  CHECK_FALSE(make_code_request(options, "", "r")->openid);
  CHECK(make_code_request(options, "read", "r")->scope == "read");
  options.validator = w.validator;
  CHECK(make_code_request(options, "", "r")->scope == "openid read write");
  CHECK(make_code_request(options, "", "r")->openid);
  options.scope.clear();
  CHECK(make_code_request(options, "", "r")->scope == "openid");
}

TEST_CASE("request: tokens are bound to a key if the server offers ES256 and there is a vault",
          "[client]") {
  FlowWorld w;
  const auto bound = [&](const std::function<void(Options&)>& change) {
    Options options = w.options();
    change(options);
    return make_code_request(options, "", "r")->binding == TokenBinding::dpop;
  };
  CHECK_FALSE(bound([](Options&) {}));
  CHECK(bound([](Options& o) { o.proof = ProofRule::required; }));
  w.offer_dpop();
  CHECK(bound([](Options&) {}));
  CHECK_FALSE(bound([](Options& o) { o.proof = ProofRule::never; }));
  CHECK_FALSE(bound([](Options& o) { o.vault.reset(); }));
  CHECK_FALSE(bound([](Options& o) { o.server.dpop_signing_alg_values_supported = {"RS256"}; }));
}
