// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.discovery;
import latchkey.atproto.login;
import latchkey.core;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.login_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// The second half of a login: what comes back from the browser, and what becomes of it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kUnknown = "callback_invalid callback.unknown_state";
using Tokens = std::vector<std::string>;

// Ends a login of alice's, who is logged in already, with this query, and checks that the refusal
// left everything as it was.
std::string refusal(LoginWorld& w, const std::function<std::string(const std::string&)>& query,
                    const LoginTarget& target = LoginWorld::account()) {
  const Revision before = w.world.log_in();
  const std::size_t keys = w.keys();
  const std::string state = w.begun(target);
  const auto session = w.login->finish(query(state));
  REQUIRE_FALSE(session);
  CHECK(keeps_secrets(w, session.error()));
  CHECK(w.keys() == keys);
  CHECK(w.world.stored().revision == before);
  CHECK(w.world.store->list({}, 10).value().sessions.size() == 1);
  CHECK(outcome(w.login->finish(LoginWorld::callback(state))) == kUnknown);  // it is spent
  return outcome(session);
}

std::string refused_token(LoginWorld& w, std::string body,
                          const LoginTarget& target = LoginWorld::account()) {
  w.on_token = [body = std::move(body)](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, body);
  };
  return refusal(w, LoginWorld::callback, target);
}

}  // namespace

TEST_CASE("finish: the session is saved, with what the login knew and the server granted",
          "[login]") {
  LoginWorld w;
  const std::string state = w.begun();
  w.world.clock->advance(5min);
  const auto session = w.login->finish(LoginWorld::callback(state)).value();
  const OAuthSession stored = w.world.stored();
  CHECK(static_cast<const SessionSummary&>(*session) == stored);
  CHECK(stored.subject == kSubject);
  CHECK(stored.issuer == kIssuer);
  CHECK(stored.resource_server == "https://pds.test");
  CHECK(stored.token_endpoint == "https://as.test/token");
  CHECK(stored.revocation_endpoint == "https://as.test/revoke");
  CHECK(stored.client_id == w.client.client_id);
  CHECK(stored.redirect_uri == kRedirect);
  CHECK(stored.scope == "atproto transition:generic");
  CHECK(stored.token_type == "DPoP");
  CHECK(stored.handle == "alice.test");
  CHECK(stored.issued_at == kNow + 5min);
  CHECK(stored.expires_at == kNow + 5min + 1h);
  CHECK(stored.session_started_at == kNow + 5min);
  CHECK(stored.login_id != 0);
  CHECK(stored.access_token.expose() == kAccess);
  CHECK(stored.refresh_token->expose() == kRefresh);
  CHECK(w.world.vault->get(stored.dpop_jkt).value().has_value());
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("finish: C5.4: the code is sent with exactly these fields", "[login]") {
  LoginWorld w;
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun())));
  const auto sent = w.requests_to("/token");
  REQUIRE(sent.size() == 1);
  CHECK(field_names(sent[0]) == std::vector<std::string>{"grant_type", "code", "redirect_uri",
                                                         "code_verifier", "client_id"});
  CHECK(field(sent[0], "grant_type") == "authorization_code");
  CHECK(field(sent[0], "code") == kCode);
  CHECK(field(sent[0], "redirect_uri") == kRedirect);
  CHECK(field(sent[0], "client_id") == w.client.client_id);
}

TEST_CASE("finish: C5.9: the scope is what was granted, not what was asked for", "[login]") {
  LoginWorld w;
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json({{"scope", "\"atproto\""}, {"expires_in", ""}}));
  };
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun())));
  CHECK(w.world.stored().scope == "atproto");
  CHECK_FALSE(w.world.stored().expires_at.has_value());
}

TEST_CASE("finish: C5.1: a callback of no login of ours changes nothing", "[login]") {
  LoginWorld w;
  const std::string state = w.begun();
  for (const std::string& query : std::vector<std::string>{
           std::string(), std::string("x"), LoginWorld::callback("other"), LoginWorld::callback(""),
           "state=" + state.substr(1), "state=" + state + "&" + LoginWorld::callback(state),
           "state=%zz", "error=access_denied&iss=https%3A%2F%2Fas.test",
           std::string("error=access_denied&state=other&iss=https%3A%2F%2Fas.test"),  // C5.3
           "response=eyJhbGciOiJub25lIn0.e30.", std::string(20'000, 'x')}) {
    CAPTURE(query.substr(0, 100));
    CHECK(outcome(w.login->finish(query)) == kUnknown);
  }
  CHECK(w.requests_to("/token").empty());
  CHECK(w.login->finish(LoginWorld::callback(state)));
}

TEST_CASE("finish: C5.1: the second time the same callback is unknown", "[login]") {
  LoginWorld w;
  const std::string state = w.begun();
  REQUIRE(w.login->finish(LoginWorld::callback(state)));
  const Revision before = w.world.stored().revision;
  CHECK(outcome(w.login->finish(LoginWorld::callback(state))) == kUnknown);
  CHECK(w.requests_to("/token").size() == 1);
  CHECK(w.world.stored().revision == before);
  CHECK(w.world.vault->get(w.world.stored().dpop_jkt).value().has_value());
}

TEST_CASE("finish: of two browsers with one callback, one is let in", "[login][concurrency]") {
  LoginWorld w;
  const std::string query = LoginWorld::callback(w.begun());
  const auto finish = [&] { return outcome(w.login->finish(query)); };
  auto other = std::async(std::launch::async, finish);
  const std::string one = finish(), two = other.get();
  CHECK(((one == "ok" && two == kUnknown) || (two == "ok" && one == kUnknown)));
  CHECK(w.requests_to("/token").size() == 1);
}

TEST_CASE("finish: a login is good for ten minutes", "[login]") {
  LoginWorld w;
  const std::string in_time = w.begun(), late = w.begun();
  w.world.clock->advance(10min - 1ms);
  CHECK(w.login->finish(LoginWorld::callback(in_time)));
  w.world.clock->advance(1ms);
  CHECK(outcome(w.login->finish(LoginWorld::callback(late))) == kUnknown);
  CHECK(w.requests_to("/token").size() == 1);
}

TEST_CASE("finish: C5.2, C5.3, C5.13: a callback that breaks a rule never reaches the server",
          "[login]") {
  const std::string iss = "&iss=https%3A%2F%2Fas.test", code = "&code=" + std::string(kCode);
  const std::map<std::string, std::string> cases{
      {code, "callback_invalid callback.iss_missing"},
      {code + "&iss=", "callback_invalid callback.iss_mismatch"},
      {code + "&iss=https%3A%2F%2Fas.test%2F", "callback_invalid callback.iss_mismatch"},
      {code + "&iss=https%3A%2F%2FAS.test", "callback_invalid callback.iss_mismatch"},
      {code + "&iss=http%3A%2F%2Fas.test", "callback_invalid callback.iss_mismatch"},
      {code + "&iss=https%3A%2F%2Fevil.test", "callback_invalid callback.iss_mismatch"},
      {code + iss + iss, "callback_invalid callback.malformed"},
      {code + code + iss, "callback_invalid callback.malformed"},
      {iss, "callback_invalid callback.code_missing"},
      {"&code=" + iss, "callback_invalid callback.code_missing"},
      {"&code=a%20b" + iss, "callback_invalid callback.malformed"},
      {code + iss + "&response=" + std::string(kAccess), "callback_invalid callback.jarm"},
      {"&error=access_denied&error_description=the+code+" + std::string(kCode) + iss,
       "access_denied callback.access_denied"},
      {"&error=server_error" + iss, "provider_error callback.error"},
      {"&error=" + std::string(kCode) + iss, "provider_error callback.error"},
      {"&error=access_denied", "callback_invalid callback.iss_missing"},
  };
  for (const auto& [rest, expected] : cases) {
    CAPTURE(rest);
    LoginWorld w;
    CHECK(refusal(w, [&, tail = rest](const std::string& state) {
            return "state=" + state + tail;
          }) == expected);
    CHECK(w.requests_to("/token").empty());
    CHECK(w.world.server.revocations() == 0);
  }
}

TEST_CASE("finish: C5.5 to C5.12: what breaks a rule after it was issued is revoked, with its key",
          "[login]") {
  using Changes = std::map<std::string, std::string>;
  const std::vector<std::pair<Changes, std::string>> cases{
      {{{"token_type", "\"Bearer\""}}, "token_invalid token.type"},
      {{{"sub", ""}}, "token_invalid token.sub_missing"},
      {{{"sub", "\"alice.test\""}}, "token_invalid token.sub_malformed"},
      {{{"sub", "\"did:plc:z72i7hdynmk6r22z27h6tvur\""}}, "token_invalid token.sub_mismatch"},
      {{{"sub", "\"did:plc:EWVI7nxzyoun6zhxrhs64oiz\""}}, "token_invalid token.sub_malformed"},
      {{{"scope", ""}}, "token_invalid token.scope_missing"},
      {{{"scope", "\"\""}}, "token_invalid token.scope_missing"},
      {{{"scope", "\"transition:generic\""}}, "token_invalid token.scope_without_atproto"},
      {{{"scope", "\"atproto2\""}}, "token_invalid token.scope_without_atproto"},
      {{{"expires_in", "86401"}}, "token_invalid token.expires_in"},
      {{{"id_token", "\"" + std::string(kAccess) + "\""}},
       "token_invalid token.unexpected_id_token"},
      // Refused already for their shape.
      {{{"expires_in", "0"}}, "invalid_response token.expires_in"},
      {{{"expires_in", "\"3600\""}}, "invalid_response token.wrong_type"},
      {{{"token_type", ""}}, "invalid_response token.missing_member"},
      {{{"access_token", ""}}, "invalid_response token.missing_member"},
      {{{"access_token", "7"}}, "invalid_response token.wrong_type"},
  };
  for (const auto& [changes, expected] : cases) {
    CAPTURE(expected);
    LoginWorld w;
    CHECK(refused_token(w, token_json(changes)) == expected);
    CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
    // Servers revoke nothing without a proof of the key that the token is bound to.
    const auto revoked = w.requests_to("/revoke");
    REQUIRE(revoked.size() == 1);
    CHECK(revoked[0].headers.find("DPoP") != nullptr);
    CHECK(field(revoked[0], "client_id") == w.client.client_id);
  }
}

TEST_CASE("finish: C5.14: what an access token looks like decides nothing", "[login]") {
  // A JWT of another subject, issuer and audience, without the scope, over for long; one that is
  // broken; and no JWT at all.
  const std::string lying =
      "eyJhbGciOiJub25lIn0." +
      base64url_encode(
          as_bytes(R"({"sub":"did:plc:z72i7hdynmk6r22z27h6tvur","iss":"https://x.test",)"
                   R"("aud":"did:web:x.test","scope":"email","exp":1})")) +
      ".c2ln";
  for (const std::string& token : {lying, std::string("eyJ.eyJ.x"), std::string("opaque")}) {
    CAPTURE(token);
    LoginWorld w;
    w.on_token = [&](const HttpRequest&) -> Result<HttpResponse> {
      return json_answer(200, token_json({{"access_token", "\"" + token + "\""}}));
    };
    REQUIRE(outcome(w.login->finish(LoginWorld::callback(w.begun()))) == "ok");
    const OAuthSession stored = w.world.stored();
    CHECK(stored.access_token.expose() == token);
    CHECK(stored.subject == kSubject);
    CHECK(stored.issuer == kIssuer);
    CHECK(stored.resource_server == "https://pds.test");
    CHECK(stored.scope == "atproto transition:generic");
    CHECK(stored.expires_at == kNow + 1h);
    CHECK(w.world.keeper()->fresh(kSubject).value()->access_token.expose() == token);
    CHECK(w.requests_to("/token").size() == 1);
  }
}

TEST_CASE("finish: C5.11: without a refresh token it is the access token that is revoked",
          "[login]") {
  LoginWorld w;
  CHECK(refused_token(w, token_json({{"refresh_token", ""}, {"scope", ""}})) ==
        "token_invalid token.scope_missing");
  LoginWorld unread;
  CHECK(refused_token(unread, token_json({{"refresh_token", ""}, {"token_type", ""}})) ==
        "invalid_response token.missing_member");
  CHECK(w.world.server.revoked() == Tokens{std::string(kAccess)});
  CHECK(unread.world.server.revoked() == Tokens{std::string(kAccess)});
}

TEST_CASE("finish: an answer without tokens leaves nothing to revoke", "[login]") {
  const std::string said = R"("error_description":"no such code: )" + std::string(kCode) + R"("})";
  const std::vector<std::pair<Result<HttpResponse>, std::string>> cases = [&] {
    std::vector<std::pair<Result<HttpResponse>, std::string>> out;
    const auto add = [&](Result<HttpResponse> answer, std::string expected) {
      out.emplace_back(std::move(answer), std::move(expected));
    };
    add(json_answer(400, R"({"error":"invalid_grant",)" + said),
        "invalid_grant token.invalid_grant");
    add(json_answer(401, R"({"error":"invalid_client",)" + said),
        "invalid_client token.invalid_client");
    add(json_answer(200, R"({"error":"invalid_grant",)" + said),
        "invalid_grant token.invalid_grant");
    add(json_answer(500, "<html>" + std::string(kCode)), "provider_error token.server_error");
    add(json_answer(200, "<html>" + std::string(kCode)), "invalid_response token.not_json");
    add(json_answer(307, "", {{"Location", "https://evil.test/"}}),
        "invalid_response token.status");
    add(answer(200, {{"Content-Type", "text/plain"}}, "<p>"),
        "invalid_response token.content_type");
    add(answer(200, {{"Content-Type", "text/plain"}}, "{}"),
        "invalid_response token.missing_member");
    add(make_error(ErrorCode::connection_lost, "test.lost", "lost"), "connection_lost test.lost");
    return out;
  }();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(cases[i].second);
    LoginWorld w;
    w.on_token = [&](const HttpRequest&) -> Result<HttpResponse> {
      const Result<HttpResponse>& scripted = cases[i].first;
      if (!scripted) return scripted.error();
      return HttpResponse{scripted->status, scripted->headers, scripted->body.clone()};
    };
    CHECK(refusal(w, LoginWorld::callback) == cases[i].second);
    CHECK(w.world.server.revocations() == 0);
    CHECK(w.requests_to("/token").size() == 1);  // a code is never sent twice
  }
}

TEST_CASE("finish: C5.8: a server may log in those whose PDS names it", "[login]") {
  LoginWorld w;
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun(LoginWorld::server_start()))));
  CHECK(w.world.stored().resource_server == "https://pds.test");
  CHECK(w.world.stored().handle == "alice.test");
  w.documents.erase("https://alice.test/.well-known/atproto-did");
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun(LoginWorld::server_start()))));
  CHECK(w.world.stored().handle == "handle.invalid");
}

TEST_CASE("finish: C5.8: a server that may not speak for the account is refused and told so",
          "[login]") {
  const std::string resource = "https://pds.test/.well-known/oauth-protected-resource";
  const std::string document = "https://plc.directory/" + std::string(kSubject);
  const std::map<std::string, std::function<void(LoginWorld&)>> cases{
      {"identity_mismatch issuer.not_authoritative",
       [&](LoginWorld& w) {
         w.documents[resource] =
             R"({"resource":"https://pds.test","authorization_servers":["https://other.test"]})";
       }},
      {"identity_not_found did.not_found", [&](LoginWorld& w) { w.documents.erase(document); }},
      {"invalid_metadata metadata.status", [&](LoginWorld& w) { w.documents.erase(resource); }},
  };
  for (const auto& [expected, change] : cases) {
    CAPTURE(expected);
    LoginWorld w;
    change(w);
    CHECK(refused_token(w, token_json(), LoginWorld::server_start()) == expected);
    CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
  }
}

TEST_CASE("finish: TS-58: the session that was there is revoked once the new one is stored",
          "[login]") {
  LoginWorld w;
  w.world.log_in();
  REQUIRE(w.login->finish(LoginWorld::callback(w.begun())));
  CHECK(w.world.server.revoked() == Tokens{"rt-1"});
  CHECK(w.world.stored().access_token.expose() == kAccess);
  CHECK_FALSE(w.world.vault->get(w.world.jkt).value().has_value());
}

TEST_CASE("finish: TS-59: a session that can't be saved is revoked and leaves nothing", "[login]") {
  LoginWorld w;
  w.world.log_in();
  w.world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "save") return std::nullopt;
    return make_error(ErrorCode::io, "io.no_space", "the disk is full");
  });
  const std::size_t keys = w.keys();
  const auto session = w.login->finish(LoginWorld::callback(w.begun()));
  CHECK(outcome(session) == "io io.no_space");
  CHECK(keeps_secrets(w, session.error()));
  CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
  CHECK(w.world.stored().access_token.expose() == "at-1");
  CHECK(w.keys() == keys);
}

TEST_CASE("finish: a pending login that was tampered with is no login", "[login]") {
  LoginWorld w;
  const std::string state = w.begun(), key = sha256_base64url(state);
  auto pending = w.world.store->take_pending(key, w.world.clock->now()).value().value();
  pending.box.back() ^= 1;
  REQUIRE(w.world.store->save_pending(pending, w.world.clock->now()));
  CHECK(outcome(w.login->finish(LoginWorld::callback(state))) == "corrupt box.altered");
  CHECK(w.requests_to("/token").empty());
}

TEST_CASE("finish: one login's record under another's name is no login", "[login]") {
  LoginWorld w;
  const std::string one = w.begun(), two = w.begun();
  const TimePoint now = w.world.clock->now();
  auto pending = w.world.store->take_pending(sha256_base64url(one), now).value().value();
  REQUIRE(w.world.store->take_pending(sha256_base64url(two), now).value().has_value());
  pending.key = sha256_base64url(two);
  REQUIRE(w.world.store->save_pending(pending, now));
  CHECK(outcome(w.login->finish(LoginWorld::callback(two))) == "corrupt box.altered");
}
