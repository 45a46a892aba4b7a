// SPDX-License-Identifier: MIT
#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.oidc.claims_only_validator;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;
import latchkey.test.jws_key;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::string created(const Members& changes, std::vector<std::string> algorithms = {},
                    HttpRule rule = HttpRule::https_only) {
  const auto uri = changes.contains("uri") ? changes.at("uri") : std::string(kJwksUri);
  return outcome(JwksIdTokenValidator::create({.transport = std::make_shared<ScriptedTransport>(),
                                               .clock = std::make_shared<ManualClock>(kNow),
                                               .jwks_uri = uri,
                                               .algorithms = std::move(algorithms),
                                               .http_rule = rule}));
}

}  // namespace

TEST_CASE("validator: takes a good token of each algorithm", "[oidc]") {
  for (const char* alg :
       {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}) {
    INFO(alg);
    Checked world(jwks_text({published(alg)}));
    const auto claims = world.check(good_token(alg)).value();
    CHECK(claims.subject == "person-1");
    CHECK(claims.issuer == kIssuer);
  }
}

TEST_CASE("validator: takes Ed25519 by its newer name", "[oidc]") {
  Checked world(jwks_text({published("EdDSA")}));
  CHECK(fault(world.check(shared_key("EdDSA").sign(good_header("Ed25519"), good_claims()))) == "");
}

TEST_CASE("validator: says that it checks signatures, and the other that it does not", "[oidc]") {
  Checked world;
  CHECK(world.validator->checks_signature());
  CHECK_FALSE(claims_only_validator(world.clock)->checks_signature());
}

TEST_CASE("validator: a payload of somebody else under a good signature is refused", "[oidc]") {
  Checked world;
  const auto good = good_token();
  const auto other = good_token("RS256", {{"sub", quoted("admin")}});
  const auto middle = [](const std::string& text) {
    return text.substr(text.find('.'), text.rfind('.') - text.find('.'));
  };
  const std::string forged =
      good.substr(0, good.find('.')) + middle(other) + good.substr(good.rfind('.'));
  CHECK(fault(world.check(forged)) == "id_token.signature");
  CHECK(fault(world.check(good.substr(0, good.rfind('.') + 1))) == "id_token.signature");
  CHECK(fault(world.check(good)) == "");
}

TEST_CASE("validator: the signature comes first, then the claims", "[oidc]") {
  Checked world;
  const JwsKey stranger("RS256");
  const auto expired = with(good_claims(), {{"exp", "1"}, {"aud", quoted("other")}});
  CHECK(fault(world.check(stranger.sign(good_header(), expired))) == "id_token.signature");
  CHECK(fault(world.check(shared_key("RS256").sign(good_header(), expired))) == "id_token.expired");
  CHECK(fault(world.check(good_token("RS256", {{"aud", quoted("other")}}))) == "id_token.audience");
  CHECK(fault(world.check(shared_key("RS256").sign(to_json(good_header()), "not json"))) ==
        "id_token.not_json");
}

TEST_CASE("validator: algorithm confusion gets nobody in", "[oidc]") {
  Checked world(
      jwks_text({published("RS256", "rsa"), published("ES256", "ec"),
                 shared_key("RS384").jwk({{"kid", quoted("pss")}, {"alg", quoted("PS256")}})}));
  const auto claims = to_json(good_claims());
  const auto header = [](std::string_view alg, std::string_view kid) {
    return to_json(good_header(alg, kid));
  };
  // HMAC with all that is public of the RSA key.
  const std::string jwk = published("RS256", "rsa");
  for (const auto& secret : {jwk, public_pem(jwk), shared_key("RS256").members().at("n")}) {
    CHECK(fault(world.check(sign_hs256(header("HS256", "rsa"), claims, secret))) ==
          "id_token.alg_unsupported");
    CHECK(fault(world.check(sign_hs256(header("RS256", "rsa"), claims, secret))) ==
          "id_token.signature");
  }
  CHECK(fault(world.check(shared_key("RS256").sign(header("none", "rsa"), claims))) ==
        "id_token.alg_unsupported");
  CHECK(fault(world.check(shared_key("RS256").sign(header("ES256", "rsa"), claims))) ==
        "id_token.key_mismatch");
  CHECK(fault(world.check(shared_key("ES256").sign(header("RS256", "ec"), claims))) ==
        "id_token.key_mismatch");
  CHECK(fault(world.check(shared_key("ES256").sign(header("ES384", "ec"), claims))) ==
        "id_token.key_mismatch");
  CHECK(fault(world.check(shared_key("RS384").sign(header("RS256", "pss"), claims))) ==
        "id_token.key_mismatch");
  CHECK(fault(world.check(shared_key("RS256").sign(header("PS256", "rsa"), claims))) ==
        "id_token.signature");
  CHECK(fault(world.check(shared_key("RS256").sign(header("RS384", "rsa"), claims))) ==
        "id_token.signature");
}

TEST_CASE("validator: a key id leads nowhere but to the published keys", "[oidc]") {
  Checked world;
  for (const char* kid : {"../../dev/null", "/etc/passwd", "k1' OR '1'='1", "k1;--", "|ls",
                          "https://evil.example/jwks", "..", "", "K1", "k1 ", "%6b1"}) {
    INFO(kid);
    CHECK(fault(world.check(shared_key("RS256").sign(good_header("RS256", kid), good_claims()))) ==
          "id_token.key_not_found");
  }
  for (const auto& asked : world.transport->requests()) CHECK(asked.url.text() == kJwksUri);
}

TEST_CASE("validator: malformed tokens cost no request", "[oidc]") {
  Checked world;
  for (const auto& text : {std::string(), std::string("a.b.c"), std::string(40'000, 'x'),
                           sign_hs256(R"({"alg":"HS256"})", "{}", "k"), good_token() + '.'}) {
    CHECK(fault(world.check(text)).starts_with("id_token."));
  }
  CHECK(world.transport->count() == 0);
}

TEST_CASE("validator: only announced algorithms are accepted", "[oidc]") {
  Checked world(jwks_text({published("RS256"), published("ES256", "e1")}));
  const auto validator =
      JwksIdTokenValidator::create({.transport = world.transport,
                                    .clock = world.clock,
                                    .jwks_uri = std::string(kJwksUri),
                                    .algorithms = {"none", "HS256", "RS256", "X"}})
          .value();
  CHECK(fault(validator->validate(SecretString(good_token()), good_expectations(), {})) == "");
  const auto other = shared_key("ES256").sign(good_header("ES256", "e1"), good_claims());
  CHECK(fault(validator->validate(SecretString(other), good_expectations(), {})) ==
        "id_token.alg_not_allowed");
  CHECK(fault(world.check(other)) == "");
}

TEST_CASE("validator: is not made without what it needs", "[oidc]") {
  CHECK(created({}) == "ok");
  CHECK(created({}, {"RS256", "none"}) == "ok");
  CHECK(created({}, {"none", "HS256"}) == "invalid_metadata jwks.no_algorithm");
  CHECK(created({{"uri", ""}}) == "invalid_url url.malformed");
  CHECK(created({{"uri", "jwks"}}) == "invalid_url url.malformed");
  CHECK(created({{"uri", "http://id.example.com/jwks"}}) == "insecure_address url.not_https");
  CHECK(created({{"uri", "http://localhost:1/jwks"}}) == "insecure_address url.not_https");
  CHECK(created({{"uri", "http://localhost:1/jwks"}}, {}, HttpRule::allow_http_for_loopback) ==
        "ok");
  CHECK(outcome(JwksIdTokenValidator::create({.transport = nullptr,
                                              .clock = std::make_shared<ManualClock>(kNow),
                                              .jwks_uri = std::string(kJwksUri)})) ==
        "invalid_argument jwks.incomplete");
  CHECK(outcome(JwksIdTokenValidator::create({.transport = std::make_shared<ScriptedTransport>(),
                                              .clock = nullptr,
                                              .jwks_uri = std::string(kJwksUri)})) ==
        "invalid_argument jwks.incomplete");
}

TEST_CASE("validator: keys that cannot be fetched say nothing about the token", "[oidc]") {
  Checked world;
  world.transport->push(json_answer(500, "{}"));
  CHECK(outcome(world.check(good_token())) == "invalid_metadata jwks.status");
  world.transport->push(make_error(ErrorCode::unreachable, "test.down", "down"));
  CHECK(outcome(world.check(good_token())) == "unreachable test.down");
  CHECK(fault(world.check(good_token())) == "");
}

TEST_CASE("validator: new keys are found by their names", "[oidc]") {
  Checked world;
  CHECK(fault(world.check(good_token())) == "");
  CHECK(fault(world.check(good_token())) == "");
  CHECK(world.transport->count() == 1);
  world.jwks = jwks_text({published("RS256", "k1"), published("ES256", "k2")});
  const auto rotated = shared_key("ES256").sign(good_header("ES256", "k2"), good_claims());
  CHECK(fault(world.check(rotated)) == "");
  CHECK(world.transport->count() == 2);
  CHECK(fault(world.check(good_token())) == "");
  CHECK(world.transport->count() == 2);
}

TEST_CASE("validator: another key under the same name is found by its signature", "[oidc]") {
  Checked world;
  CHECK(fault(world.check(good_token())) == "");
  world.jwks = jwks_text({shared_key("RS384").jwk({{"kid", quoted("k1")}})});
  const JwsKey& next = shared_key("RS384");
  CHECK(fault(world.check(next.sign(good_header("RS384"), good_claims()))) == "");
  CHECK(world.transport->count() == 2);
  CHECK(fault(world.check(good_token())) == "id_token.signature");
  CHECK(world.transport->count() == 2);
}

TEST_CASE("validator: a key of another type under the same name is found too", "[oidc]") {
  Checked world;
  CHECK(fault(world.check(good_token())) == "");
  world.jwks = jwks_text({published("ES256", "k1")});
  CHECK(fault(world.check(good_token("ES256"))) == "");
  CHECK(world.transport->count() == 2);
}

TEST_CASE("validator: a flood of unknown names costs one request a minute", "[oidc]") {
  Checked world;
  CHECK(fault(world.check(good_token())) == "");
  constexpr int kMinutes = 5;
  for (int second = 0; second < kMinutes * 60; second += 5) {
    const auto header = good_header("EdDSA", "random-" + std::to_string(second));
    CHECK(fault(world.check(shared_key("EdDSA").sign(header, good_claims()))) ==
          "id_token.key_not_found");
    world.clock->advance(5s);
  }
  CHECK(world.transport->count() <= 1 + kMinutes);
}

TEST_CASE("validator: is stopped", "[oidc]") {
  Checked world;
  std::stop_source stop;
  stop.request_stop();
  world.transport->push([](const HttpRequest&, const SendOptions& options) -> Result<HttpResponse> {
    CHECK(options.stop.stop_requested());
    return make_error(ErrorCode::cancelled, "test.cancelled", "stopped");
  });
  CHECK(outcome(world.validator->validate(SecretString(good_token()), good_expectations(),
                                          stop.get_token())) == "cancelled test.cancelled");
}

TEST_CASE("validator: when stopped on the way to new keys it does not blame the token", "[oidc]") {
  Checked world;
  CHECK(fault(world.check(good_token())) == "");
  std::stop_source stop;
  world.transport->push([&](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    stop.request_stop();
    return make_error(ErrorCode::cancelled, "test.cancelled", "stopped");
  });
  const auto token = shared_key("ES256").sign(good_header("ES256", "k2"), good_claims());
  CHECK(outcome(world.validator->validate(SecretString(token), good_expectations(),
                                          stop.get_token())) == "cancelled jwks.cancelled");
}

TEST_CASE("validator: no edit of a good token is a good token", "[oidc]") {
  Checked world(jwks_text({published("EdDSA")}));
  const auto good = good_token("EdDSA");
  const auto seed = Catch::getSeed();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::string_view letters = "AQgwZz09-_.=+/ {}\"\\";
  for (int i = 0; i < 3000; ++i) {
    auto text = good;
    for (auto edits = 1 + random() % 3; edits > 0; --edits) {
      const auto at = random() % text.size();
      const char letter = letters[random() % letters.size()];
      switch (random() % 4) {
        case 0:
          text[at] = letter;
          break;
        case 1:
          text.insert(at, 1, letter);
          break;
        case 2:
          text.erase(at, 1 + random() % 8);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), 16));
          break;
      }
    }
    CAPTURE(text);
    const auto result = world.check(text);
    const bool as_it_should = text == good
                                  ? result.has_value()
                                  : !result && result.error().detail.starts_with("id_token.");
    if (!as_it_should) FAIL("an edited token: " << fault(result));
  }
}

TEST_CASE("claims only: makes every check but that of the signature", "[oidc]") {
  const auto validator = claims_only_validator(std::make_shared<ManualClock>(kNow));
  const auto check = [&](const std::string& text) {
    return fault(validator->validate(SecretString(text), good_expectations(), {}));
  };
  const JwsKey stranger("ES256");
  const auto by_stranger = [&](const Members& header, const Members& changes) {
    return check(stranger.sign(header, with(good_claims(), changes)));
  };
  CHECK(by_stranger(good_header("ES256"), {}) == "");
  CHECK(by_stranger(good_header("none"), {}) == "id_token.alg_unsupported");
  CHECK(by_stranger(good_header("HS256"), {}) == "id_token.alg_unsupported");
  CHECK(by_stranger(good_header("ES256"), {{"exp", "1"}}) == "id_token.expired");
  CHECK(by_stranger(good_header("ES256"), {{"iss", quoted("x")}}) == "id_token.issuer");
  CHECK(by_stranger(good_header("ES256"), {{"nonce", ""}}) == "id_token.nonce_missing");
  CHECK(by_stranger(good_header("ES256"), {{"sub", ""}}) == "id_token.missing_member");
  CHECK(check("a.b") == "id_token.malformed");
}

TEST_CASE("validator: no error shows the token or the nonce", "[oidc]") {
  Checked world;
  const auto token = good_token("RS256", {{"nonce", quoted("super-secret")}});
  const auto refused = world.check(token);
  REQUIRE(fault(refused) == "id_token.nonce");
  CHECK(refused.error().message.find("super-secret") == std::string::npos);
  CHECK(refused.error().message.find(kNonce) == std::string::npos);
}
