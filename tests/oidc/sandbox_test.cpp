// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;
import latchkey.sandbox;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

// Discovery, keys and id tokens over HTTP, from a server whose signatures are not made by the code
// that checks them.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct OpenIdWorld : RegisteredWorld {
  explicit OpenIdWorld(Members metadata = openid_metadata())
      : RegisteredWorld(std::move(metadata)),
        transport(CurlTransport::open({.address_rule = AddressRule::any,
                                       .http_rule = HttpRule::allow_http_for_loopback})
                      .value()),
        provider(discover_openid(*transport, servers->issuer(),
                                 {.http_rule = HttpRule::allow_http_for_loopback})
                     .value()),
        validator(JwksIdTokenValidator::create(
                      {.transport = transport,
                       .clock = clock,
                       .jwks_uri = provider.server.jwks_uri,
                       .algorithms = provider.id_token_signing_alg_values_supported,
                       .http_rule = HttpRule::allow_http_for_loopback})
                      .value()) {}

  // A login's answer.
  WireAnswer log_in(const std::string& nonce = "") {
    const auto client = openid();
    auto form = client->par_form();
    if (!nonce.empty()) form["nonce"] = nonce;
    const auto location =
        exchange(servers->issuer(), "GET", "/oauth/authorize?" + encode(form)).header("Location");
    return client->post("/oauth/token", client->code_form(query_field(location, "code")));
  }
  [[nodiscard]] IdTokenExpectations expectations() const {
    IdTokenExpectations out;
    out.issuer = provider.server.issuer;
    out.client_id = "books app";
    return out;
  }
  Result<IdTokenClaims> check(const std::string& id_token, const IdTokenExpectations& expected) {
    return validator->validate(SecretString(id_token), expected, {});
  }
  Result<IdTokenClaims> check(const std::string& id_token) {
    return check(id_token, expectations());
  }
  [[nodiscard]] std::size_t key_fetches() const {
    std::size_t count = 0;
    for (const auto& request : servers->requests()) count += request.path == "/oauth/jwks";
    return count;
  }

  std::shared_ptr<HttpTransport> transport;
  OpenIdProvider provider;
  std::shared_ptr<IdTokenValidator> validator;
};

}  // namespace

TEST_CASE("sandbox: its configuration is found from its issuer", "[oidc]") {
  const OpenIdWorld world;
  const auto& issuer = world.servers->issuer();
  CHECK(world.provider.server.issuer == issuer);
  CHECK(world.provider.server.jwks_uri == issuer + "/oauth/jwks");
  CHECK(world.provider.userinfo_endpoint == issuer + "/oauth/userinfo");
  CHECK(outcome(discover_server(*world.transport, issuer,
                                {.http_rule = HttpRule::allow_http_for_loopback})) == "ok");
  CHECK(outcome(discover_openid(*world.transport, issuer + "/",
                                {.http_rule = HttpRule::allow_http_for_loopback})) ==
        "invalid_metadata metadata.issuer_mismatch");
  CHECK(outcome(discover_openid(*world.transport, issuer)) == "insecure_address url.not_https");
}

TEST_CASE("sandbox: an id token of a login is good, with nonce and at_hash", "[oidc]") {
  OpenIdWorld world;
  const auto answer = world.log_in("n-1");
  const SecretString access(answer.text("access_token")), other("other");
  auto expected = world.expectations();
  expected.nonce = "n-1";
  expected.access_token = &access;
  expected.max_age = 3600s;
  const auto claims = world.check(answer.text("id_token"), expected).value();
  CHECK(claims.subject == world.alice.did);
  CHECK_FALSE(claims.access_token_hash.empty());
  expected.access_token = &other;
  CHECK(fault(world.check(answer.text("id_token"), expected)) == "id_token.at_hash");
  expected.access_token = &access;
  expected.nonce = "n-2";
  CHECK(fault(world.check(answer.text("id_token"), expected)) == "id_token.nonce");
}

TEST_CASE("sandbox: an id token for another client or issuer is refused", "[oidc]") {
  OpenIdWorld world;
  const auto id_token = world.log_in().text("id_token");
  auto other = world.expectations();
  other.client_id = "films app";
  CHECK(fault(world.check(id_token, other)) == "id_token.audience");
  other = world.expectations();
  other.issuer += '/';
  CHECK(fault(world.check(id_token, other)) == "id_token.issuer");
  world.clock->advance(12min);
  CHECK(fault(world.check(id_token)) == "id_token.expired");
}

TEST_CASE("sandbox: a refreshed id token is of the same person", "[oidc]") {
  OpenIdWorld world;
  const auto client = world.openid();
  const auto first = client->log_in();
  world.clock->advance(1h);
  const auto again =
      client->post("/oauth/token", client->refresh_form(first.text("refresh_token")));
  auto expected = world.expectations();
  expected.subject = world.alice.did;
  CHECK(fault(world.check(again.text("id_token"), expected)) == "");
  expected.subject = "did:plc:somebodyelse";
  CHECK(fault(world.check(again.text("id_token"), expected)) == "id_token.subject");
}

TEST_CASE("sandbox: both of its algorithms are checked", "[oidc]") {
  auto metadata = openid_metadata();
  metadata["id_token_signed_response_alg"] = quoted("ES256");
  OpenIdWorld world(metadata);
  const auto id_token = world.log_in().text("id_token");
  CHECK(fault(world.check(id_token)) == "");
  CHECK(fault(world.check(id_token.substr(0, id_token.size() - 4) + "AAAA")) ==
        "id_token.signature");
}

TEST_CASE("sandbox: rotated keys are fetched once", "[oidc]") {
  OpenIdWorld world;
  const auto first = world.log_in().text("id_token");
  CHECK(fault(world.check(first)) == "");
  CHECK(fault(world.check(first)) == "");
  CHECK(world.key_fetches() == 1);
  world.servers->rotate_signing_keys(10min);
  const auto second = world.log_in().text("id_token");
  CHECK(fault(world.check(second)) == "");
  CHECK(fault(world.check(first)) == "");
  CHECK(fault(world.check(second)) == "");
  CHECK(world.key_fetches() == 2);
}

TEST_CASE("sandbox: keys that were withdrawn sign nothing any more", "[oidc]") {
  OpenIdWorld world;
  const auto stolen = world.log_in().text("id_token");
  CHECK(fault(world.check(stolen)) == "");
  world.servers->rotate_signing_keys(0s);
  CHECK(fault(world.check(world.log_in().text("id_token"))) == "");
  CHECK(fault(world.check(stolen)) == "id_token.key_not_found");
  CHECK(world.key_fetches() == 2);
}
