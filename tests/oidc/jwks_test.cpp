// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.oidc.jwks;
import latchkey.oidc.jws;
import latchkey.test.jws_key;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;

namespace {

JwkSet set_of(const std::vector<std::string>& keys) {
  return JwkSet::parse(jwks_text(keys)).value();
}

// What these keys say of a token of this header, signed by the shared key for `alg`.
std::string verdict(const std::vector<std::string>& keys, std::string_view alg,
                    const Members& header) {
  const auto text = shared_key(alg).sign(header, good_claims());
  return fault(set_of(keys).verify(parse_token(text).value()));
}

Members unnamed(std::string_view alg) {
  return with(good_header(alg), {{"kid", ""}});
}

}  // namespace

TEST_CASE("JWKS: keys that are of no use are left out and counted", "[oidc]") {
  const auto set = set_of({
      published("RS256", "good"),
      R"({"kty":"oct","k":"c2VjcmV0","kid":"hmac"})",
      R"({"kty":"NEW","kid":"future"})",
      R"({})",
      shared_key("RS256").jwk({{"use", quoted("enc")}}),
      shared_key("RS256").jwk({{"key_ops", R"(["encrypt"])"}}),
      shared_key("ES256").jwk({{"alg", quoted("ECDH-ES")}}),
      shared_key("ES256").jwk({{"d", quoted("c2VjcmV0")}}),
      shared_key("ES256").jwk({{"kid", "1"}}),
  });
  REQUIRE(set.keys().size() == 1);
  CHECK(set.keys()[0].kid() == "good");
  CHECK(set.skipped() == 8);
}

TEST_CASE("JWKS: an empty set is a set", "[oidc]") {
  const auto set = JwkSet::parse(R"({"keys":[],"other":1})").value();
  CHECK(set.keys().empty());
  CHECK(set.skipped() == 0);
}

TEST_CASE("JWKS: what is no key set is refused", "[oidc]") {
  const auto of = [](std::string_view text) { return outcome(JwkSet::parse(text)); };
  CHECK(of("") == "invalid_metadata jwks.not_json");
  CHECK(of("[]") == "invalid_metadata jwks.not_json");
  CHECK(of("<html>") == "invalid_metadata jwks.not_json");
  CHECK(of(R"({"keys":[]} x)") == "invalid_metadata jwks.not_json");
  CHECK(of("{}") == "invalid_metadata jwks.missing_member");
  CHECK(of(R"({"keys":{}})") == "invalid_metadata jwks.wrong_type");
  CHECK(of(R"({"keys":null})") == "invalid_metadata jwks.wrong_type");
  CHECK(of(R"({"keys":["k"]})") == "invalid_metadata jwks.wrong_type");
  CHECK(of(R"({"keys":[],"keys":[]})") == "invalid_metadata jwks.duplicate_member");
  CHECK(of(R"({"keys":[{"kty":"RSA","kty":"EC"}]})") == "invalid_metadata jwks.duplicate_member");
}

TEST_CASE("JWKS: no more than a hundred keys are kept", "[oidc]") {
  const std::vector<std::string> many(120, published("EdDSA", "k"));
  const auto set = set_of(many);
  CHECK(set.keys().size() == 100);
  CHECK(set.skipped() == 20);
}

TEST_CASE("JWKS: a named key must have signed", "[oidc]") {
  const std::vector keys{published("RS256", "a"), published("ES256", "b")};
  CHECK(verdict(keys, "RS256", good_header("RS256", "a")) == "");
  CHECK(verdict(keys, "ES256", good_header("ES256", "b")) == "");
  CHECK(verdict(keys, "PS256", good_header("PS256", "a")) == "id_token.signature");
  CHECK(verdict(keys, "RS256", good_header("RS256", "c")) == "id_token.key_not_found");
  CHECK(verdict(keys, "RS256", good_header("RS256", "A")) == "id_token.key_not_found");
  CHECK(verdict(keys, "RS256", good_header("RS256", "")) == "id_token.key_not_found");
  CHECK(verdict(keys, "ES256", good_header("ES256", "a")) == "id_token.key_mismatch");
  CHECK(verdict(keys, "RS256", good_header("RS256", "b")) == "id_token.key_mismatch");
  CHECK(verdict({}, "RS256", good_header("RS256", "a")) == "id_token.key_not_found");
}

TEST_CASE("JWKS: the error names the kid and how many keys there are", "[oidc]") {
  const std::string token = shared_key("RS256").sign(good_header("RS256", "gone\\u202e"), {});
  const auto set = set_of({published("RS256", "a"), "{}", "{}"});
  const auto refused = set.verify(parse_token(token).value());
  CHECK(refused.error().message.find("gone") != std::string::npos);
  CHECK(refused.error().message.find("1 keys (2 more") != std::string::npos);
}

TEST_CASE("JWKS: a key for another algorithm of its type is not used", "[oidc]") {
  const std::vector keys{
      shared_key("RS256").jwk({{"kid", quoted("k1")}, {"alg", quoted("PS256")}})};
  CHECK(verdict(keys, "RS256", good_header("RS256")) == "id_token.key_mismatch");
}

TEST_CASE("JWKS: keys of one kid are all tried", "[oidc]") {
  const JwsKey other("ES256");
  const std::vector keys{published("RS256", "k1"), other.jwk({{"kid", quoted("k1")}}),
                         published("ES256", "k1")};
  CHECK(verdict(keys, "ES256", good_header("ES256")) == "");
  CHECK(verdict(keys, "RS256", good_header("RS256")) == "");
  CHECK(verdict(keys, "ES384", good_header("ES384")) == "id_token.key_mismatch");
}

TEST_CASE("JWKS: without a kid there must be one key that fits", "[oidc]") {
  CHECK(verdict({published("RS256", "a")}, "RS256", unnamed("RS256")) == "");
  CHECK(verdict({shared_key("RS256").jwk()}, "RS256", unnamed("RS256")) == "");
  CHECK(verdict({published("RS256", "a"), published("ES256", "b")}, "RS256", unnamed("RS256")) ==
        "");
  CHECK(verdict({published("RS256", "a"), published("RS384", "b")}, "RS256", unnamed("RS256")) ==
        "id_token.kid_missing");
  CHECK(verdict({shared_key("RS256").jwk(), shared_key("RS384").jwk()}, "RS256",
                unnamed("RS256")) == "id_token.kid_missing");
  CHECK(verdict({published("ES256", "b")}, "RS256", unnamed("RS256")) == "id_token.key_not_found");
  CHECK(verdict({published("RS384", "a")}, "RS256", unnamed("RS256")) == "id_token.signature");
}

TEST_CASE("JWKS: a token with a kid is not signed by a key without", "[oidc]") {
  CHECK(verdict({shared_key("RS256").jwk()}, "RS256", good_header("RS256")) ==
        "id_token.key_not_found");
}

TEST_CASE("JWKS: keys in the token itself are never used", "[oidc]") {
  const JwsKey attacker("ES256");
  for (const auto& [name, value] : Members{{"jwk", attacker.jwk()},
                                           {"jku", quoted("https://evil.example/jwks")},
                                           {"x5u", quoted("https://evil.example/cert")},
                                           {"x5c", R"(["MIIB"])"}}) {
    INFO(name);
    const auto text = attacker.sign(with(good_header("ES256"), {{name, value}}), good_claims());
    CHECK(fault(set_of({published("ES256")}).verify(parse_token(text).value())) ==
          "id_token.signature");
  }
}

TEST_CASE("JWKS: only an answer of 200 with JSON is read", "[oidc]") {
  const auto of = [](const HttpResponse& response) {
    return outcome(process_jwks_response(kJwksUri, response));
  };
  const std::string good = jwks_text({published()});
  CHECK(of(json_answer(200, good)) == "ok");
  CHECK(of(answer(200, {{"Content-Type", "application/jwk-set+json"}}, good)) == "ok");
  for (const int status : {201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 429, 500, 503}) {
    INFO(status);
    const auto refused = process_jwks_response(kJwksUri, json_answer(status, good));
    CHECK(outcome(refused) == "invalid_metadata jwks.status");
    CHECK(refused.error().http_status == status);
  }
  CHECK(of(answer(200, {{"Content-Type", "text/html"}}, good)) ==
        "invalid_metadata jwks.content_type");
  CHECK(of(answer(200, {}, good)) == "invalid_metadata jwks.content_type");
}
