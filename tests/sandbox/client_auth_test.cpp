// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.rsa_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string rs256_header() {
  return to_json({{"alg", quoted("RS256")}, {"kid", quoted("rsa")}});
}

}  // namespace

TEST_CASE("private_key_jwt: a backend logs in, refreshes and revokes", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const auto tokens = client->log_in();
  REQUIRE(tokens.outcome() == "200 ");
  CHECK(tokens.text("sub") == world.alice.did);
  const auto again =
      client->post("/oauth/token", client->refresh_form(tokens.text("refresh_token")));
  REQUIRE(again.outcome() == "200 ");
  CHECK(client->call("GET", "/xrpc/com.atproto.server.getSession", again.text("access_token"))
            .status == 200);
  CHECK(client
            ->post("/oauth/revoke",
                   {{"client_id", client->client_id}, {"token", again.text("refresh_token")}})
            .status == 200);
  CHECK(world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("private_key_jwt: each wrong assertion is refused for its own reason", "[sandbox]") {
  struct Case {
    const char* detail;
    std::function<void(Members& header, Members& claims)> spoil;
  };
  RegisteredWorld world;
  const auto client = world.backend();
  const auto now = world.now();
  const std::vector<Case> cases{
      {"assertion_alg", [](Members& h, Members&) { h["alg"] = quoted("none"); }},
      {"assertion_alg", [](Members& h, Members&) { h["alg"] = quoted("HS256"); }},
      {"assertion_alg", [](Members& h, Members&) { h["alg"] = quoted("RS256"); }},
      {"assertion_alg", [](Members& h, Members&) { h.erase("alg"); }},
      {"assertion_crit", [](Members& h, Members&) { h["crit"] = R"(["b64"])"; }},
      {"assertion_kid", [](Members& h, Members&) { h["kid"] = quoted("two"); }},
      {"assertion_kid", [](Members& h, Members&) { h.erase("kid"); }},
      {"assertion_claims", [](Members&, Members& c) { c.erase("iss"); }},
      {"assertion_claims", [](Members&, Members& c) { c.erase("sub"); }},
      {"assertion_claims", [](Members&, Members& c) { c.erase("jti"); }},
      {"assertion_claims", [](Members&, Members& c) { c["jti"] = quoted(std::string(513, 'j')); }},
      {"assertion_claims", [](Members&, Members& c) { c.erase("iat"); }},
      {"assertion_claims", [](Members&, Members& c) { c.erase("exp"); }},
      {"assertion_claims", [](Members&, Members& c) { c["exp"] = "9223372036854775807"; }},
      {"assertion_claims", [](Members&, Members& c) { c["iat"] = quoted("now"); }},
      {"assertion_iss", [](Members&, Members& c) { c["iss"] = quoted("https://other.example/"); }},
      {"assertion_iss", [](Members&, Members& c) { c["sub"] = quoted("alice"); }},
      {"assertion_aud", [](Members&, Members& c) { c.erase("aud"); }},
      {"assertion_aud", [](Members&, Members& c) { c["aud"] = quoted("https://other.example"); }},
      {"assertion_aud",
       [&](Members&, Members& c) { c["aud"] = quoted(world.servers->issuer() + '/'); }},
      {"assertion_aud",
       [&](Members&, Members& c) { c["aud"] = quoted(world.servers->issuer() + "/oauth/par"); }},
      {"assertion_aud",
       [&](Members&, Members& c) { c["aud"] = '[' + quoted(world.servers->issuer()) + ']'; }},
      {"assertion_expired", [&](Members&, Members& c) { c["exp"] = std::to_string(now); }},
      {"assertion_expired",
       [&](Members&, Members& c) {
         c["iat"] = std::to_string(now - 62);
         c["exp"] = std::to_string(now + 1);
       }},
      {"assertion_future",
       [&](Members&, Members& c) {
         c["iat"] = std::to_string(now + 32);
         c["exp"] = std::to_string(now + 60);
       }},
      {"assertion_lifetime", [&](Members&, Members& c) { c["exp"] = std::to_string(now + 61); }},
  };
  for (const auto& one : cases) {
    client->authenticate = [&](Form& form) {
      auto header = assertion_header();
      auto claims = assertion_claims(kWebClient, world.servers->issuer(), now);
      one.spoil(header, claims);
      add_assertion(form, world.key.sign(header, claims));
    };
    INFO(one.detail);
    CHECK(client->post("/oauth/par", client->par_form()).outcome() == "400 invalid_client");
    CHECK(world.last_detail() == std::string("par.") + one.detail);
  }
}

TEST_CASE("private_key_jwt: what is no assertion of the client's does not help", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const auto refused = [&](const std::string& detail, std::function<void(Form&)> authenticate) {
    client->authenticate = std::move(authenticate);
    CHECK(client->post("/oauth/par", client->par_form()).outcome() == "400 invalid_client");
    CHECK(world.last_detail() == "par." + detail);
  };
  const auto claims = [&] {
    return assertion_claims(kWebClient, world.servers->issuer(), world.now());
  };
  const ProofKey other;
  refused("client_authentication", [](Form&) {});
  refused("client_authentication", [](Form& f) { f["client_secret"] = "s"; });
  refused("client_authentication", [&](Form& f) {
    add_assertion(f, world.key.sign(assertion_header(), claims()));
    f["client_secret"] = "s";
  });
  refused("assertion_type",
          [&](Form& f) { f["client_assertion"] = world.key.sign(assertion_header(), claims()); });
  refused("assertion_malformed", [](Form& f) { add_assertion(f, "a.b.c"); });
  refused("assertion_malformed", [](Form& f) { add_assertion(f, "e30.e30"); });
  refused("assertion_signature",
          [&](Form& f) { add_assertion(f, other.sign(assertion_header(), claims())); });
  refused("assertion_signature", [&](Form& f) {
    const auto jws = world.key.sign(assertion_header(), claims());
    add_assertion(f, jws.substr(0, jws.rfind('.') + 1));
  });
}

TEST_CASE("private_key_jwt: an assertion is good once, at whatever endpoint", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const auto refresh_token = client->log_in().text("refresh_token");
  const std::string jws = world.key.sign(
      assertion_header(), assertion_claims(kWebClient, world.servers->issuer(), world.now()));
  client->authenticate = [&](Form& form) { add_assertion(form, jws); };
  CHECK(client->post("/oauth/par", client->par_form()).status == 201);
  for (const auto& [path, form] : std::vector<std::pair<std::string, Form>>{
           {"/oauth/par", client->par_form()},
           {"/oauth/token", client->refresh_form(refresh_token)},
           {"/oauth/device", {{"client_id", client->client_id}, {"scope", "atproto"}}},
           {"/oauth/revoke", {{"client_id", client->client_id}, {"token", refresh_token}}}}) {
    INFO(path);
    CHECK(client->post(path, form).outcome() == "400 invalid_client");
    CHECK(world.last_detail().find(".assertion_replayed") != std::string::npos);
  }
  CHECK(world.servers->live_sessions("alice.test") == 1);
}

TEST_CASE("private_key_jwt: a missing nonce does not use the assertion up", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const std::string jws = world.key.sign(
      assertion_header(), assertion_claims(kWebClient, world.servers->issuer(), world.now()));
  client->authenticate = [&](Form& form) { add_assertion(form, jws); };
  CHECK(client->nonces.empty());
  CHECK(client->post("/oauth/par", client->par_form()).status == 201);
}

TEST_CASE("private_key_jwt: the key of DPoP proofs must be another", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  REQUIRE(world.register_client(confidential_metadata(client->key)) == "");
  client->authenticate = [&](Form& form) {
    add_assertion(
        form, client->key.sign(assertion_header(),
                               assertion_claims(kWebClient, world.servers->issuer(), world.now())));
  };
  CHECK(client->post("/oauth/par", client->par_form()).outcome() == "400 invalid_client");
  CHECK(world.last_detail() == "par.assertion_dpop_key");
}

TEST_CASE("private_key_jwt: RS256 is good where the client declares it", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const RsaKey rsa;
  auto metadata = confidential_metadata(world.key);
  metadata["token_endpoint_auth_signing_alg"] = quoted("RS256");
  metadata["jwks"] =
      R"({"keys":[)" + with_kid(rsa.jwk(), "rsa") + ',' + with_kid(world.key.jwk(), "one") + "]}";
  REQUIRE(world.register_client(metadata) == "");
  CHECK(client->post("/oauth/par", client->par_form()).outcome() == "400 invalid_client");
  CHECK(world.last_detail() == "par.assertion_alg");
  const auto send = [&](const RsaKey& with) {
    client->authenticate = [&](Form& form) {
      add_assertion(
          form, with.sign(rs256_header(), to_json(assertion_claims(
                                              kWebClient, world.servers->issuer(), world.now()))));
    };
    return client->post("/oauth/par", client->par_form()).outcome();
  };
  CHECK(send(RsaKey()) == "400 invalid_client");
  CHECK(world.last_detail() == "par.assertion_signature");
  CHECK(send(rsa) == "201 ");
}

TEST_CASE("private_key_jwt: a session stays with the key of its login", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  const auto old_way = client->authenticate;
  const auto form = client->refresh_form(client->log_in().text("refresh_token"));
  const auto code_form = client->code_form(client->code());

  const ProofKey fresh;
  auto metadata = confidential_metadata(world.key);
  metadata["jwks"] =
      R"({"keys":[)" + with_kid(fresh.jwk(), "two") + ',' + with_kid(world.key.jwk(), "one") + "]}";
  REQUIRE(world.register_client(metadata) == "");
  client->authenticate = [&](Form& sent) {
    add_assertion(sent,
                  fresh.sign(assertion_header("two"),
                             assertion_claims(kWebClient, world.servers->issuer(), world.now())));
  };
  CHECK(client->post("/oauth/token", form).outcome() == "400 invalid_grant");
  CHECK(world.last_detail() == "refresh.wrong_client_key");
  CHECK(client->post("/oauth/token", code_form).outcome() == "400 invalid_grant");
  CHECK(world.last_detail() == "code.wrong_client_key");

  // The old key leaves the jwks: nothing that it sends counts, and nothing is used up.
  REQUIRE(world.register_client(confidential_metadata(fresh, "two")) == "");
  client->authenticate = old_way;
  CHECK(client->post("/oauth/token", form).outcome() == "400 invalid_client");
  CHECK(world.last_detail() == "token.assertion_kid");
  // The same kid with another key is another key.
  REQUIRE(world.register_client(confidential_metadata(fresh, "one")) == "");
  client->authenticate = [&](Form& sent) {
    add_assertion(sent,
                  fresh.sign(assertion_header(),
                             assertion_claims(kWebClient, world.servers->issuer(), world.now())));
  };
  CHECK(client->post("/oauth/token", form).outcome() == "400 invalid_grant");
  CHECK(world.last_detail() == "refresh.wrong_client_key");

  REQUIRE(world.register_client(metadata) == "");
  client->authenticate = old_way;
  CHECK(client->post("/oauth/token", form).outcome() == "200 ");
}

TEST_CASE("prompt=none is for clients that authenticate themselves", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.backend();
  auto form = client->par_form();
  form["prompt"] = "none";
  CHECK(client->post("/oauth/par", form).outcome() == "201 ");
}

TEST_CASE("the page may lead to a private-use scheme where the client has one", "[sandbox]") {
  RegisteredWorld world;
  auto metadata = confidential_metadata(world.key);
  metadata["application_type"] = quoted("native");
  metadata["token_endpoint_auth_method"] = quoted("none");
  metadata["redirect_uris"] = R"(["com.example.app:/callback"])";
  for (const char* name : {"jwks", "token_endpoint_auth_signing_alg"}) metadata.erase(name);
  REQUIRE(world.register_client(metadata) == "");
  world.servers->set_auto_approve("alice.test", false);
  WireClient client(*world.servers);
  client.client_id = kWebClient;
  client.redirect_uri = "com.example.app:/callback";
  const auto pushed = client.post("/oauth/par", client.par_form()).text("request_uri");
  const auto page = exchange(world.servers->issuer(), "GET", client.authorize_target(pushed));
  CHECK(page.header("Content-Security-Policy").find("form-action 'self' com.example.app:") !=
        std::string::npos);
  world.servers->set_auto_approve("alice.test", true);
  CHECK(client.log_in().outcome() == "200 ");
}

TEST_CASE("client_secret_basic: the right secret, in the header and nowhere else", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto outcome = [&](Form form = {}) {
    auto all = client->par_form();
    all.merge(form);
    return client->post("/oauth/par", all).outcome();
  };
  CHECK(outcome() == "201 ");
  const auto right = client->extra_headers;
  client->extra_headers = basic(client->client_id, "wrong");
  const auto refused = client->post("/oauth/par", client->par_form());
  CHECK(refused.outcome() == "401 invalid_client");
  CHECK(refused.header("WWW-Authenticate") == "Basic realm=\"sandbox\"");
  CHECK(world.last_detail() == "par.client_secret");
  client->extra_headers = basic(client->client_id, "");
  CHECK(outcome() == "401 invalid_client");
  client->extra_headers = basic("other app");
  CHECK(outcome() == "400 invalid_request");
  CHECK(world.last_detail() == "par.client_id_differs");
  client->extra_headers = right;
  client->extra_headers.push_back(right.front());
  CHECK(outcome() == "400 invalid_request");
  client->extra_headers = right;
  client->extra_headers.front().second.replace(0, 5, "bASIC");
  CHECK(outcome() == "201 ");
  client->extra_headers = {{"Authorization", "Basic %%%"}};
  CHECK(outcome() == "400 invalid_request");
  client->extra_headers = {};
  CHECK(outcome() == "400 invalid_client");
  CHECK(world.last_detail() == "par.client_authentication");
  CHECK(outcome({{"client_secret", std::string(kSecret)}}) == "400 invalid_client");
  CHECK(world.last_detail() == "par.client_authentication");
  client->extra_headers = right;
  CHECK(outcome({{"client_secret", std::string(kSecret)}}) == "401 invalid_client");
  CHECK(world.last_detail() == "par.client_authentication");
}

TEST_CASE("client_secret_post: the right secret, in the form and nowhere else", "[sandbox]") {
  auto metadata = openid_metadata();
  RegisteredWorld world;
  metadata["token_endpoint_auth_method"] = quoted("client_secret_post");
  REQUIRE(world.register_client(metadata, kSecret) == "");
  const auto client = world.openid();
  CHECK(client->post("/oauth/par", client->par_form()).outcome() == "401 invalid_client");
  client->extra_headers = {};
  auto form = client->par_form();
  CHECK(client->post("/oauth/par", form).outcome() == "400 invalid_client");
  form["client_secret"] = "wrong";
  CHECK(client->post("/oauth/par", form).outcome() == "400 invalid_client");
  CHECK(world.last_detail() == "par.client_secret");
  form["client_secret"] = kSecret;
  CHECK(client->post("/oauth/par", form).outcome() == "201 ");
}
