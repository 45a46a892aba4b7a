// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.flows.authorization_code;
import latchkey.flows.client_options;
import latchkey.http;
import latchkey.oauth.pkce;
import latchkey.oauth.token;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.session;
import latchkey.test.flow_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A whole flow whose tokens the program takes into its own hands.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

auto plain(FlowWorld& w) {
  return AuthorizationCodeFlow::builder()
      .client_id("my-client")
      .server(w.server)
      .scope("read write");
}

auto openid(FlowWorld& w) {
  return plain(w).openid().validate_id_token_with(w.validator);
}

template <class Builder>
auto run(FlowWorld& w, Builder builder) {
  return std::move(builder).interaction(w.person()).build().authorize(w.environment());
}

}  // namespace

TEST_CASE("LA-35: a code is exchanged for tokens, with what the flow began with", "[authorize]") {
  FlowWorld w;
  const auto tokens = run(w, plain(w)).value();
  CHECK(tokens.access_token().expose() == std::string_view("at-fresh"));
  CHECK(tokens.refresh_token()->expose() == std::string_view("rt-fresh"));
  CHECK(tokens.scope() == "read write");
  CHECK(tokens.expires_at() == kNow + 3600s);
  REQUIRE(w.requests_to("/token").size() == 1);
  const HttpRequest request = w.requests_to("/token").front().clone();
  CHECK(field_names(request) == std::vector<std::string>{"grant_type", "code", "redirect_uri",
                                                         "code_verifier", "client_id"});
  CHECK(field(request, "code") == "the-code");
  CHECK(field(request, "redirect_uri") == w.asked("redirect_uri"));
  CHECK(code_challenge_s256(SecretString(field(request, "code_verifier"))) ==
        w.asked("code_challenge"));
  CHECK(w.requests_to("/par").empty());
  CHECK(w.revoked().empty());
}

TEST_CASE("authorize: without openid there is no nonce, and no id token is looked at",
          "[authorize]") {
  FlowWorld w;
  w.answer_with({{"id_token", R"("the.id.token")"}});
  const auto tokens = run(w, plain(w)).value();
  CHECK_FALSE(w.asked_for("nonce"));
  CHECK(w.asked("scope") == "read write");
  CHECK(tokens.raw_id_token()->expose() == std::string_view("the.id.token"));
  CHECK(w.validator->asked == 0);
}

TEST_CASE("LA-24: an id token is validated with the nonce that was sent", "[authorize]") {
  FlowWorld w;
  w.answer_with({{"id_token", R"("the.id.token")"}});
  const auto tokens = run(w, openid(w)).value();
  CHECK(tokens.claims().subject == "alice-1");
  CHECK(w.asked("scope") == "openid read write");
  CHECK(w.asked("nonce").size() >= 22);
  CHECK(w.validator->nonce == w.asked("nonce"));
  CHECK(w.validator->issuer == kProvider);
  CHECK(w.validator->client_id == "my-client");
  CHECK(w.validator->access_token == "at-fresh");
}

TEST_CASE("G-18: whatever is refused after it was issued is revoked", "[authorize]") {
  FlowWorld w;
  SECTION("no id token although one was asked for") {
    CHECK(outcome(run(w, openid(w))) == "token_invalid token.id_token_missing");
  }
  SECTION("an id token that the validator refuses") {
    w.answer_with({{"id_token", R"("the.id.token")"}});
    w.validator->refusal = make_error(ErrorCode::token_invalid, "id_token.nonce", "no");
    CHECK(outcome(run(w, openid(w))) == "token_invalid id_token.nonce");
  }
  SECTION("bound to a key that nobody proved") {
    w.answer_with({{"token_type", R"("DPoP")"}});
    CHECK(outcome(run(w, plain(w))) == "token_invalid token.type");
  }
  SECTION("an absurd expiry") {
    w.answer_with({{"expires_in", "0"}});
    CHECK(outcome(run(w, plain(w))) == "invalid_response token.expires_in");
  }
  SECTION("a mapping that refuses it") {
    CHECK(outcome(run(w, plain(w).token_answer_mapper([](JsonObject&) -> Result<TokenAnswer> {
            return make_error(ErrorCode::invalid_argument, "mine", "no");
          }))) == "invalid_response token.not_mapped");
  }
  CHECK(w.revoked() == std::vector<std::string>{"rt-fresh"});
}

TEST_CASE("LA-60: without a validator that checks signatures the flow does not even begin",
          "[authorize]") {
  FlowWorld w;
  w.validator->signature = false;
  CHECK(outcome(run(w, openid(w))) == "invalid_argument flow.validator");
  CHECK(outcome(run(w, plain(w).openid().validate_id_token_with(nullptr))) ==
        "invalid_argument flow.validator");
  CHECK(w.transport->count() == 0);
}

TEST_CASE("without_jwks_validation: the claims must be right all the same", "[authorize]") {
  FlowWorld w;
  const auto token_of = [&](std::string_view aud) {
    const std::string claims = R"({"iss":"https://op.test","sub":"a","aud":")" + std::string(aud) +
                               R"(","exp":)" + std::to_string(kNow.time_since_epoch() / 1s + 60) +
                               R"(,"iat":)" + std::to_string(kNow.time_since_epoch() / 1s) +
                               R"(,"nonce":")" + w.asked("nonce") + "\"}";
    return "eyJhbGciOiJSUzI1NiJ9." + base64url_encode(as_bytes(claims)) + ".AAAA";
  };
  std::string audience = "my-client";
  w.on_token = [&](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, answer_json({{"id_token", '"' + token_of(audience) + '"'}}));
  };
  const auto tokens = run(w, plain(w).openid().without_jwks_validation());
  REQUIRE(outcome(tokens) == "ok");
  CHECK(tokens->raw_id_token() != nullptr);
  audience = "another";
  CHECK(outcome(run(w, plain(w).openid().without_jwks_validation())) ==
        "token_invalid id_token.audience");
  CHECK(w.revoked() == std::vector<std::string>{"rt-fresh"});
}

TEST_CASE("PAR: it is used when it is offered, and the URL then shows nothing", "[authorize]") {
  FlowWorld w;
  w.offer_par();
  REQUIRE(outcome(run(w, plain(w).extra_parameter("prompt", "login").resource("urn:x:y"))) == "ok");
  CHECK(w.page.query() == "tenant=1&client_id=my-client&request_uri=urn%3Areq%3A1");
  const HttpRequest pushed = w.requests_to("/par").front().clone();
  CHECK(field(pushed, "prompt") == "login");
  CHECK(field(pushed, "resource") == "urn:x:y");
  CHECK(field(pushed, "client_id") == "my-client");
}

TEST_CASE("RFC 9126 5: a server that requires PAR and names no endpoint for it is refused",
          "[authorize]") {
  FlowWorld w;
  w.server.require_pushed_authorization_requests = true;
  CHECK(outcome(run(w, plain(w))) == "invalid_metadata metadata.par_endpoint_missing");
  CHECK(w.transport->count() == 0);
}

TEST_CASE("PAR: a refusal of the server ends the flow before the person sees anything",
          "[authorize]") {
  FlowWorld w;
  w.offer_par();
  w.on_par = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(400, R"({"error":"invalid_scope"})");
  };
  CHECK(outcome(run(w, plain(w))) == "provider_error par.invalid_scope");
  CHECK(w.page.host() == "never.opened");
}

TEST_CASE("DPoP: with a vault, and a server that offers it, tokens are bound to a new key",
          "[authorize]") {
  FlowWorld w;
  w.offer_dpop();
  w.answer_with({{"token_type", R"("DPoP")"}});
  const std::size_t keys = w.keys();
  FlowEnvironment environment = w.environment();
  environment.vault = w.world.vault;
  const auto tokens = plain(w).interaction(w.person()).build().authorize(environment);
  REQUIRE(outcome(tokens) == "ok");
  CHECK(tokens->token_type() == "DPoP");
  CHECK(tokens->dpop_jkt() == w.asked("dpop_jkt"));
  CHECK(w.requests_to("/token").front().headers.find("DPoP") != nullptr);
  CHECK(w.keys() == keys + 1);
}

TEST_CASE("DPoP: a key whose login came to nothing is removed", "[authorize]") {
  FlowWorld w;
  w.offer_dpop();  // and answers Bearer
  const std::size_t keys = w.keys();
  FlowEnvironment environment = w.environment();
  environment.vault = w.world.vault;
  const auto end = [&](LoginInteraction person) {
    return outcome(plain(w).interaction(std::move(person)).build().authorize(environment));
  };
  CHECK(end(w.person()) == "token_invalid token.type");
  CHECK(end(w.person_with("state=STATE&error=access_denied")) ==
        "access_denied callback.access_denied");
  CHECK(end(w.person_with("state=other&code=c")) == "callback_invalid callback.pasted_other");
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return make_error(ErrorCode::unreachable, "scripted", "down");
  };
  CHECK(end(w.person()) == "unreachable scripted");
  CHECK(w.keys() == keys);
}

TEST_CASE("LA-32: an error counts only with our state, and is the server's word", "[authorize]") {
  FlowWorld w;
  const auto end = [&](std::string query) {
    return outcome(
        plain(w).interaction(w.person_with(std::move(query))).build().authorize(w.environment()));
  };
  CHECK(end("state=STATE&error=access_denied") == "access_denied callback.access_denied");
  CHECK(end("state=STATE&error=login_required&code=c") == "provider_error callback.error");
  CHECK(end("error=access_denied") == "callback_invalid callback.pasted_other");
  CHECK(end("state=STATE") == "callback_invalid callback.code_missing");
  CHECK(end("state=STATE&code=c&iss=https://evil.test") ==
        "callback_invalid callback.iss_mismatch");
  w.server.authorization_response_iss_parameter_supported = true;
  CHECK(end("state=STATE&code=c") == "callback_invalid callback.iss_missing");
  CHECK(end("state=STATE&code=c&iss=https://op.test") == "ok");
}

TEST_CASE("LA-08: a reserved parameter is refused before anything is sent", "[authorize]") {
  FlowWorld w;
  CHECK(outcome(run(w, plain(w).extra_parameter("redirect_uri", "https://evil.test"))) ==
        "invalid_argument authorization.reserved_parameter");
  CHECK(outcome(run(w, plain(w).scope("openid"))) == "invalid_argument client.openid_in_scope");
  CHECK(w.transport->count() == 0);
  CHECK(w.page.host() == "never.opened");
}

TEST_CASE("authorize: no two runs share state, verifier or nonce", "[authorize]") {
  FlowWorld w;
  w.answer_with({{"id_token", R"("the.id.token")"}});
  const auto flow = openid(w).interaction(w.person()).build();
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(outcome(flow.authorize(w.environment())) == "ok");
    for (const std::string_view name : {"state", "nonce", "code_challenge"}) {
      CHECK(seen.insert(w.asked(name)).second);
    }
  }
}

TEST_CASE("LA-09: a mapping reads the answer of this flow", "[authorize]") {
  FlowWorld w;
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, R"({"ok":true,"authed_user":{"access_token":"nested"}})");
  };
  CHECK(outcome(run(w, plain(w))) == "invalid_response token.missing_member");
  const auto tokens = run(w, plain(w).token_answer_mapper([](JsonObject& answer) {
    auto user = answer.object("authed_user");
    return read_token_answer(**user, "token", "Bearer");
  }));
  CHECK(tokens.value().access_token().expose() == std::string_view("nested"));
}

TEST_CASE("LA-37: a scope left out of the answer is the requested one", "[authorize]") {
  FlowWorld w;
  w.answer_with({{"scope", ""}});
  CHECK(run(w, plain(w)).value().scope() == "read write");
}

TEST_CASE("authorize: a secret goes to the token endpoint as the flow says", "[authorize]") {
  FlowWorld w;
  REQUIRE(outcome(run(w, plain(w).client_secret_basic(SecretString("s")))) == "ok");
  const HttpRequest by_header = w.requests_to("/token").back().clone();
  REQUIRE(by_header.authorization);
  CHECK(by_header.authorization->scheme == Authorization::Scheme::basic);
  REQUIRE(outcome(run(w, plain(w).client_secret_post(SecretString("s")))) == "ok");
  const HttpRequest by_form = w.requests_to("/token").back().clone();
  CHECK_FALSE(by_form.authorization);
  CHECK(field(by_form, "client_secret") == "s");
  CHECK_FALSE(w.asked_for("client_secret"));
}
