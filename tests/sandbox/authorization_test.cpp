// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Wire {
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  WireClient client{*servers};

  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
};

std::string client_id_of(std::string_view redirect, std::string_view scope) {
  return "http://localhost?redirect_uri=" + percent_encode(redirect) +
         "&scope=" + percent_encode(scope);
}

}  // namespace

TEST_CASE("PAR: a right request is pushed", "[sandbox]") {
  Wire wire;
  const auto answer = wire.client.post("/oauth/par", wire.client.par_form());
  CHECK(answer.status == 201);
  CHECK(answer.text("request_uri").rfind("urn:ietf:params:oauth:request_uri:", 0) == 0);
  CHECK(answer.header("DPoP-Nonce") != "");
  CHECK(answer.header("Cache-Control") == "no-store");
}

TEST_CASE("PAR: each wrong request is refused for its own reason", "[sandbox]") {
  struct Case {
    const char* outcome;
    const char* detail;
    std::function<void(Form&)> spoil;
  };
  const std::vector<Case> cases{
      {"400 invalid_request", "par.client_id_missing", [](Form& f) { f.erase("client_id"); }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = "https://app.example/client.json"; }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = "http://127.0.0.1?scope=atproto"; }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = "http://localhost:80?scope=atproto"; }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = "http://localhost/path?scope=atproto"; }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = "http://localhost?name=x"; }},
      {"400 invalid_client", "par.client_id",
       [](Form& f) { f["client_id"] = client_id_of("http://localhost/callback", "atproto"); }},
      {"400 invalid_client", "par.client_authentication",
       [](Form& f) { f["client_secret"] = "s"; }},
      {"400 invalid_client", "par.client_authentication",
       [](Form& f) { f["client_assertion"] = "a.b.c"; }},
      {"400 invalid_request", "par.request_uri", [](Form& f) { f["request_uri"] = "urn:x"; }},
      {"400 invalid_request", "par.request_uri", [](Form& f) { f["request"] = "a.b.c"; }},
      {"400 unsupported_response_type", "par.response_type",
       [](Form& f) { f["response_type"] = "token"; }},
      {"400 unsupported_response_type", "par.response_type",
       [](Form& f) { f.erase("response_type"); }},
      {"400 invalid_request", "par.response_mode",
       [](Form& f) { f["response_mode"] = "fragment"; }},
      {"400 invalid_request", "par.prompt", [](Form& f) { f["prompt"] = "none"; }},
      {"400 invalid_request", "par.redirect_uri_missing", [](Form& f) { f.erase("redirect_uri"); }},
      {"400 invalid_request", "par.redirect_uri",
       [](Form& f) { f["redirect_uri"] = "http://127.0.0.1:9/elsewhere"; }},
      {"400 invalid_request", "par.redirect_uri",
       [](Form& f) { f["redirect_uri"] = "http://127.0.0.1:10/callback"; }},
      {"400 invalid_request", "par.redirect_uri",
       [](Form& f) { f["redirect_uri"] = "http://localhost:9/callback"; }},
      {"400 invalid_request", "par.redirect_uri",
       [](Form& f) { f["redirect_uri"] = "http://127.0.0.1:9/callback#x"; }},
      {"400 invalid_request", "par.code_challenge_missing",
       [](Form& f) { f.erase("code_challenge"); }},
      {"400 invalid_request", "par.code_challenge", [](Form& f) { f["code_challenge"] = "short"; }},
      {"400 invalid_request", "par.code_challenge_method",
       [](Form& f) { f["code_challenge_method"] = "plain"; }},
      {"400 invalid_request", "par.code_challenge_method",
       [](Form& f) { f.erase("code_challenge_method"); }},
      {"400 invalid_request", "par.scope_missing", [](Form& f) { f.erase("scope"); }},
      {"400 invalid_scope", "par.scope", [](Form& f) { f["scope"] = "atproto  x"; }},
      {"400 invalid_scope", "par.scope_without_atproto",
       [](Form& f) { f["scope"] = "transition:generic"; }},
      {"400 invalid_scope", "par.scope_not_declared",
       [](Form& f) { f["scope"] = "atproto transition:email"; }},
      {"400 invalid_request", "par.state_missing", [](Form& f) { f.erase("state"); }},
      {"400 invalid_request", "par.state", [](Form& f) { f["state"] = std::string(513, 's'); }},
      {"400 invalid_request", "par.login_hint", [](Form& f) { f["login_hint"] = "not a name"; }},
      {"400 invalid_request", "par.dpop_jkt", [](Form& f) { f["dpop_jkt"] = "another"; }},
  };
  Wire wire;
  for (const auto& one : cases) {
    auto form = wire.client.par_form();
    one.spoil(form);
    INFO(one.detail);
    CHECK(wire.client.post("/oauth/par", form).outcome() == one.outcome);
    CHECK(wire.last_detail() == one.detail);
  }
}

TEST_CASE("PAR: a redirect without a port in the client_id allows any port", "[sandbox]") {
  Wire wire;
  wire.client.client_id = client_id_of("http://127.0.0.1/callback", "atproto");
  wire.client.scope = "atproto";
  for (const std::string port : {"", ":1", ":65535"}) {
    wire.client.redirect_uri = "http://127.0.0.1" + port + "/callback";
    CHECK(wire.client.post("/oauth/par", wire.client.par_form()).status == 201);
  }
  wire.client.redirect_uri = "http://[::1]:1/callback";
  CHECK(wire.client.post("/oauth/par", wire.client.par_form()).outcome() == "400 invalid_request");
}

TEST_CASE("the authorization server wants a form and a POST", "[sandbox]") {
  Wire wire;
  const std::string& issuer = wire.servers->issuer();
  const std::string form = encode(wire.client.par_form());
  CHECK(exchange(issuer, "POST", "/oauth/par", {{"Content-Type", "application/json"}}, "{}")
            .outcome() == "400 invalid_request");
  CHECK(wire.last_detail() == "form.content_type");
  const WireHeaders is_form{{"Content-Type", "application/x-www-form-urlencoded"}};
  CHECK(exchange(issuer, "POST", "/oauth/par", is_form, form + "&state=again").outcome() ==
        "400 invalid_request");
  CHECK(wire.last_detail() == "form.duplicate");
  CHECK(exchange(issuer, "POST", "/oauth/par", is_form, "a=%zz").outcome() ==
        "400 invalid_request");
  CHECK(wire.last_detail() == "form.malformed");
  CHECK(exchange(issuer, "GET", "/oauth/par").status == 405);
  CHECK(exchange(issuer, "DELETE", "/oauth/authorize").status == 405);
  CHECK(exchange(issuer, "GET", "/elsewhere").status == 404);
  CHECK(exchange(issuer, "GET", "/oauth/jwks", {}, {}, "evil.example").status == 421);
}

TEST_CASE("PAR: the proof is checked, and a nonce asked for in the answer's body", "[sandbox]") {
  Wire wire;
  auto& client = wire.client;
  const auto form = client.par_form();
  const std::string url = wire.servers->issuer() + "/oauth/par";
  CHECK(client.post_with("/oauth/par", form, "").outcome() == "400 invalid_dpop_proof");
  CHECK(wire.last_detail() == "proof.missing");
  client.nonces.clear();
  const auto first = client.post_with("/oauth/par", form, client.proof("POST", url));
  CHECK(first.outcome() == "400 use_dpop_nonce");
  CHECK(first.header("DPoP-Nonce") != "");
  const std::string good = client.proof("POST", url);
  CHECK(client.post_with("/oauth/par", form, good).status == 201);
  CHECK(client.post_with("/oauth/par", form, good).outcome() == "400 invalid_dpop_proof");
  CHECK(wire.last_detail() == "proof.replayed");
  const auto wrong = [&](std::string_view method, const std::string& for_url) {
    return client.post_with("/oauth/par", form, client.proof(method, for_url)).outcome();
  };
  CHECK(wrong("GET", url) == "400 invalid_dpop_proof");
  CHECK(wrong("POST", wire.servers->issuer() + "/oauth/token") == "400 invalid_dpop_proof");
  client.nonces["http://127.0.0.1" + wire.servers->issuer().substr(16)] =
      client.nonces[wire.servers->issuer()];
  CHECK(wrong("POST", "http://127.0.0.1" + wire.servers->issuer().substr(16) + "/oauth/par") ==
        "400 invalid_dpop_proof");
  auto claims = client.claims("POST", url);
  claims["ath"] = quoted(hash_text("token"));
  CHECK(client.post_with("/oauth/par", form, client.key.sign(client.key.header(), claims))
            .outcome() == "400 invalid_dpop_proof");
  CHECK(wire.last_detail() == "proof.ath_unexpected");
}

TEST_CASE("the two servers do not take each other's nonces", "[sandbox]") {
  Wire wire;
  auto& client = wire.client;
  const auto tokens = client.log_in();
  const auto pds_answer =
      client.call("GET", "/xrpc/com.atproto.server.getSession", tokens.text("access_token"));
  REQUIRE(pds_answer.status == 200);
  client.nonces[wire.servers->issuer()] = client.nonces[wire.servers->pds()];
  const std::string url = wire.servers->issuer() + "/oauth/par";
  CHECK(client.post_with("/oauth/par", client.par_form(), client.proof("POST", url)).outcome() ==
        "400 use_dpop_nonce");
}

TEST_CASE("authorize: only what was pushed, once, by its own client", "[sandbox]") {
  Wire wire;
  auto& client = wire.client;
  const std::string& issuer = wire.servers->issuer();
  const auto pushed = client.post("/oauth/par", client.par_form()).text("request_uri");
  const std::string target = client.authorize_target(pushed);
  const auto refused = [&](const std::string& other, const WireHeaders& headers = {}) {
    const auto answer = exchange(issuer, "GET", other, headers);
    return answer.status == 400 && answer.header("Location").empty();
  };
  CHECK(refused("/oauth/authorize?client_id=" + percent_encode(client.client_id) +
                "&redirect_uri=" + percent_encode(client.redirect_uri) + "&response_type=code"));
  CHECK(refused(target + "&scope=atproto"));
  CHECK(refused(target + "x"));
  CHECK(refused("/oauth/authorize?client_id=http%3A%2F%2Flocalhost&request_uri=" +
                percent_encode(pushed)));
  CHECK(refused(target, {{"Sec-Fetch-Dest", "iframe"}}));

  const auto page = exchange(issuer, "GET", target);
  CHECK(page.status == 303);
  const std::string location = page.header("Location");
  CHECK(location.rfind(client.redirect_uri + '?', 0) == 0);
  CHECK(query_field(location, "state") == client.state);
  CHECK(query_field(location, "iss") == issuer);
  CHECK(query_field(location, "code") != "");
  CHECK(refused(target));
}
