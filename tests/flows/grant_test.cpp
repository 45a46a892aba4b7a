// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.grant;
import latchkey.http;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.test.flow_world;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// From a token answer to a session.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

TokenAnswer bearer() {
  return {.access_token = SecretString("access-1"),
          .token_type = "bearer",
          .expires_in = 3599s,
          .refresh_token = SecretString("refresh-1"),
          .id_token = std::nullopt,
          .scope = "read",
          .sub = "not believed"};
}

TokenAnswer with_id_token() {
  TokenAnswer answer = bearer();
  answer.id_token = SecretString("the.id.token");
  return answer;
}

GrantTerms terms() {
  GrantTerms terms;
  terms.server.issuer = kProvider;
  terms.server.token_endpoint = "https://op.test/token";
  terms.server.revocation_endpoint = "https://op.test/revoke";
  terms.server.pushed_authorization_request_endpoint = "https://op.test/par";
  terms.client_id = "my-client";
  terms.client_auth_method = ClientAuthMethod::client_secret_basic;
  terms.client_auth_kid = "kid-1";
  terms.scope = "read write";
  terms.subject = "work";
  terms.redirect_uri = "http://127.0.0.1:4321/callback";
  terms.resource_server = "https://api.test";
  return terms;
}

// A login that asked for an id token, and left it to that to say who it is.
GrantTerms openid_terms(const std::shared_ptr<ToldValidator>& validator) {
  GrantTerms out = terms();
  out.subject.clear();
  out.validator = validator;
  out.nonce = "nonce-1";
  out.max_age = 60s;
  return out;
}

std::string granted(const TokenAnswer& answer, const GrantTerms& terms) {
  return outcome(session_from_grant(answer, terms, kNow));
}

}  // namespace

TEST_CASE("grant: the session has what was asked for and what was granted", "[grant]") {
  const OAuthSession session = session_from_grant(bearer(), terms(), kNow).value();
  CHECK(session.subject == "work");
  CHECK(session.issuer == kProvider);
  CHECK(session.token_endpoint == "https://op.test/token");
  CHECK(session.revocation_endpoint == "https://op.test/revoke");
  CHECK(session.par_endpoint == "https://op.test/par");
  CHECK(session.client_id == "my-client");
  CHECK(session.client_auth_method == ClientAuthMethod::client_secret_basic);
  CHECK(session.client_auth_kid == "kid-1");
  CHECK(session.redirect_uri == "http://127.0.0.1:4321/callback");
  CHECK(session.resource_server == "https://api.test");
  CHECK(session.scope == "read");
  CHECK(session.token_type == "Bearer");
  CHECK(session.dpop_jkt.empty());
  CHECK(session.state == SessionState::active);
  CHECK(session.access_token.expose() == std::string_view("access-1"));
  CHECK(session.refresh_token->expose() == std::string_view("refresh-1"));
  CHECK_FALSE(session.id_token);
}

TEST_CASE("LA-36: expiry counts from before the request, and is unknown when not said", "[grant]") {
  const OAuthSession session = new_session(bearer(), terms(), kNow);
  CHECK(session.issued_at == kNow);
  CHECK(session.session_started_at == kNow);
  CHECK(session.expires_at == kNow + 3599s);
  CHECK_FALSE(session.refresh_expires_at);
  TokenAnswer silent = bearer();
  silent.expires_in = std::nullopt;
  CHECK_FALSE(new_session(silent, terms(), kNow).expires_at);
}

TEST_CASE("LA-37: a scope left out is the requested one", "[grant]") {
  TokenAnswer silent = bearer();
  silent.scope = std::nullopt;
  CHECK(new_session(silent, terms(), kNow).scope == "read write");
}

TEST_CASE("grant: login id and revision are not drawn here", "[grant]") {
  const OAuthSession session = new_session(bearer(), terms(), kNow);
  CHECK(session.login_id == 0);
  CHECK(session.revision.is_none());
}

TEST_CASE("grant: a token answer's own sub is nobody's word outside ATProto", "[grant]") {
  CHECK(new_session(bearer(), terms(), kNow).subject == "work");
}

TEST_CASE("grant: tokens must be bound to the key that was proven, and to none if none was",
          "[grant]") {
  const auto typed = [](std::string type, std::string jkt) {
    TokenAnswer answer = bearer();
    answer.token_type = std::move(type);
    GrantTerms asked = terms();
    asked.dpop_jkt = std::move(jkt);
    return granted(answer, asked);
  };
  const std::string refused = "token_invalid token.type";
  CHECK(typed("BEARER", "") == "ok");
  CHECK(typed("dpop", "jkt-1") == "ok");
  CHECK(typed("Bearer", "jkt-1") == refused);
  CHECK(typed("DPoP", "") == refused);
  CHECK(typed("mac", "") == refused);
  CHECK(typed("N_A", "jkt-1") == refused);
  CHECK(typed("user", "") == refused);
}

TEST_CASE("grant: the id token says whose session it is, and what the person is called",
          "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  const OAuthSession session =
      session_from_grant(with_id_token(), openid_terms(validator), kNow).value();
  CHECK(session.subject == "https://op.test|alice-1");
  CHECK(session.handle == "alice");
  CHECK(session.id_token->expose() == std::string_view("the.id.token"));
}

TEST_CASE("grant: the validator is told all that the id token must agree with", "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  REQUIRE(granted(with_id_token(), openid_terms(validator)) == "ok");
  CHECK(validator->token == "the.id.token");
  CHECK(validator->issuer == kProvider);
  CHECK(validator->client_id == "my-client");
  CHECK(validator->nonce == "nonce-1");
  CHECK(validator->access_token == "access-1");
  CHECK(validator->max_age == 60s);
}

TEST_CASE("grant: a name of the caller's own stays the key of the session", "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  GrantTerms asked = openid_terms(validator);
  asked.subject = "work";
  asked.handle = "shown";
  const OAuthSession session = session_from_grant(with_id_token(), asked, kNow).value();
  CHECK(session.subject == "work");
  CHECK(session.handle == "shown");
}

TEST_CASE("G-17: a login that was begun for one account does not take another", "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  GrantTerms asked = openid_terms(validator);
  asked.subject = "https://op.test|alice-1";
  CHECK(granted(with_id_token(), asked) == "ok");
  asked.subject = "https://op.test|bob-2";
  CHECK(granted(with_id_token(), asked) == "token_invalid token.sub_mismatch");
  asked.subject = "https://op.test.evil|bob-2";  // another issuer's: a name like any other
  CHECK(granted(with_id_token(), asked) == "ok");
}

TEST_CASE("LA-87: without the id token that was asked for there is no session", "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  CHECK(granted(bearer(), openid_terms(validator)) == "token_invalid token.id_token_missing");
  CHECK(validator->asked == 0);
}

TEST_CASE("grant: what the validator refuses is refused, with its error", "[grant]") {
  const auto validator = std::make_shared<ToldValidator>();
  validator->refusal = make_error(ErrorCode::token_invalid, "id_token.nonce", "no");
  CHECK(granted(with_id_token(), openid_terms(validator)) == "token_invalid id_token.nonce");
}

TEST_CASE("grant: nobody's session is not made", "[grant]") {
  GrantTerms asked = terms();
  asked.subject.clear();
  CHECK(granted(with_id_token(), asked) == "token_invalid token.no_subject");
}

TEST_CASE("grant: an id token that nobody asked for is kept and not looked at", "[grant]") {
  const OAuthSession session = session_from_grant(with_id_token(), terms(), kNow).value();
  CHECK(session.id_token);
  CHECK(session.handle.empty());
}

TEST_CASE("id token: its claims are read whoever signed it, or not at all", "[grant]") {
  const std::string claims =
      R"({"iss":"https://op.test","sub":"alice-1","aud":"my-client","exp":2000000000,"iat":1})";
  const auto token = [](std::string_view payload) {
    return SecretString("e30." + base64url_encode(as_bytes(payload)) + ".c2ln");
  };
  CHECK(read_id_token(token(claims))->subject == "alice-1");
  CHECK_FALSE(read_id_token(token("{}")));
  CHECK_FALSE(read_id_token(token("")));
  for (const std::string_view bad : {"", "a", "a.b", "..", "a.!.c"}) {
    CHECK_FALSE(read_id_token(SecretString(bad)));
  }
}

namespace {

SecretString id_token_of(std::string_view issuer, std::string_view sub) {
  const std::string claims = R"({"iss":")" + std::string(issuer) + R"(","sub":")" +
                             std::string(sub) + R"(","aud":"my-client","exp":2000000000,"iat":1})";
  return SecretString("e30." + base64url_encode(as_bytes(claims)) + ".c2ln");
}

}  // namespace

namespace {

struct Refreshed {
  std::shared_ptr<ToldValidator> validator = std::make_shared<ToldValidator>();
  OAuthSession session = new_session(with_id_token(), terms(), kNow);

  [[nodiscard]] std::string check(TokenAnswer&& answer) const { return check(answer); }
  [[nodiscard]] std::string check(TokenAnswer& answer) const {
    return outcome(generic_profile(validator).check(answer, session));
  }
};

}  // namespace

TEST_CASE("LA-64: a refresh may come without an id token", "[grant]") {
  const Refreshed r;
  CHECK(r.check(bearer()) == "ok");
  CHECK(r.validator->asked == 0);
}

TEST_CASE("LA-64: an id token of a refresh is validated, without a nonce", "[grant]") {
  Refreshed r;
  r.session.subject = "https://op.test|alice-1";
  CHECK(r.check(with_id_token()) == "ok");
  CHECK(r.validator->asked == 1);
  CHECK(r.validator->nonce.empty());
  CHECK(r.validator->expected_subject == "alice-1");
  CHECK(r.validator->access_token == "access-1");
  r.validator->refusal = make_error(ErrorCode::token_invalid, "id_token.subject", "another");
  CHECK(r.check(with_id_token()) == "token_invalid id_token.subject");
}

TEST_CASE("LA-64: of a session with a name, the id token of a refresh is of whom its first one was",
          "[grant]") {
  Refreshed r;
  r.session.id_token = id_token_of("https://op.test", "alice-9");
  CHECK(r.check(with_id_token()) == "ok");
  CHECK(r.validator->expected_subject == "alice-9");
}

TEST_CASE("refresh: an id token that can't be judged now is left out, and costs no session",
          "[grant]") {
  Refreshed r;
  r.session.subject = "https://op.test|alice-1";
  for (const auto& [code, detail] :
       {std::pair{ErrorCode::token_invalid, "id_token.key_not_found"},
        std::pair{ErrorCode::token_invalid, "id_token.expired"},
        std::pair{ErrorCode::token_invalid, "id_token.not_yet_valid"},
        std::pair{ErrorCode::token_invalid, "id_token.issued_in_future"},
        std::pair{ErrorCode::unreachable, "http.connect"},
        std::pair{ErrorCode::cancelled, "jwks.cancelled"},
        std::pair{ErrorCode::invalid_metadata, "jwks.status"}}) {
    CAPTURE(detail);
    r.validator->refusal = make_error(code, detail, "not now");
    TokenAnswer answer = with_id_token();
    answer.id_token = id_token_of("https://op.test", "alice-1");
    CHECK(r.check(answer) == "ok");
    CHECK_FALSE(answer.id_token);
    answer.id_token = id_token_of("https://op.test", "mallory");
    CHECK(r.check(answer) == "token_invalid id_token.subject");
    answer.id_token = id_token_of("https://evil.test", "alice-1");
    CHECK(r.check(answer) == "token_invalid id_token.subject");
  }
}

TEST_CASE("refresh: a verdict on an id token is one on the answer", "[grant]") {
  Refreshed r;
  r.session.subject = "https://op.test|alice-1";
  for (const std::string_view detail :
       {"id_token.signature", "id_token.subject", "id_token.audience", "id_token.issuer"}) {
    CAPTURE(detail);
    r.validator->refusal = make_error(ErrorCode::token_invalid, detail, "no");
    TokenAnswer answer = with_id_token();
    answer.id_token = id_token_of("https://op.test", "alice-1");
    CHECK(r.check(answer) == "token_invalid " + std::string(detail));
  }
}

TEST_CASE("refresh: keys are fetched before anything is spent", "[grant]") {
  const Refreshed r;
  const auto profile = generic_profile(r.validator);
  REQUIRE(profile.confirm);
  CHECK(profile.confirm(r.session, {}).value() == r.session.resource_server);
  CHECK(r.validator->prepared == 1);
  CHECK_FALSE(generic_profile(nullptr).confirm);
}

TEST_CASE("G-19: a refresh does not change what the tokens are bound to", "[grant]") {
  Refreshed r;
  TokenAnswer bound = bearer();
  bound.token_type = "DPoP";
  CHECK(r.check(bound) == "token_invalid token.type");
  r.session.dpop_jkt = "jkt-1";
  CHECK(r.check(bound) == "ok");
  CHECK(r.check(bearer()) == "token_invalid token.type");
}

TEST_CASE("without a validator the id token of a refresh is not looked at", "[grant]") {
  const OAuthSession session = new_session(bearer(), terms(), kNow);
  TokenAnswer answer = with_id_token();
  CHECK(outcome(generic_profile(nullptr).check(answer, session)) == "ok");
  CHECK(answer.id_token);
}

TEST_CASE("G-18: a refused answer is ended by its refresh token, or by its access token",
          "[grant]") {
  FlowWorld w;
  SessionContext context = w.world.context;
  context.transport = w.transport;
  context.client_id = "my-client";
  revoke_answer(context, terms(), bearer());
  TokenAnswer once = bearer();
  once.refresh_token = std::nullopt;
  revoke_answer(context, terms(), once);
  CHECK(w.revoked() == std::vector<std::string>{"refresh-1", "access-1"});
}

TEST_CASE("G-18: of an answer that can't be read, what looks like a token is ended", "[grant]") {
  FlowWorld w;
  SessionContext context = w.world.context;
  context.transport = w.transport;
  context.client_id = "my-client";
  revoke_unread(context, terms(), json_answer(200, R"({"access_token":"a-1"})"));
  revoke_unread(context, terms(),
                json_answer(200, R"({"access_token":"a-2","refresh_token":"r-2"})"));
  revoke_unread(context, terms(), json_answer(200, R"({"access_token":7,"refresh_token":""})"));
  revoke_unread(context, terms(), json_answer(400, R"({"access_token":"a-3"})"));
  revoke_unread(context, terms(), json_answer(200, "not JSON"));
  CHECK(w.revoked() == std::vector<std::string>{"a-1", "r-2"});
}
