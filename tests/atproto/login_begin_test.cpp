// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.discovery;
import latchkey.atproto.login;
import latchkey.core;
import latchkey.core.json;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.login_world;
import latchkey.test.oauth;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// The first half of a login: what is pushed, what is remembered, and what the browser is given.

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string claim(const HttpRequest& request, std::string_view name) {
  const std::string payload = decode_jws(*request.headers.find("DPoP")).payload;
  return JsonObject::parse(payload, ErrorCode::invalid_response, "claims")
      .value()
      .string(name)
      .value()
      .value_or("");
}

std::string key_of(const HttpRequest& request) {
  const std::string header = decode_jws(*request.headers.find("DPoP")).header;
  return JsonObject::parse(header, ErrorCode::invalid_response, "header")
      .value()
      .json_text("jwk")
      .value();
}

std::string all_files(const std::filesystem::path& folder) {
  std::string text;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) text += read_text(entry.path()).value_or("");
  }
  return text;
}

}  // namespace

TEST_CASE("begin: C4.1, C4.2, C4.3: exactly these fields are pushed, as a form, over https",
          "[login]") {
  LoginWorld w;
  REQUIRE(w.begin());
  const auto pushed = w.requests_to("/par");
  REQUIRE(pushed.size() == 1);
  CHECK(pushed[0].method == "POST");
  CHECK(pushed[0].url.text() == "https://as.test/par");
  CHECK(*pushed[0].headers.find("Content-Type") == "application/x-www-form-urlencoded");
  CHECK(field_names(pushed[0]) ==
        std::vector<std::string>{"response_type", "code_challenge", "code_challenge_method",
                                 "state", "redirect_uri", "scope", "login_hint", "client_id"});
  CHECK(field(pushed[0], "response_type") == "code");
  CHECK(field(pushed[0], "code_challenge_method") == "S256");
  CHECK(field(pushed[0], "redirect_uri") == kRedirect);
  CHECK(field(pushed[0], "scope") == "atproto transition:generic");
  CHECK(field(pushed[0], "client_id") == w.client.client_id);
  CHECK_FALSE(pushed[0].authorization.has_value());
}

TEST_CASE("begin: C4.4, C4.5: state and challenge are 32 random bytes each, new for every login",
          "[login]") {
  LoginWorld w;
  std::set<std::string> states, challenges;
  for (int i = 0; i < 50; ++i) {
    const std::string state = w.begun();
    const auto pushed = w.requests_to("/par").back().clone();
    CHECK(state.size() == 43);
    CHECK(field(pushed, "state") == state);
    CHECK(field(pushed, "code_challenge").size() == 43);
    states.insert(state);
    challenges.insert(field(pushed, "code_challenge"));
  }
  CHECK(states.size() == 50);
  CHECK(challenges.size() == 50);
}

TEST_CASE("begin: C4.4: the challenge is the S256 of the verifier that is sent in the end",
          "[login]") {
  LoginWorld w;
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun())));
  const std::string verifier = field(w.requests_to("/token")[0], "code_verifier");
  CHECK(verifier.size() >= 43);
  CHECK(field(w.requests_to("/par")[0], "code_challenge") == sha256_base64url(verifier));
}

TEST_CASE("begin: C4.6, C6.12: each login has a key of its own, and keeps it to the end",
          "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  const std::string first = w.begun(), second = w.begun();
  CHECK(w.keys() == before + 2);
  const auto pushed = w.requests_to("/par");
  CHECK(key_of(pushed[0]) != key_of(pushed[1]));
  REQUIRE(w.login->finish(LoginWorld::callback(first)));
  CHECK(key_of(w.requests_to("/token")[0]) == key_of(pushed[0]));
  CHECK(claim(pushed[0], "htu") == "https://as.test/par");
  CHECK(claim(pushed[0], "ath").empty());
}

TEST_CASE("begin: C4.7: a nonce is answered once, with the same form and another jti", "[login]") {
  LoginWorld w;
  w.server->push(
      json_answer(400, R"({"error":"use_dpop_nonce"})", {{"DPoP-Nonce", "nonce-of-the-server"}}));
  REQUIRE(w.begin());
  const auto pushed = w.requests_to("/par");
  REQUIRE(pushed.size() == 2);
  CHECK(pushed[0].body == pushed[1].body);
  CHECK(claim(pushed[1], "nonce") == "nonce-of-the-server");
  CHECK(claim(pushed[0], "jti") != claim(pushed[1], "jti"));
}

TEST_CASE("begin: C4.8: 201 and 200 are accepted", "[login]") {
  LoginWorld w;
  for (const int status : {200, 201}) {
    w.server->push(json_answer(status, R"({"request_uri":"urn:x:1","expires_in":60})"));
    CHECK(w.begin());
  }
}

TEST_CASE("begin: C4.9: the browser is shown client_id and request_uri only", "[login]") {
  LoginWorld w;
  const auto begun = w.begin().value();
  CHECK(begun.url.text() ==
        "https://as.test/authorize?client_id=" + percent_encode(w.client.client_id) +
            "&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Areq-1");
  CHECK(begun.url.text().find(begun.state) == std::string::npos);
}

TEST_CASE("begin: C4.10: the hint is what was typed, and none for a server", "[login]") {
  LoginWorld w;
  LoginTarget did = LoginWorld::account();
  did.login_hint = kSubject;
  REQUIRE(w.begin());
  REQUIRE(w.begin(did));
  REQUIRE(w.begin(LoginWorld::server_start()));
  const auto pushed = w.requests_to("/par");
  CHECK(field(pushed[0], "login_hint") == "alice.test");
  CHECK(field(pushed[1], "login_hint") == kSubject);
  const auto form = form_of(pushed[2]);
  CHECK(form_value(form, "login_hint").value() == nullptr);
}

TEST_CASE("begin: C4.11, C4.12: the login is remembered, sealed, before its URL is given",
          "[login]") {
  TemporaryFolder folder;
  auto vault = memory_vault();
  auto clock = std::make_shared<ManualClock>(kNow);
  LoginWorld w(
      FilesystemOAuthTokenStore::open(folder.path() / "store", vault->sealer(), {.clock = clock})
          .value(),
      vault);
  const std::string state = w.begun();
  const std::string on_disk = all_files(folder.path());
  CHECK(on_disk.size() > 100);
  w.restart();  // the process that began it is gone
  REQUIRE(w.login->finish(LoginWorld::callback(state)));
  const auto exchanged = w.requests_to("/token");
  CHECK(on_disk.find(state) == std::string::npos);
  CHECK(on_disk.find(field(exchanged[0], "code_verifier")) == std::string::npos);
  CHECK(field(exchanged[0], "redirect_uri") == kRedirect);  // C4.12
  CHECK(w.world.stored().handle == "alice.test");
  CHECK(w.world.stored().resource_server == "https://pds.test");
}

TEST_CASE("begin: C4.11: a login that can't be remembered has no URL", "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  w.world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "save_pending") return std::nullopt;
    return make_error(ErrorCode::io, "io.no_space", "the disk is full");
  });
  CHECK(outcome(w.begin()) == "io io.no_space");
  CHECK(w.keys() == before);
}

TEST_CASE("begin: a part of the declared scope may be asked for, more may not", "[login]") {
  LoginWorld w;
  const auto ask = [&](std::string scope) {
    return w.login->begin(
        LoginWorld::account(),
        {.redirect_uri = std::string(kRedirect), .scope = std::move(scope), .app_state = {}});
  };
  REQUIRE(ask("atproto"));
  CHECK(field(w.requests_to("/par")[0], "scope") == "atproto");
  const std::size_t before = w.keys();
  CHECK(outcome(ask("transition:generic")) == "invalid_argument login.scope");
  CHECK(outcome(ask("atproto transition:chat.bsky")) == "invalid_argument login.scope");
  CHECK(ask("atproto \"").error().code == ErrorCode::invalid_argument);
  CHECK(w.requests_to("/par").size() == 1);
  CHECK(w.keys() == before);
}

TEST_CASE("begin: a redirect that the client does not declare is refused at once", "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  for (const char* redirect : {"", "http://127.0.0.1:4321/other", "http://localhost:4321/callback",
                               "https://127.0.0.1/callback", "http://127.0.0.1:4321/callback?x=1",
                               "http://127.0.0.1:4321/callback#f", "http://evil.test/callback"}) {
    CAPTURE(redirect);
    CHECK(outcome(w.login->begin(LoginWorld::account(),
                                 {.redirect_uri = redirect, .scope = {}, .app_state = {}})) ==
          "invalid_argument login.redirect");
  }
  CHECK(w.server->count() == 0);
  CHECK(w.keys() == before);
}

TEST_CASE("begin: a record that can't be read is found out before the browser opens", "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  w.world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "load") return std::nullopt;
    return make_error(ErrorCode::corrupt, "box.altered", "the record was changed");
  });
  CHECK(outcome(w.begin()) == "corrupt box.altered");
  CHECK(w.server->count() == 0);
  CHECK(w.keys() == before);
  CHECK(w.begin(LoginWorld::server_start()));  // nobody knows yet whose record it will be
}

TEST_CASE("begin: whatever the server answers instead, neither key nor login is left", "[login]") {
  struct Case {
    Result<HttpResponse> answer;
    std::string outcome;
  };
  std::vector<Case> cases;
  const auto add = [&](int status, std::string_view body, std::string expected) {
    cases.push_back({json_answer(status, body), std::move(expected)});
  };
  add(400, R"({"error":"invalid_request"})", "provider_error par.invalid_request");
  add(401, R"({"error":"invalid_client"})", "invalid_client par.invalid_client");
  add(400, R"({"error":"invalid_dpop_proof"})", "dpop_refused par.invalid_dpop_proof");
  add(429, R"({"error":"slow_down"})", "rate_limited par.rate_limited");
  add(500, "<html>", "provider_error par.server_error");
  add(302, "", "invalid_response par.status");
  add(201, "", "invalid_response par.not_json");
  add(201, "{}", "invalid_response par.missing_member");
  add(201, R"({"request_uri":"a b"})", "invalid_response par.request_uri");
  add(201, R"({"request_uri":"urn:x","expires_in":0})", "invalid_response par.expires_in");
  cases.push_back(
      {make_error(ErrorCode::unreachable, "test.gone", "gone"), "unreachable test.gone"});
  cases.push_back(
      {json_answer(400, R"({"error":"use_dpop_nonce"})"), "dpop_refused dpop.nonce_again"});
  for (Case& c : cases) {
    CAPTURE(c.outcome);
    LoginWorld w;
    const std::size_t before = w.keys();
    w.server->push(std::move(c.answer));
    const auto begun = w.begin();
    REQUIRE_FALSE(begun);
    CHECK(outcome(begun) == c.outcome);
    CHECK(keeps_secrets(w, begun.error()));
    CHECK(w.keys() == before);
    const std::string state = field(w.requests_to("/par")[0], "state");
    CHECK(outcome(w.login->finish(LoginWorld::callback(state))) ==
          "callback_invalid callback.unknown_state");
  }
}

TEST_CASE("begin: the browser is never sent to an authorization endpoint without https",
          "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  for (const char* endpoint :
       {"", "http://as.test/authorize", "javascript:alert(1)", "https://as.test/authorize#f"}) {
    CAPTURE(endpoint);
    LoginTarget target = LoginWorld::account();
    target.server.authorization_endpoint = endpoint;
    CHECK_FALSE(w.begin(target));
    CHECK(w.keys() == before);
  }
}

TEST_CASE("begin: the caller's stop reaches the wire", "[login]") {
  LoginWorld w;
  std::stop_source stop;
  REQUIRE(w.login->begin(LoginWorld::account(), {.redirect_uri = std::string(kRedirect),
                                                 .scope = {},
                                                 .app_state = {},
                                                 .stop = stop.get_token()}));
  stop.request_stop();
  CHECK(w.server->options()[0].stop.stop_requested());
}

TEST_CASE("abandon: the login and its key are gone, other logins are not", "[login]") {
  LoginWorld w;
  const std::size_t before = w.keys();
  const std::string left = w.begun(), kept = w.begun();
  w.login->abandon(left);
  w.login->abandon(left);
  w.login->abandon("never-seen");
  w.login->abandon("");
  CHECK(w.keys() == before + 1);
  CHECK(outcome(w.login->finish(LoginWorld::callback(left))) ==
        "callback_invalid callback.unknown_state");
  CHECK(w.login->finish(LoginWorld::callback(kept)));
}
