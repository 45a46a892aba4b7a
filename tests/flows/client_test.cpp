// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.flows.code_login;
import latchkey.flows.grant;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.token;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.flow_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A client of any provider, over the sessions, stores and refreshes that ATProto has.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

OAuthClient client_of(FlowWorld& w, const std::function<void(OAuthClientOptions&)>& change = {}) {
  OAuthClientOptions options = w.options();
  if (change) change(options);
  return OAuthClient::create(std::move(options)).value();
}

void judged(FlowWorld& w, OAuthClientOptions& options) {
  options.validator = w.validator;
  w.answer_with({{"id_token", R"("the.id.token")"}});
}

std::optional<OAuthSession> stored(const FlowWorld& w, std::string_view subject) {
  return w.world.store->load(subject).value();
}

}  // namespace

TEST_CASE("create: a client needs a store", "[client]") {
  const FlowWorld w;
  OAuthClientOptions options = w.options();
  options.store.reset();
  CHECK(outcome(OAuthClient::create(std::move(options))) ==
        "invalid_argument client.store_missing");
}

TEST_CASE("login: the session is saved under the name that it was given", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w);
  const SessionSummary session = client.login("work", w.person()).value();
  CHECK(session.subject == "work");
  const OAuthSession saved = stored(w, "work").value();
  CHECK(static_cast<const SessionSummary&>(saved) == session);
  CHECK(saved.access_token.expose() == std::string_view("at-fresh"));
  CHECK(saved.token_type == "Bearer");
  CHECK(saved.dpop_jkt.empty());
  CHECK(saved.client_id == "my-client");
  CHECK(saved.login_id != 0);
  CHECK(client.fresh("work").value()->access_token.expose() == std::string_view("at-fresh"));
}

TEST_CASE("login: with an id token nobody has to name the session", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [&](OAuthClientOptions& o) { judged(w, o); });
  const SessionSummary session = client.login({}, w.person()).value();
  CHECK(session.subject == "https://op.test|alice-1");
  CHECK(session.handle == "alice");
  CHECK(stored(w, "https://op.test|alice-1"));
}

TEST_CASE("login: without an id token somebody must name the session", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w);
  CHECK(outcome(client.login({}, w.person())) == "invalid_argument login.subject_missing");
  CHECK(w.transport->count() == 0);
}

TEST_CASE("G-17: logging in again as somebody else is refused, and what was there stays",
          "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [&](OAuthClientOptions& o) { judged(w, o); });
  const SessionSummary before = client.login({}, w.person()).value();
  w.validator->subject = "bob-2";
  CHECK(outcome(client.login(before.subject, w.person())) == "token_invalid token.sub_mismatch");
  CHECK(stored(w, before.subject)->revision == before.revision);
  CHECK_FALSE(stored(w, "https://op.test|bob-2"));
  CHECK(w.revoked() == std::vector<std::string>{"rt-fresh"});
}

TEST_CASE("login: DPoP when it is offered, and the key stays with the session", "[client]") {
  FlowWorld w;
  w.offer_dpop();
  w.offer_par();
  w.answer_with({{"token_type", R"("dpop")"}});
  OAuthClient client = client_of(w);
  const std::size_t keys = w.keys();
  const SessionSummary session = client.login("work", w.person()).value();
  CHECK(session.token_type == "DPoP");
  CHECK_FALSE(session.dpop_jkt.empty());
  CHECK(w.keys() == keys + 1);
  CHECK(w.requests_to("/par").front().headers.find("DPoP") != nullptr);
}

TEST_CASE("login: nothing is left of one that was refused", "[client]") {
  FlowWorld w;
  w.offer_dpop();  // and the answer is Bearer
  OAuthClient client = client_of(w);
  const std::size_t keys = w.keys();
  CHECK(outcome(client.login("work", w.person())) == "token_invalid token.type");
  CHECK_FALSE(stored(w, "work"));
  CHECK(w.keys() == keys);
  CHECK(w.revoked() == std::vector<std::string>{"rt-fresh"});
  CHECK(outcome(client.login("work", w.person_with("state=STATE&error=server_error"))) ==
        "provider_error callback.error");
  CHECK(w.keys() == keys);
}

TEST_CASE("login: two at once do not disturb each other", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w);
  LoginInteraction outer = w.person();
  const auto paste = outer.paste;
  const auto on_url = outer.on_url;
  std::optional<Url> mine;
  outer.on_url = [&](const Url& url) { mine = url; };
  outer.paste = [&]() -> Result<std::string> {
    REQUIRE(outcome(client.login("inner", w.person())) == "ok");
    w.page = *mine;
    return paste();
  };
  REQUIRE(outcome(client.login("outer", outer)) == "ok");
  CHECK(stored(w, "inner"));
  CHECK(stored(w, "outer"));
  CHECK(w.revoked().empty());
}

TEST_CASE("login: what the person brings is taken once", "[client]") {
  FlowWorld w;
  const auto keeper = std::shared_ptr<SessionKeeper>(client_of(w).shared_keeper());
  CodeLogin login(keeper, [](const auto&, const auto&, TimePoint, auto) -> Result<OAuthSession> {
    return make_error(ErrorCode::token_invalid, "mine", "no");
  });
  const OAuthClientOptions options = w.options();
  auto request = make_code_request(options, {}, "http://127.0.0.1:1/callback").value();
  const std::string state = login.begin(request).value().state;
  CHECK(outcome(login.finish("state=" + state + "&code=c")) == "token_invalid mine");
  CHECK(outcome(login.finish("state=" + state + "&code=c")) ==
        "callback_invalid callback.unknown_state");
  CHECK(outcome(login.finish("code=c")) == "callback_invalid callback.unknown_state");
}

TEST_CASE("C4.11: a login survives the process that began it, for ten minutes", "[client]") {
  FlowWorld w;
  const OAuthClientOptions options = w.options();
  const auto judge = [](const TokenAnswer& answer, const PendingLogin& pending, TimePoint at,
                        std::stop_token) -> Result<OAuthSession> {
    return session_from_grant(answer, terms_of(pending), at);
  };
  auto request = make_code_request(options, {}, "http://127.0.0.1:1/callback").value();
  request.subject = "work";
  const auto begun = [&] {
    return CodeLogin(client_of(w).shared_keeper(), judge).begin(request).value().state;
  };
  const std::string first = begun(), second = begun();
  w.world.clock->advance(9min);
  CHECK(outcome(
            CodeLogin(client_of(w).shared_keeper(), judge).finish("state=" + first + "&code=c")) ==
        "ok");
  w.world.clock->advance(2min);
  CHECK(outcome(
            CodeLogin(client_of(w).shared_keeper(), judge).finish("state=" + second + "&code=c")) ==
        "callback_invalid callback.unknown_state");
}

TEST_CASE("fresh: a session is renewed, and an omitted refresh token kept", "[client]") {
  FlowWorld w;
  OAuthClient client =
      client_of(w, [](OAuthClientOptions& o) { o.resources = {"https://api.test"}; });
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  w.world.clock->advance(2h);
  w.answer_with({{"access_token", R"("at-2")"}, {"refresh_token", ""}, {"scope", ""}});
  const auto renewed = client.fresh("work").value();
  CHECK(renewed->access_token.expose() == std::string_view("at-2"));
  CHECK(renewed->refresh_token->expose() == std::string_view("rt-fresh"));
  CHECK(renewed->scope == "read write");
  const HttpRequest refresh = w.requests_to("/token").back().clone();
  CHECK(field(refresh, "grant_type") == "refresh_token");
  CHECK(field(refresh, "resource") == "https://api.test");
}

TEST_CASE("fresh: a mapping reads refreshes too", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [](OAuthClientOptions& o) {
    o.map_answer = [](JsonObject& answer) { return read_token_answer(answer, "token", "Bearer"); };
  });
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  w.world.clock->advance(2h);
  w.answer_with({{"access_token", R"("at-2")"}, {"token_type", ""}});
  CHECK(client.fresh("work").value()->access_token.expose() == std::string_view("at-2"));
}

TEST_CASE("fresh: keys that can't be fetched cost no session", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [&](OAuthClientOptions& o) { judged(w, o); });
  const std::string subject = client.login({}, w.person()).value().subject;
  w.world.clock->advance(2h);
  w.validator->refusal = make_error(ErrorCode::unreachable, "http.connect", "no keys");
  w.answer_with({{"access_token", R"("at-2")"},
                 {"refresh_token", R"("rt-2")"},
                 {"id_token", R"("the.id.token")"}});
  CHECK(client.fresh(subject).value()->access_token.expose() == std::string_view("at-2"));
  CHECK(stored(w, subject)->refresh_token->expose() == std::string_view("rt-2"));
  CHECK(w.revoked().empty());
}

TEST_CASE("login: a new login of a subject takes the place of the old one, whose grant goes on",
          "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w);
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  w.answer_with({{"refresh_token", R"("rt-2")"}});
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  CHECK(stored(w, "work")->refresh_token->expose() == std::string_view("rt-2"));
  CHECK(w.revoked().empty());
}

TEST_CASE("a session that is bound to a key, and a client without a vault: an error, no crash",
          "[client]") {
  FlowWorld w;
  OAuthClient bound = client_of(w, [](OAuthClientOptions& o) { o.proof = ProofRule::required; });
  w.answer_with({{"token_type", R"("DPoP")"}});
  REQUIRE(outcome(bound.login("work", w.person())) == "ok");
  OAuthClient other = client_of(w, [](OAuthClientOptions& o) {
    o.vault = nullptr;
    o.allowed_origins = {"https://api.test"};
  });
  CHECK(outcome(other.request("work", "GET", "https://api.test/me")) ==
        "key_missing vault.key_missing");
  w.world.clock->advance(2h);
  CHECK(outcome(other.fresh("work")) == "key_missing vault.key_missing");
}

TEST_CASE("create: whoever said that id tokens are validated needs who validates them",
          "[client]") {
  FlowWorld w;
  OAuthClientOptions options = w.options();
  options.requires_validated_id_token = true;
  CHECK(outcome(OAuthClient::create(std::move(options))) == "invalid_argument client.validator");
}

TEST_CASE("G-19: a refresh that answers with somebody else's id token is refused", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [&](OAuthClientOptions& o) { judged(w, o); });
  const std::string subject = client.login({}, w.person()).value().subject;
  w.world.clock->advance(2h);
  w.validator->refusal = make_error(ErrorCode::token_invalid, "id_token.subject", "another");
  CHECK(outcome(client.fresh(subject)) == "token_invalid id_token.subject");
  CHECK(w.validator->expected_subject == "alice-1");
  CHECK(w.validator->nonce.empty());
}

TEST_CASE("request: the token goes to the origins that were named, and to no other", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w, [](OAuthClientOptions& o) {
    o.resources = {"https://api.test/v1", "urn:example:x"};
    o.allowed_origins = {"https://files.test"};
  });
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  const auto ask = [&](std::string_view url) {
    return outcome(client.request("work", "GET", url));
  };
  CHECK(ask("https://api.test/v1/me?x=1") == "ok");
  CHECK(ask("https://files.test/a") == "ok");
  const HttpRequest sent = w.requests_to("/v1/me").front().clone();
  REQUIRE(sent.authorization);
  CHECK(sent.authorization->scheme == Authorization::Scheme::bearer);
  CHECK(sent.authorization->credentials.expose() == std::string_view("at-fresh"));
  const std::size_t before = w.transport->count();
  const std::string refused = "insecure_address resource.other_origin";
  CHECK(ask("https://evil.test/") == refused);
  CHECK(ask("https://api.test:8443/") == refused);
  CHECK(ask("http://api.test/") == refused);
  CHECK(ask("https://api.test.evil.test/") == refused);
  CHECK(ask("https://op.test/userinfo") == refused);
  CHECK(ask("/v1/me") == "invalid_url url.malformed");
  CHECK(w.transport->count() == before);
}

TEST_CASE("request: a body goes with its type", "[client]") {
  FlowWorld w;
  OAuthClient client =
      client_of(w, [](OAuthClientOptions& o) { o.allowed_origins = {"https://api.test"}; });
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  REQUIRE(outcome(client.request("work", "POST", "https://api.test/x", "text/plain", "hi")) ==
          "ok");
  const HttpRequest sent = w.requests_to("/x").front().clone();
  CHECK(sent.method == "POST");
  CHECK(*sent.headers.find("Content-Type") == "text/plain");
  CHECK(sent.body.expose() == std::string_view("hi"));
  CHECK(outcome(client.request("nobody", "GET", "https://api.test/x")) ==
        "login_required session.absent");
}

TEST_CASE("RFC 7009: logout ends the session here and there", "[client]") {
  FlowWorld w;
  OAuthClient client = client_of(w);
  REQUIRE(outcome(client.login("work", w.person())) == "ok");
  CHECK(client.logout("work").value() == LogoutOutcome::revoked);
  CHECK(w.revoked() == std::vector<std::string>{"rt-fresh"});
  CHECK_FALSE(stored(w, "work"));
  CHECK(client.logout("work").value() == LogoutOutcome::not_logged_in);
}
