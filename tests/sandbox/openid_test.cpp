// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.test.openssl;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.rsa_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kUserinfo = "/oauth/userinfo";

JsonObject parse(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::invalid_response, "test").value();
}

std::vector<JsonObject> published_keys(const sandbox::Sandbox& servers) {
  return parse(exchange(servers.issuer(), "GET", "/oauth/jwks").body)
      .objects("keys")
      .value()
      .value();
}

// The published key that the id token names, as JSON; "" if there is none.
std::string key_of(const sandbox::Sandbox& servers, const std::string& id_token) {
  const auto kid = parse(decode_jws(id_token).header).required_string("kid").value();
  for (const auto& key : published_keys(servers)) {
    if (key.required_string("kid").value() != kid) continue;
    Members members;
    for (const auto& name : key.names()) members[name] = key.json_text(name).value();
    return to_json(members);
  }
  return {};
}

// The left half of SHA-256, by way of the whole.
std::string half_hash(const std::string& text) {
  const auto whole = base64url_decode(hash_text(text)).value();
  return base64url_encode(std::vector<unsigned char>(whole.begin(), whole.begin() + 16));
}

// A plain authorization request in the address of the page.
std::string plain_target(const WireClient& client, const Form& changes = {}) {
  auto form = client.par_form();
  for (const auto& [name, value] : changes) {
    if (value.empty()) {
      form.erase(name);
    } else {
      form[name] = value;
    }
  }
  return "/oauth/authorize?" + encode(form);
}

std::string code_from(const WireClient& client, const Form& changes = {}) {
  return query_field(
      exchange(client.servers.issuer(), "GET", plain_target(client, changes)).header("Location"),
      "code");
}

WireAnswer ask(const WireClient& client, const WireHeaders& headers) {
  return exchange(client.servers.issuer(), "GET", kUserinfo, headers);
}

WireHeaders bearer(const std::string& token) {
  return {{"Authorization", "Bearer " + token}};
}

// A token of this client with its proof.
WireHeaders bound(const WireClient& client, const std::string& token) {
  auto claims = client.claims("GET", client.servers.issuer() + kUserinfo);
  claims["ath"] = quoted(hash_text(token));
  return {{"Authorization", "DPoP " + token},
          {"DPoP", client.key.sign(client.key.header(), claims)}};
}

}  // namespace

TEST_CASE("OpenID: the configuration names this issuer and its endpoints", "[sandbox]") {
  const RegisteredWorld world;
  const std::string& issuer = world.servers->issuer();
  const auto answer = exchange(issuer, "GET", "/.well-known/openid-configuration");
  CHECK(answer.text("issuer") == issuer);
  CHECK(answer.text("userinfo_endpoint") == issuer + kUserinfo);
  CHECK(answer.text("jwks_uri") == issuer + "/oauth/jwks");
  const auto json = parse(answer.body);
  CHECK(json.strings("id_token_signing_alg_values_supported").value().value() ==
        std::vector<std::string>{"RS256", "ES256"});
  CHECK(json.strings("token_endpoint_auth_methods_supported").value().value() ==
        std::vector<std::string>{"none", "private_key_jwt", "client_secret_basic",
                                 "client_secret_post"});
  CHECK_FALSE(json.contains("require_pushed_authorization_requests"));
  CHECK(exchange(issuer, "POST", "/.well-known/openid-configuration").status == 405);
}

TEST_CASE("OpenID: a plain request gives Bearer tokens and an id token", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto code = code_from(*client, {{"nonce", "n-1"}, {"max_age", "0"}, {"prompt", "login"}});
  REQUIRE(code != "");
  world.clock->advance(1min);
  const auto answer = client->post("/oauth/token", client->code_form(code));
  REQUIRE(answer.outcome() == "200 ");
  CHECK(answer.text("token_type") == "Bearer");
  CHECK(answer.text("scope") == "openid profile email");
  CHECK_FALSE(parse(answer.body).contains("sub"));
  const auto id_token = answer.text("id_token");
  CHECK(parse(decode_jws(id_token).header).required_string("alg").value() == "RS256");
  CHECK(rsa_verifies(id_token, key_of(*world.servers, id_token)));
  const auto claims = parse(decode_jws(id_token).payload);
  CHECK(claims.required_string("iss").value() == world.servers->issuer());
  CHECK(claims.required_string("sub").value() == world.alice.did);
  CHECK(claims.required_string("aud").value() == client->client_id);
  CHECK(claims.required_string("nonce").value() == "n-1");
  CHECK(claims.integer("iat").value() == world.now());
  CHECK(claims.integer("auth_time").value() == world.now() - 60);
  CHECK(claims.integer("exp").value().value() > world.now());
  CHECK(claims.required_string("at_hash").value() == half_hash(answer.text("access_token")));
  CHECK_FALSE(claims.contains("azp"));
}

TEST_CASE("OpenID: a refresh gives an id token of the same login, without a nonce", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto first =
      client->post("/oauth/token", client->code_form(code_from(*client, {{"nonce", "n"}})));
  world.clock->advance(1h);
  const auto again =
      client->post("/oauth/token", client->refresh_form(first.text("refresh_token")));
  REQUIRE(again.outcome() == "200 ");
  const auto claims = parse(decode_jws(again.text("id_token")).payload);
  CHECK_FALSE(claims.contains("nonce"));
  CHECK(claims.integer("auth_time").value() == world.now() - 3600);
  CHECK(claims.required_string("at_hash").value() == half_hash(again.text("access_token")));
  CHECK(client->post("/oauth/token", client->refresh_form(first.text("refresh_token"))).outcome() ==
        "400 invalid_grant");
}

TEST_CASE("OpenID: ES256 where the client registers for it", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["id_token_signed_response_alg"] = quoted("ES256");
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  const auto id_token =
      client->post("/oauth/token", client->code_form(code_from(*client))).text("id_token");
  CHECK(parse(decode_jws(id_token).header).required_string("alg").value() == "ES256");
  const auto key = key_of(*world.servers, id_token);
  CHECK(evp_verifies(id_token, key));
  CHECK_FALSE(evp_verifies(id_token.substr(0, id_token.size() - 4) + "AAAA", key));
}

TEST_CASE("OpenID: without the scope openid there is no id token", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid("profile");
  const auto answer = client->post("/oauth/token", client->code_form(code_from(*client)));
  REQUIRE(answer.outcome() == "200 ");
  CHECK_FALSE(parse(answer.body).contains("id_token"));
  CHECK(ask(*client, bearer(answer.text("access_token"))).outcome() == "403 insufficient_scope");
}

TEST_CASE("OpenID: a client that may not refresh gets no refresh token", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["grant_types"] = R"(["authorization_code"])";
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  const auto answer = client->post("/oauth/token", client->code_form(code_from(*client)));
  REQUIRE(answer.outcome() == "200 ");
  CHECK_FALSE(parse(answer.body).contains("refresh_token"));
  CHECK(client->post("/oauth/token", client->refresh_form("srt-x")).outcome() ==
        "400 unauthorized_client");
  CHECK(world.last_detail() == "token.grant_not_registered");
}

TEST_CASE("OpenID: keys that are rotated out stay published as long as was said", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto log_in = [&] {
    return client->post("/oauth/token", client->code_form(code_from(*client))).text("id_token");
  };
  const auto first = log_in();
  CHECK(published_keys(*world.servers).size() == 2);
  world.servers->rotate_signing_keys(10min);
  const auto second = log_in();
  CHECK(key_of(*world.servers, second) != key_of(*world.servers, first));
  CHECK(rsa_verifies(first, key_of(*world.servers, first)));
  CHECK_FALSE(rsa_verifies(first, key_of(*world.servers, second)));
  world.clock->advance(10min - 1s);
  CHECK(key_of(*world.servers, first) != "");
  world.clock->advance(1s);
  CHECK(key_of(*world.servers, first) == "");
  world.servers->rotate_signing_keys(0s);
  CHECK(key_of(*world.servers, second) == "");
  CHECK(published_keys(*world.servers).size() == 2);
}

TEST_CASE("OpenID: published keys have no private members", "[sandbox]") {
  const RegisteredWorld world;
  for (const auto& key : published_keys(*world.servers)) {
    for (const char* secret : {"d", "p", "q", "dp", "dq", "qi"}) CHECK_FALSE(key.contains(secret));
    CHECK(key.required_string("use").value() == "sig");
  }
}

TEST_CASE("plain request: without a good client and redirect the answer stays here", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto stays = [&](const std::string& target, const std::string& detail) {
    const auto answer = exchange(world.servers->issuer(), "GET", target);
    CHECK(answer.status == 400);
    CHECK(answer.header("Location") == "");
    CHECK(world.last_detail() == detail);
  };
  stays(plain_target(*client, {{"client_id", "other"}}), "authorize.client_id");
  stays(plain_target(*client, {{"client_id", ""}}), "authorize.client_id");
  stays(plain_target(*client, {{"redirect_uri", ""}}), "authorize.redirect_uri_missing");
  stays(plain_target(*client, {{"redirect_uri", "http://127.0.0.1:9/other"}}),
        "authorize.redirect_uri");
  stays(plain_target(*client, {{"request_uri", "https://a.test/r"}}), "authorize.not_pushed");
  const auto backend = world.backend();
  stays(plain_target(*backend), "authorize.not_pushed");
}

TEST_CASE("plain request: what else is wrong is said to the client", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  struct Case {
    const char* error;
    const char* detail;
    Form changes;
  };
  const std::vector<Case> cases{
      {"unsupported_response_type", "response_type", {{"response_type", "token"}}},
      {"invalid_request", "request_uri", {{"request", "a.b.c"}}},
      {"invalid_request", "response_mode", {{"response_mode", "fragment"}}},
      {"invalid_request", "code_challenge_missing", {{"code_challenge", ""}}},
      {"invalid_request", "code_challenge_method", {{"code_challenge_method", "plain"}}},
      {"invalid_scope", "scope_not_declared", {{"scope", "openid atproto"}}},
      {"invalid_request", "prompt", {{"prompt", "none login"}}},
      {"invalid_request", "prompt", {{"prompt", "create"}}},
      {"invalid_request", "nonce", {{"nonce", std::string(513, 'n')}}},
      {"invalid_request", "max_age", {{"max_age", "-1"}}},
      {"invalid_request", "max_age", {{"max_age", "soon"}}},
      {"invalid_request", "dpop_jkt", {{"dpop_jkt", "short"}}},
  };
  for (const auto& one : cases) {
    INFO(one.detail);
    const auto location =
        exchange(world.servers->issuer(), "GET", plain_target(*client, one.changes))
            .header("Location");
    CHECK(location.starts_with(client->redirect_uri + '?'));
    CHECK(query_field(location, "error") == one.error);
    CHECK(query_field(location, "state") == client->state);
    CHECK(query_field(location, "iss") == world.servers->issuer());
    CHECK(query_field(location, "code") == "");
    CHECK(world.last_detail() == std::string("authorize.") + one.detail);
  }
}

TEST_CASE("plain request: a client that promises to push must", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["require_pushed_authorization_requests"] = "true";
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  CHECK(exchange(world.servers->issuer(), "GET", plain_target(*client)).status == 400);
  CHECK(world.last_detail() == "authorize.not_pushed");
  CHECK(client->log_in().outcome() == "200 ");
}

TEST_CASE("plain request: a client that does not register for codes gets none", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["grant_types"] = '[' + quoted(sandbox::kDeviceGrant) + ']';
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  const auto location =
      exchange(world.servers->issuer(), "GET", plain_target(*client)).header("Location");
  CHECK(query_field(location, "error") == "unauthorized_client");
  CHECK(client->post("/oauth/par", client->par_form()).outcome() == "400 unauthorized_client");
  CHECK(world.last_detail() == "par.grant_type");
}

TEST_CASE("prompt=none: succeeds only for who approves without being asked", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  CHECK(code_from(*client, {{"prompt", "none"}}) != "");
  world.servers->set_auto_approve("alice.test", false);
  const auto location =
      exchange(world.servers->issuer(), "GET", plain_target(*client, {{"prompt", "none"}}))
          .header("Location");
  CHECK(query_field(location, "error") == "login_required");
  CHECK(query_field(location, "state") == client->state);
}

TEST_CASE("login_hint: OpenID clients may hint at anybody", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto page = exchange(world.servers->issuer(), "GET",
                             plain_target(*client, {{"login_hint", "alice@mail.test"}}));
  CHECK(page.status == 200);
  CHECK(page.body.find("value=\"alice@mail.test\"") != std::string::npos);
}

TEST_CASE("DPoP: a token is bound to the key of the exchange, if there is one", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto code = code_from(*client, {{"dpop_jkt", client->key.thumbprint()}});
  CHECK(client->post("/oauth/token", client->code_form(code)).outcome() == "400 invalid_grant");
  CHECK(world.last_detail() == "code.wrong_key");
  const auto again = code_from(*client, {{"dpop_jkt", client->key.thumbprint()}});
  client->bearer = false;
  CHECK(client->post("/oauth/token", client->code_form(again)).text("token_type") == "DPoP");
  client->bearer = true;

  const auto plain = code_from(*client);
  client->bearer = false;
  const auto answer = client->post("/oauth/token", client->code_form(plain));
  CHECK(answer.text("token_type") == "DPoP");
  client->bearer = true;
  CHECK(
      client->post("/oauth/token", client->refresh_form(answer.text("refresh_token"))).outcome() ==
      "400 invalid_grant");
  CHECK(world.last_detail() == "refresh.wrong_key");
}

TEST_CASE("DPoP: a client that promises bound tokens must prove its key", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["dpop_bound_access_tokens"] = "true";
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  const auto form = client->code_form(code_from(*client));
  CHECK(client->post("/oauth/token", form).outcome() == "400 invalid_dpop_proof");
  client->bearer = false;
  CHECK(client->post("/oauth/token", form).text("token_type") == "DPoP");
}

TEST_CASE("DPoP: OpenID clients revoke without a proof, as others of their kind do", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["dpop_bound_access_tokens"] = "true";
  RegisteredWorld world(metadata);
  const auto client = world.openid();
  client->bearer = false;
  const auto token = client->log_in().text("refresh_token");
  const Form form{{"client_id", client->client_id}, {"token", token}};
  const auto thief = world.openid();
  thief->bearer = false;
  CHECK(thief->post("/oauth/revoke", form).outcome() == "400 invalid_grant");
  CHECK(world.last_detail() == "revoke.wrong_key");
  client->bearer = true;
  CHECK(client->post("/oauth/revoke", form).outcome() == "200 ");
  CHECK(world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("userinfo: tells what the scope allows", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto full = client->log_in().text("access_token");
  const auto answer = ask(*client, bearer(full));
  CHECK(answer.status == 200);
  CHECK(answer.text("sub") == world.alice.did);
  CHECK(answer.text("preferred_username") == "alice.test");
  CHECK(answer.text("email") == "owner@alice.test");
  CHECK(answer.header("Cache-Control") == "no-store");
  CHECK(exchange(world.servers->issuer(), "POST", kUserinfo, bearer(full)).status == 200);
  const auto little = world.openid("openid");
  const auto less = ask(*little, bearer(little->log_in().text("access_token")));
  CHECK(less.body == "{\"sub\":" + quoted(world.alice.did) + "}");
}

TEST_CASE("userinfo: a bound token needs its proof", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  client->bearer = false;
  const auto token = client->log_in().text("access_token");
  CHECK(ask(*client, bound(*client, token)).text("sub") == world.alice.did);
  const auto refused = [&](const std::string& outcome, const std::string& detail,
                           const WireHeaders& headers) {
    INFO(detail);
    const auto answer = ask(*client, headers);
    CHECK(answer.outcome() == outcome);
    CHECK(world.last_detail() == detail);
    CHECK(answer.header("WWW-Authenticate") != "");
  };
  refused("401 invalid_token", "access.bound", bearer(token));
  refused("401 invalid_dpop_proof", "proof.missing", {{"Authorization", "DPoP " + token}});
  auto headers = bound(*client, token);
  headers[1].second = WireClient(*world.servers).proof("GET", world.servers->issuer() + kUserinfo);
  CHECK(ask(*client, headers).status == 401);
  client->nonces.clear();
  refused("401 use_dpop_nonce", "proof.nonce_missing", bound(*client, token));
}

TEST_CASE("userinfo: each wrong token is refused for its own reason", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  const auto token = client->log_in().text("access_token");
  const auto refused = [&](const std::string& outcome, const std::string& detail,
                           const WireHeaders& headers) {
    INFO(detail);
    CHECK(ask(*client, headers).outcome() == outcome);
    CHECK(world.last_detail() == detail);
  };
  refused("401 invalid_token", "access.missing", {});
  CHECK(ask(*client, {}).header("WWW-Authenticate").find("error") == std::string::npos);
  refused("400 invalid_request", "access.malformed", {{"Authorization", token}});
  refused("400 invalid_request", "access.scheme", {{"Authorization", "Basic " + token}});
  refused("401 invalid_token", "access.unknown", bearer("sat-x"));
  refused("401 invalid_token", "access.not_bound", bound(*client, token));
  const auto backend = world.backend();
  const auto atproto = backend->log_in().text("access_token");
  refused("403 insufficient_scope", "scope.missing", bound(*backend, atproto));
  world.servers->expire_access_tokens();
  refused("401 invalid_token", "access.expired", bearer(token));
  world.servers->end_sessions("alice.test");
  refused("401 invalid_token", "access.ended", bearer(token));
}

TEST_CASE("the PDS takes no token of another kind of client", "[sandbox]") {
  RegisteredWorld world;
  const auto client = world.openid();
  client->bearer = false;
  const std::string session = "/xrpc/com.atproto.server.getSession";
  const auto bound_token = client->log_in().text("access_token");
  CHECK(client->call("GET", session, bound_token).outcome() == "401 invalid_token");
  CHECK(world.last_detail() == "access.audience");
  client->bearer = true;
  const auto bare = client->log_in().text("access_token");
  CHECK(client->call("GET", session, bare).outcome() == "401 invalid_token");
  CHECK(world.last_detail() == "access.not_bound");
}
