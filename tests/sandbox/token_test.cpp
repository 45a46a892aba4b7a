// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kSession = "/xrpc/com.atproto.server.getSession";

struct Wire {
  explicit Wire(sandbox::SandboxOptions options = {})
      : servers(sandbox::Sandbox::start(std::move(options)).value()) {}

  std::unique_ptr<sandbox::Sandbox> servers;
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  WireClient client{*servers};

  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
  [[nodiscard]] std::string token(const Form& form) {
    return client.post("/oauth/token", form).outcome();
  }
  [[nodiscard]] unsigned live() const { return servers->live_sessions("alice.test"); }
};

}  // namespace

TEST_CASE("token: a code becomes tokens that open the PDS", "[sandbox]") {
  Wire wire;
  const auto answer = wire.client.log_in();
  REQUIRE(answer.status == 200);
  CHECK(answer.text("token_type") == "DPoP");
  CHECK(answer.text("sub") == wire.alice.did);
  CHECK(answer.text("scope") == "atproto transition:generic");
  CHECK(answer.body.find("\"expires_in\":3600") != std::string::npos);
  CHECK(answer.header("Cache-Control") == "no-store");
  CHECK(answer.header("DPoP-Nonce") != "");
  const auto session = wire.client.call("GET", kSession, answer.text("access_token"));
  CHECK(session.text("did") == wire.alice.did);
  CHECK(wire.live() == 1);
}

TEST_CASE("token: a wrong exchange is refused for its own reason and uses the code up",
          "[sandbox]") {
  struct Case {
    const char* detail;
    std::function<void(WireClient&, Form&)> spoil;
  };
  const std::vector<Case> cases{
      {"code.redirect_uri",
       [](WireClient&, Form& f) { f["redirect_uri"] = "http://127.0.0.1:9/"; }},
      {"code.verifier",
       [](WireClient&, Form& f) {
         f["code_verifier"] = "another-verifier-that-is-also-long-enough-43ch";
       }},
      {"code.verifier", [](WireClient&, Form& f) { f["code_verifier"] = "short"; }},
      {"code.wrong_client",
       [](WireClient&, Form& f) { f["client_id"] = "http://localhost?scope=atproto"; }},
  };
  for (const auto& one : cases) {
    Wire wire;
    const auto right = wire.client.code_form(wire.client.code());
    auto form = right;
    one.spoil(wire.client, form);
    INFO(one.detail);
    CHECK(wire.token(form) == "400 invalid_grant");
    CHECK(wire.last_detail() == one.detail);
    CHECK(wire.token(right) == "400 invalid_grant");
    CHECK(wire.last_detail() == "code.replayed");
  }
}

TEST_CASE("token: another key than the pushed request's gets nothing", "[sandbox]") {
  Wire wire;
  const auto form = wire.client.code_form(wire.client.code());
  WireClient thief(*wire.servers);
  CHECK(thief.post("/oauth/token", form).outcome() == "400 invalid_grant");
  CHECK(wire.last_detail() == "code.wrong_key");
  CHECK(wire.token(form) == "400 invalid_grant");
}

TEST_CASE("token: a request that lacks something uses nothing up", "[sandbox]") {
  Wire wire;
  const auto right = wire.client.code_form(wire.client.code());
  for (const auto& [name, detail] : std::vector<std::pair<std::string, std::string>>{
           {"grant_type", "token.grant_type_missing"},
           {"client_id", "token.client_id_missing"},
           {"code", "token.code_missing"},
           {"redirect_uri", "token.redirect_uri_missing"},
           {"code_verifier", "token.code_verifier_missing"}}) {
    auto form = right;
    form.erase(name);
    CHECK(wire.token(form) == "400 invalid_request");
    CHECK(wire.last_detail() == detail);
  }
  auto form = right;
  form["grant_type"] = "password";
  CHECK(wire.token(form) == "400 unsupported_grant_type");
  form = right;
  form["client_secret"] = "s";
  CHECK(wire.token(form) == "400 invalid_client");
  const std::string url = wire.servers->issuer() + "/oauth/token";
  wire.client.nonces.clear();
  CHECK(wire.client.post_with("/oauth/token", right, wire.client.proof("POST", url)).outcome() ==
        "400 use_dpop_nonce");
  CHECK(wire.client.post_with("/oauth/token", right, "").outcome() == "400 invalid_dpop_proof");
  CHECK(wire.token(right) == "200 ");
}

TEST_CASE("token: a code that is used again ends the session it began", "[sandbox]") {
  Wire wire;
  const auto form = wire.client.code_form(wire.client.code());
  const auto first = wire.client.post("/oauth/token", form);
  REQUIRE(first.status == 200);
  CHECK(wire.token(form) == "400 invalid_grant");
  CHECK(wire.live() == 0);
  CHECK(wire.client.call("GET", kSession, first.text("access_token")).outcome() ==
        "401 invalid_token");
}

TEST_CASE("token: a code is good for five minutes, and so is a pushed request", "[sandbox]") {
  auto clock = std::make_shared<ManualClock>(SystemClock().now());
  Wire wire({.nonce_rotation = 10min, .clock = clock});
  const auto early = wire.client.code_form(wire.client.code());
  const auto late = wire.client.code_form(wire.client.code());
  const auto pushed = wire.client.post("/oauth/par", wire.client.par_form()).text("request_uri");
  clock->advance(300s - 1ms);
  wire.client.ahead = 300;
  CHECK(wire.token(early) == "200 ");
  clock->advance(1ms);
  CHECK(wire.token(late) == "400 invalid_grant");
  CHECK(wire.last_detail() == "code.expired");
  CHECK(exchange(wire.servers->issuer(), "GET", wire.client.authorize_target(pushed)).status ==
        400);
  CHECK(wire.last_detail() == "authorize.unknown");
}

TEST_CASE("refresh: the token rotates and the old access token is over at once", "[sandbox]") {
  Wire wire;
  const auto first = wire.client.log_in();
  const auto second =
      wire.client.post("/oauth/token", wire.client.refresh_form(first.text("refresh_token")));
  REQUIRE(second.status == 200);
  CHECK(second.text("refresh_token") != first.text("refresh_token"));
  CHECK(second.text("sub") == wire.alice.did);
  CHECK(wire.client.call("GET", kSession, first.text("access_token")).outcome() ==
        "401 invalid_token");
  CHECK(wire.last_detail() == "access.replaced");
  CHECK(wire.client.call("GET", kSession, second.text("access_token")).status == 200);
  CHECK(wire.servers->counts().refreshes == 1);
}

TEST_CASE("refresh: a token that is used again ends the session", "[sandbox]") {
  Wire wire;
  const auto first = wire.client.log_in();
  const auto form = wire.client.refresh_form(first.text("refresh_token"));
  const auto second = wire.client.post("/oauth/token", form);
  REQUIRE(second.status == 200);
  CHECK(wire.token(form) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.replayed");
  CHECK(wire.live() == 0);
  CHECK(wire.servers->counts().replays == 1);
  CHECK(wire.servers->counts().ended == 1);
  CHECK(wire.token(wire.client.refresh_form(second.text("refresh_token"))) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.ended");
  CHECK(wire.client.call("GET", kSession, second.text("access_token")).outcome() ==
        "401 invalid_token");
}

TEST_CASE("refresh: another key or another client ends the session", "[sandbox]") {
  Wire wire;
  const auto first = wire.client.log_in();
  WireClient thief(*wire.servers);
  CHECK(
      thief.post("/oauth/token", wire.client.refresh_form(first.text("refresh_token"))).outcome() ==
      "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.wrong_key");
  CHECK(wire.live() == 0);

  const auto second = wire.client.log_in();
  auto form = wire.client.refresh_form(second.text("refresh_token"));
  form["client_id"] = "http://localhost?scope=atproto";
  CHECK(wire.token(form) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.wrong_client");
  CHECK(wire.live() == 0);
}

TEST_CASE("refresh: what is no refresh token of the sandbox's is refused", "[sandbox]") {
  Wire wire;
  const auto first = wire.client.log_in();
  CHECK(wire.token(wire.client.refresh_form("srt-made-up")) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.unknown");
  CHECK(wire.token(wire.client.refresh_form(first.text("access_token"))) == "400 invalid_grant");
  auto form = wire.client.refresh_form("");
  CHECK(wire.token(form) == "400 invalid_request");
  CHECK(wire.live() == 1);
}

TEST_CASE("refresh: a wrong or missing proof uses nothing up", "[sandbox]") {
  Wire wire;
  const auto first = wire.client.log_in();
  const auto form = wire.client.refresh_form(first.text("refresh_token"));
  const std::string url = wire.servers->issuer() + "/oauth/token";
  CHECK(wire.client.post_with("/oauth/token", form, "").outcome() == "400 invalid_dpop_proof");
  CHECK(wire.client.post_with("/oauth/token", form, wire.client.proof("PUT", url)).outcome() ==
        "400 invalid_dpop_proof");
  wire.client.nonces.clear();
  CHECK(wire.client.post_with("/oauth/token", form, wire.client.proof("POST", url)).outcome() ==
        "400 use_dpop_nonce");
  CHECK(wire.token(form) == "200 ");
}

TEST_CASE("sessions end of themselves: idle, and in all", "[sandbox]") {
  Wire wire({.lifetimes = {.refresh = 60s, .session = 100s}});
  auto refresh = wire.client.log_in().text("refresh_token");
  wire.servers->set_clock_skew(59s);
  refresh =
      wire.client.post("/oauth/token", wire.client.refresh_form(refresh)).text("refresh_token");
  REQUIRE(refresh != "");
  wire.servers->set_clock_skew(101s);
  CHECK(wire.token(wire.client.refresh_form(refresh)) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.expired");

  wire.servers->set_clock_skew(0s);
  const auto idle = wire.client.log_in().text("refresh_token");
  wire.servers->set_clock_skew(61s);
  CHECK(wire.token(wire.client.refresh_form(idle)) == "400 invalid_grant");
  CHECK(wire.last_detail() == "refresh.expired");
}

TEST_CASE("revoke: either token ends the session, and only its own client may", "[sandbox]") {
  Wire wire;
  const auto revoke = [&](WireClient& by, const std::string& token) {
    return by.post("/oauth/revoke", {{"client_id", by.client_id}, {"token", token}}).outcome();
  };
  for (const std::string kind : {"access_token", "refresh_token"}) {
    const auto tokens = wire.client.log_in();
    WireClient thief(*wire.servers);
    CHECK(revoke(thief, tokens.text(kind)) == "400 invalid_grant");
    CHECK(wire.last_detail() == "revoke.wrong_key");
    auto form = Form{{"client_id", "http://localhost?scope=atproto"}, {"token", tokens.text(kind)}};
    CHECK(wire.client.post("/oauth/revoke", form).outcome() == "400 invalid_grant");
    CHECK(wire.live() == 1);
    CHECK(revoke(wire.client, tokens.text(kind)) == "200 ");
    CHECK(wire.live() == 0);
    CHECK(wire.client.call("GET", kSession, tokens.text("access_token")).outcome() ==
          "401 invalid_token");
    CHECK(wire.last_detail() == "access.ended");
    CHECK(revoke(wire.client, tokens.text(kind)) == "200 ");
  }
  CHECK(revoke(wire.client, "anything") == "200 ");
  CHECK(wire.client.post("/oauth/revoke", {{"client_id", wire.client.client_id}}).outcome() ==
        "400 invalid_request");
  const Form form{{"client_id", wire.client.client_id}, {"token", "x"}};
  CHECK(wire.client.post_with("/oauth/revoke", form, "").outcome() == "400 invalid_dpop_proof");
  CHECK(wire.client.post("/oauth/revoke", {{"token", "x"}}).outcome() == "400 invalid_request");
  CHECK(wire.last_detail() == "revoke.client_id_missing");
  CHECK(wire.servers->counts().revoked == 2);
}
