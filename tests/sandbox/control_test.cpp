// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.sandbox.control;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::ControlServer;

namespace {

JsonObject json(const WireAnswer& answer) {
  return JsonObject::parse(answer.body, ErrorCode::invalid_response, "answer").value();
}

struct Script {
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  std::unique_ptr<ControlServer> control = ControlServer::start(*servers).value();
  WireClient client{*servers};

  [[nodiscard]] WireHeaders pass() const {
    return {{"Authorization", "Bearer " + control->token()}};
  }
  [[nodiscard]] WireAnswer call(const std::string& method, const std::string& target,
                                const std::string& body = {}) const {
    return exchange(control->url(), method, target, pass(), body);
  }
  /// "200", or the status and why.
  [[nodiscard]] std::string outcome(const std::string& method, const std::string& target,
                                    const std::string& body = {}) const {
    const auto answer = call(method, target, body);
    return answer.status == 200 ? "200" : answer.outcome();
  }
  [[nodiscard]] std::vector<JsonObject> log(const std::string& query = {}) const {
    return json(call("GET", "/log" + query)).objects("requests").value().value();
  }
  [[nodiscard]] std::int64_t count(const std::string& target, const std::string& name) const {
    return json(call("GET", target)).integer(name).value().value();
  }
};

}  // namespace

TEST_CASE("control: without the token nothing is told and nothing happens", "[sandbox]") {
  const Script script;
  const auto ask = [&](const WireHeaders& headers, const std::string& host = {}) {
    return exchange(script.control->url(), "POST", "/faults", headers, R"({"kind":"hold"})", host);
  };
  const auto wrong = "Bearer " + std::string(script.control->token().size(), 'x');
  CHECK(ask({}).outcome() == "401 control.token");
  CHECK(ask({}).header("WWW-Authenticate") == "Bearer");
  CHECK(ask({{"Authorization", wrong}}).outcome() == "401 control.token");
  CHECK(ask({{"Authorization", "Bearer "}}).outcome() == "401 control.token");
  CHECK(ask({{"Authorization", script.control->token()}}).outcome() == "401 control.token");
  CHECK(ask({{"Authorization", "Basic " + script.control->token()}}).outcome() ==
        "401 control.token");
  CHECK(ask({script.pass()[0], {"Authorization", wrong}}).outcome() == "401 control.token");
  // What a browser asks before it would send the token for a page.
  CHECK(exchange(script.control->url(), "OPTIONS", "/faults", {{"Origin", "http://evil.example"}})
            .outcome() == "401 control.token");
  CHECK(ask(script.pass(), "evil.example").outcome() == "421 control.host");
  CHECK(ask(script.pass(), "127.0.0.1").outcome() == "421 control.host");
  CHECK(script.servers->faults_left() == 0);
  CHECK(ask(script.pass()).status == 200);
  CHECK(script.servers->faults_left() == 1);
}

TEST_CASE("control: every sandbox has a token of its own", "[sandbox]") {
  const Script one, other;
  CHECK(one.control->token() != other.control->token());
  CHECK(one.control->token().size() == 32);
}

TEST_CASE("control: calls that are none are refused", "[sandbox]") {
  const Script script;
  CHECK(script.outcome("GET", "/nothing") == "404 control.path");
  CHECK(script.outcome("PUT", "/faults") == "405 control.method");
  CHECK(script.outcome("GET", "/log?since=%zz") == "400 control.query");
  CHECK(script.outcome("GET", "/log?since=1x") == "400 control.range");
  CHECK(script.outcome("GET", "/log?since=-1") == "400 control.range");
  CHECK(script.outcome("POST", "/faults", "[]") == "400 control.not_json");
  CHECK(script.outcome("POST", "/faults", "{}") == "400 control.missing_member");
  CHECK(script.outcome("POST", "/revoke", "{}") == "400 control.missing_member");
  CHECK(script.outcome("POST", "/revoke", R"({"account":"nobody.test"})") == "404 control.account");
  CHECK(script.outcome("POST", "/revoke", R"({"acount":"alice.test"})") ==
        "400 control.unknown_member");
  CHECK(script.outcome("GET", "/sessions") == "404 control.account");
  CHECK(script.outcome("POST", "/settings", R"({"nonce_rotation":1})") ==
        "400 control.unknown_member");
  CHECK(script.outcome("POST", "/settings", R"({"nonce_rotation_s":0})") == "400 control.range");
  CHECK(script.outcome("POST", "/settings", R"({"access_token_lifetime_s":"1"})") ==
        "400 control.wrong_type");
  CHECK(script.outcome("POST", "/accounts", R"({"handle":"x"})") == "400 sandbox.handle");
  CHECK(script.outcome("POST", "/accounts", R"({"handle":"alice.test"})") ==
        "409 sandbox.account_exists");
  CHECK(script.outcome("POST", "/auto-approve", R"({"account":"alice.test"})") ==
        "400 control.missing_member");
}

TEST_CASE("control: the log tells what was asked, without what is secret", "[sandbox]") {
  Script script;
  const auto tokens = script.client.log_in();
  const auto all = script.log();
  REQUIRE(all.size() >= 3);
  const auto& exchange_line = all.back();
  CHECK(exchange_line.string("server").value() == "authorization");
  CHECK(exchange_line.string("path").value() == "/oauth/token");
  CHECK(exchange_line.string("grant_type").value() == "authorization_code");
  CHECK(exchange_line.string("redirect_uri").value() == script.client.redirect_uri);
  CHECK(exchange_line.integer("status").value() == 200);
  const auto proof = exchange_line.object("proof").value().value();
  CHECK(proof.required_string("jti").value() != "");
  CHECK(proof.boolean("nonce").value() == true);
  CHECK(proof.boolean("ath").value() == false);

  const auto first = all.front();
  CHECK(first.integer("n").value() == 1);
  CHECK(first.string("error").value() == "use_dpop_nonce");
  CHECK(first.string("detail").value() == "proof.nonce_missing");

  const std::string text = script.call("GET", "/log").body;
  for (const auto* secret : {"access_token", "refresh_token"}) {
    CHECK(text.find(tokens.text(secret)) == std::string::npos);
  }
  CHECK(text.find(script.client.verifier) == std::string::npos);

  const auto last = exchange_line.integer("n").value().value();
  CHECK(script.log("?since=" + std::to_string(last)).empty());
  CHECK(script.outcome("DELETE", "/log") == "200");
  CHECK(script.log().empty());
  static_cast<void>(script.client.post("/oauth/token", {}));
  CHECK(script.log().front().integer("n").value() == last + 1);
}

TEST_CASE("control: a proof that is none is recorded as such", "[sandbox]") {
  Script script;
  for (const std::string bad : {"x", "a.b", "a.%.c", "a..c", "a.W10.c"}) {
    static_cast<void>(script.client.post_with("/oauth/token", {}, bad));
    const auto proof = script.log().back().object("proof").value().value();
    CHECK(proof.string("jti").value() == "");
    CHECK(proof.boolean("nonce").value() == false);
  }
  static_cast<void>(script.client.post_with("/oauth/token", {}, ""));
  CHECK(script.log().back().kind("proof") == JsonKind::null);
}

TEST_CASE("control: secrets are told that passed since they were asked for", "[sandbox]") {
  Script script;
  const auto early = script.client.log_in();
  CHECK(script.call("GET", "/capture").body == R"({"secrets":[]})");
  CHECK(script.outcome("POST", "/capture") == "200");
  const auto code = script.client.code();
  const auto tokens = script.client.post("/oauth/token", script.client.code_form(code));
  const auto secrets = json(script.call("GET", "/capture")).strings("secrets").value().value();
  CHECK(secrets == std::vector<std::string>{code, script.client.verifier,
                                            tokens.text("access_token"),
                                            tokens.text("refresh_token")});
  // A token whose answer never arrived was issued all the same.
  CHECK(script.outcome("POST", "/faults", R"({"kind":"drop_after","path":"/oauth/token"})") ==
        "200");
  static_cast<void>(
      script.client.post("/oauth/token", script.client.refresh_form(tokens.text("refresh_token"))));
  CHECK(json(script.call("GET", "/capture")).strings("secrets").value()->size() ==
        secrets.size() + 2);
}

TEST_CASE("control: faults are added, listed as what is left of them, and cleared", "[sandbox]") {
  Script script;
  CHECK(script.outcome("POST", "/faults",
                       R"({"kind":"status","server":"plc","times":2,"text":"busy"})") == "200");
  const auto met = exchange(script.servers->plc(), "GET", '/' + script.alice.did);
  CHECK(met.status == 503);
  CHECK(met.body == "busy");
  CHECK(script.call("GET", "/faults").body ==
        R"({"faults":[{"kind":"status","server":"plc","text":"busy"}]})");
  CHECK(script.log().back().string("fault").value() == "status");
  CHECK(script.outcome("DELETE", "/faults") == "200");
  CHECK(exchange(script.servers->plc(), "GET", '/' + script.alice.did).status == 200);
}

TEST_CASE("control: sessions are counted, made to refresh, and ended", "[sandbox]") {
  Script script;
  const std::string target = "/xrpc/com.atproto.server.getSession";
  const auto tokens = script.client.log_in();
  const std::string of_alice = "/sessions?account=" + script.alice.did;
  CHECK(script.count(of_alice, "count") == 1);
  CHECK(script.client.call("GET", target, tokens.text("access_token")).status == 200);
  CHECK(script.outcome("POST", "/refuse-issued") == "200");
  CHECK(script.client.call("GET", target, tokens.text("access_token")).outcome() ==
        "401 invalid_token");
  const auto fresh =
      script.client.post("/oauth/token", script.client.refresh_form(tokens.text("refresh_token")));
  CHECK(fresh.status == 200);
  CHECK(script.call("POST", "/revoke", R"({"account":"alice.test"})").body == R"({"ended":1})");
  CHECK(script.count(of_alice, "count") == 0);
  CHECK(script.client.call("GET", target, fresh.text("access_token")).outcome() ==
        "401 invalid_token");
  CHECK(script.count("/counts", "logins") == 1);
  CHECK(script.count("/counts", "refreshes") == 1);
  CHECK(script.count("/counts", "replays") == 0);
}

TEST_CASE("control: settings change tokens, nonces and the clock", "[sandbox]") {
  Script script;
  CHECK(script.outcome("POST", "/settings", R"({"access_token_lifetime_s":7})") == "200");
  CHECK(json(script.client.log_in()).integer("expires_in").value() == 7);
  const auto before = script.client.nonces.at(script.servers->issuer());
  CHECK(script.outcome("POST", "/settings", R"({"nonce_rotation_s":86400})") == "200");
  const auto url = script.servers->issuer() + "/oauth/token";
  CHECK(script.client.post_with("/oauth/token", {}, script.client.proof("POST", url)).outcome() ==
        "400 use_dpop_nonce");
  CHECK(script.client.nonces.at(script.servers->issuer()) != before);
  CHECK(script.outcome("POST", "/settings", R"({"clock_ahead_s":7200})") == "200");
  CHECK(script.client.post("/oauth/token", {}).outcome() == "400 invalid_dpop_proof");
}

TEST_CASE("control: accounts are listed, added and made to approve", "[sandbox]") {
  Script script;
  const auto carol = script.call("POST", "/accounts", R"({"handle":"Carol.test","password":"p"})");
  CHECK(carol.text("handle") == "carol.test");
  CHECK(carol.text("password") == "p");
  CHECK(json(carol).boolean("auto_approve").value() == false);
  CHECK(script.outcome("POST", "/auto-approve",
                       R"({"account":"carol.test","auto_approve":true})") == "200");
  const auto accounts = json(script.call("GET", "/accounts")).objects("accounts").value().value();
  REQUIRE(accounts.size() == 2);
  CHECK(accounts[1].string("did").value() == carol.text("did"));
  CHECK(accounts[1].boolean("auto_approve").value() == true);
}

TEST_CASE("control: accounts move and change their handles", "[sandbox]") {
  Script script;
  const auto did = script.call("POST", "/accounts", R"({"handle":"carol.test"})").text("did");
  CHECK(script.outcome("POST", "/move",
                       R"({"account":"carol.test","pds":"https://pds.example"})") == "200");
  CHECK(exchange(script.servers->plc(), "GET", '/' + did).body.find("https://pds.example") !=
        std::string::npos);
  CHECK(script.outcome("POST", "/move", R"({"account":"carol.test"})") ==
        "400 control.missing_member");
  CHECK(script.outcome("POST", "/move", R"({"account":"carol.test","pds":"pds.example"})") ==
        "400 url.malformed");
  CHECK(script.outcome("POST", "/handle", R"({"account":"carol.test","handle":"carla.test"})") ==
        "200");
  CHECK(script.outcome("POST", "/handle", R"({"account":"carol.test","handle":"c.test"})") ==
        "404 control.account");
  CHECK(script.outcome("POST", "/handle", R"({"account":"carla.test","handle":"alice.test"})") ==
        "409 sandbox.account_exists");
  CHECK(script.outcome("POST", "/accounts", R"({"handle":"dan.test","did":"did:plc:DAN"})") ==
        "400 sandbox.did");
}

TEST_CASE("control: hostile forms are listed, and met", "[sandbox]") {
  Script script;
  const auto forms = json(script.call("GET", "/hostile-forms")).strings("forms").value().value();
  REQUIRE(forms.size() == sandbox::hostile_forms().size());
  CHECK(forms.front() == "handle_answer.status_500");
  CHECK(script.outcome("POST", "/faults",
                       R"({"kind":"hostile","text":"server_metadata.issuer_slash"})") == "200");
  CHECK(exchange(script.servers->issuer(), "GET", "/.well-known/oauth-authorization-server")
            .text("issuer") == script.servers->issuer() + '/');
}

TEST_CASE("control: many scripts at once, while the servers work", "[sandbox][concurrency]") {
  Script script;
  const auto add = [&] {
    return script.outcome("POST", "/faults", R"({"kind":"hold","path":"/x"})");
  };
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 4; ++i) {
    answers.push_back(std::async(std::launch::async, add));
    answers.push_back(
        std::async(std::launch::async, [&] { return script.outcome("GET", "/log"); }));
  }
  CHECK(script.client.log_in().status == 200);
  for (auto& answer : answers) CHECK(answer.get() == "200");
  CHECK(script.servers->faults_left() == 4);
}

TEST_CASE("control: clients, devices and keys", "[sandbox]") {
  const Script script;
  auto metadata = openid_metadata();
  metadata["client_secret"] = quoted(kSecret);
  CHECK(script.outcome("POST", "/clients", "{\"metadata\":" + to_json(metadata) + "}") == "200");
  CHECK(script.outcome("POST", "/clients", R"({"metadata":{}})") == "400 client.missing_member");
  CHECK(script.outcome("POST", "/clients", R"({"metadata":"x"})") == "400 client.not_json");
  CHECK(script.outcome("POST", "/clients", to_json(metadata)) == "400 control.unknown_member");
  CHECK(script.outcome("POST", "/clients") == "400 control.missing_member");

  WireClient client(*script.servers);
  client.extra_headers = basic("books app");
  const auto start = [&] {
    return quoted(client.post("/oauth/device", {{"client_id", "books app"}, {"scope", "openid"}})
                      .text("user_code"));
  };
  const auto approve = [&](const std::string& code, const std::string& account) {
    return script.outcome("POST", "/approve-device",
                          to_json({{"user_code", code}, {"account", quoted(account)}}));
  };
  const auto code = start();
  CHECK(approve(code, "nobody.test") == "404 control.account");
  CHECK(approve(quoted("BBBB-BBBB"), "alice.test") == "404 control.user_code");
  CHECK(approve(code, "alice.test") == "200");
  CHECK(approve(code, "alice.test") == "404 control.user_code");
  const auto other = to_json({{"user_code", start()}});
  CHECK(script.outcome("POST", "/approve-device", other) == "400 control.missing_member");
  CHECK(script.outcome("POST", "/deny-device", other) == "200");
  CHECK(script.outcome("POST", "/deny-device", other) == "404 control.user_code");

  const auto keys = exchange(script.servers->issuer(), "GET", "/oauth/jwks").body;
  CHECK(script.outcome("POST", "/rotate-keys", R"({"keep_old_s":-1})") == "400 control.range");
  CHECK(exchange(script.servers->issuer(), "GET", "/oauth/jwks").body == keys);
  CHECK(script.outcome("POST", "/rotate-keys", R"({"keep_old_s":0})") == "200");
  CHECK(exchange(script.servers->issuer(), "GET", "/oauth/jwks").body != keys);
}
