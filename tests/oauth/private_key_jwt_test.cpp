// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_keys;
import latchkey.oauth.private_key_jwt;
import latchkey.oauth.revocation;
import latchkey.oauth.token;
import latchkey.session;
import latchkey.test.oauth;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kClient = "https://app.example.com/client.json";
constexpr std::string_view kIssuer = "https://as.test";
constexpr std::string_view kType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
constexpr std::int64_t kNow = 784111777;

struct Setup {
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("1994-11-06T08:49:37.900Z").value());
  std::shared_ptr<Random> random = std::make_shared<SystemRandom>();
  std::shared_ptr<ClientKeys> keys = ClientKeys::generate(random).value();
  std::shared_ptr<ClockSkew> skew = std::make_shared<ClockSkew>();
  std::shared_ptr<ClientAuthenticator> client =
      private_key_jwt(std::string(kClient), keys, {.clock = clock, .random = random, .skew = skew});

  [[nodiscard]] Result<HttpRequest> request(std::string_view kid = {}) const {
    ClientRequest post{.url = Url::parse("https://as.test/token").value()};
    post.form.add("grant_type", "x");
    return finish_request(std::move(post), *client, kIssuer, kid);
  }
  /// What the request's assertion says.
  [[nodiscard]] static JsonObject claims(const HttpRequest& request) {
    return parse(decode_jws(field(request, "client_assertion")).payload);
  }
  [[nodiscard]] static std::string kid(const HttpRequest& request) {
    const auto header = parse(decode_jws(field(request, "client_assertion")).header);
    return header.required_string("kid").value();
  }
  [[nodiscard]] static JsonObject parse(std::string_view text) {
    return JsonObject::parse(text, ErrorCode::corrupt, "test").value();
  }
};

SessionSummary bound_to(std::string kid) {
  SessionSummary session;
  session.subject = "did:plc:abc";
  session.issuer = kIssuer;
  session.token_endpoint = "https://as.test/token";
  session.revocation_endpoint = "https://as.test/revoke";
  session.client_id = kClient;
  session.client_auth_method = ClientAuthMethod::private_key_jwt;
  session.client_auth_kid = std::move(kid);
  return session;
}

OAuthSession session_bound_to(std::string kid) {
  OAuthSession session;
  static_cast<SessionSummary&>(session) = bound_to(std::move(kid));
  session.access_token = SecretString("at");
  session.refresh_token = SecretString("rt");
  return session;
}

}  // namespace

TEST_CASE("C8.1: the assertion's type is jwt-bearer, beside the client_id", "[client]") {
  const Setup s;
  const auto request = s.request().value();
  CHECK(field(request, "client_assertion_type") == kType);
  CHECK(field(request, "client_id") == kClient);
  CHECK(field_names(request) == std::vector<std::string>{"grant_type", "client_id",
                                                         "client_assertion_type",
                                                         "client_assertion"});
  CHECK_FALSE(request.authorization);
}

TEST_CASE("C8.2: the claims are iss, sub, aud, jti, iat and exp, and no others", "[client]") {
  const Setup s;
  const auto claims = Setup::claims(s.request().value());
  CHECK(claims.names() == std::vector<std::string>{"iss", "sub", "aud", "jti", "iat", "exp"});
  CHECK(claims.required_string("iss").value() == kClient);
  CHECK(claims.required_string("sub").value() == kClient);
  CHECK(claims.required_string("aud").value() == kIssuer);
  CHECK(claims.required_string("jti").value().size() == 22);
  const auto iat = claims.integer("iat").value().value();
  CHECK(iat == kNow - 3);
  CHECK(claims.integer("exp").value().value() == iat + 60);
}

TEST_CASE("C8.2: the times are the server's, as far as its clock is known", "[client]") {
  const Setup s;
  const auto sent = s.clock->now();
  s.skew->learn("https://as.test", answer(200, {{"Date", "Sun, 06 Nov 1994 08:59:37 GMT"}}), sent,
                sent);
  const auto at_as = Setup::claims(s.request().value()).integer("iat").value().value();
  CHECK(at_as - kNow >= 595);
  CHECK(at_as - kNow <= 600);
}

TEST_CASE("C8.3: header and signature are ES256 with the key that the kid names", "[client]") {
  const Setup s;
  const auto jws = field(s.request().value(), "client_assertion");
  CHECK(decode_jws(jws).header == R"({"alg":"ES256","kid":)" + json_quote(s.keys->newest()) + "}");
  const auto set = Setup::parse(s.keys->public_jwk_set()).objects("keys").value().value();
  CHECK(evp_verifies(jws, R"({"crv":"P-256","kty":"EC","x":")" +
                              set[0].required_string("x").value() + R"(","y":")" +
                              set[0].required_string("y").value() + "\"}"));
}

TEST_CASE("C8.4: every request and every repetition has an assertion of its own", "[client]") {
  const Setup s;
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    auto request = s.request().value();
    ids.insert(Setup::claims(request).required_string("jti").value());
    request.body = request.renew_body().value();
    CHECK(field(request, "grant_type") == "x");
    ids.insert(Setup::claims(request).required_string("jti").value());
  }
  CHECK(ids.size() == 200);
}

TEST_CASE("C8.4: a repetition after minutes has the time of the repetition", "[client]") {
  const Setup s;
  auto request = s.request().value();
  s.clock->advance(5min);
  request.body = request.renew_body().value();
  CHECK(Setup::claims(request).integer("iat").value().value() == kNow + 300 - 3);
}

TEST_CASE("C8.5: a session goes on with its own key after a newer one is there", "[client]") {
  const Setup s;
  const auto old = s.keys->newest();
  const auto made = s.keys->add_new().value();
  CHECK(s.client->kid() == made);
  CHECK(Setup::kid(s.request().value()) == made);
  CHECK(Setup::kid(s.request(old).value()) == old);
  CHECK(Setup::kid(build_refresh_request(session_bound_to(old), *s.client).value()) == old);
  CHECK(Setup::kid(build_revocation_request(bound_to(old), SecretString("rt"),
                                            TokenKind::refresh_token, *s.client)
                       .value()) == old);
}

TEST_CASE("C8.5: a session whose key is gone gets a distinct error", "[client]") {
  const Setup s;
  const auto old = s.keys->newest();
  REQUIRE(s.keys->add_new());
  auto under_way = s.request(old).value();
  REQUIRE(s.keys->remove(old));
  CHECK(outcome(s.request(old)) == "invalid_client client.key_gone");
  CHECK(outcome(build_refresh_request(session_bound_to(old), *s.client)) ==
        "invalid_client client.key_gone");
  CHECK(outcome(under_way.renew_body()) == "invalid_client client.key_gone");
}

TEST_CASE("C7.3: a refresh by a client of another method is refused before it is sent",
          "[client]") {
  const Setup s;
  auto session = session_bound_to("");
  session.client_auth_method = ClientAuthMethod::none;
  CHECK(outcome(build_refresh_request(session, *s.client)) ==
        "client_mismatch refresh.auth_method");
}

TEST_CASE("C1.12: the client knows its own keys, and no others", "[client]") {
  const Setup s;
  CHECK(s.client->owns_key(s.keys->thumbprints().front()));
  CHECK_FALSE(s.client->owns_key("other"));
  CHECK_FALSE(s.client->owns_key(""));
  CHECK_FALSE(public_client("x")->owns_key(s.keys->thumbprints().front()));
}

TEST_CASE("C1.9: a public client sends its client_id and nothing that proves it", "[client]") {
  ClientRequest post{.url = Url::parse("https://as.test/token").value()};
  const auto request =
      finish_request(std::move(post), *public_client(std::string(kClient)), kIssuer, "").value();
  CHECK(field_names(request) == std::vector<std::string>{"client_id"});
  CHECK_FALSE(request.renew_body);
}

TEST_CASE("private_key_jwt: a repetition works after its authenticator is gone", "[client]") {
  auto s = std::make_unique<Setup>();
  auto request = s->request().value();
  s.reset();
  CHECK(outcome(request.renew_body()) == "ok");
}
