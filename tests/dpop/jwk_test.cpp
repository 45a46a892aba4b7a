// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;

using namespace latchkey;

namespace {

// RFC 7515, appendix A.3.
constexpr std::string_view kX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
constexpr std::string_view kY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

JsonObject vector_file(const std::string& name) {
  std::ifstream in(std::string(LATCHKEY_TEST_DATA) + '/' + name);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return JsonObject::parse(text, ErrorCode::corrupt, "vector").value();
}

std::string jwk(std::string_view x = kX, std::string_view y = kY, std::string_view more = "") {
  return R"({"kty":"EC","crv":"P-256","x":")" + std::string(x) + R"(","y":")" + std::string(y) +
         '"' + std::string(more) + '}';
}

std::string detail_of(std::string_view text) {
  const auto parsed = parse_p256_jwk(text);
  if (parsed) return "accepted";
  CHECK(parsed.error().code == ErrorCode::invalid_key);
  return parsed.error().detail;
}

}  // namespace

TEST_CASE("parse_p256_jwk: reads a public and a private key", "[jwk]") {
  const auto public_key = parse_p256_jwk(jwk()).value();
  CHECK(base64url_encode(public_key.point.x) == kX);
  CHECK(base64url_encode(public_key.point.y) == kY);
  CHECK(!public_key.d);
  const auto vector = vector_file("rfc7515_a3.json");
  const auto private_key = parse_p256_jwk(*vector.json_text("private_jwk")).value();
  CHECK(private_key.point == public_key.point);
  REQUIRE(private_key.d);
  CHECK(private_key.d->size() == 32);
}

TEST_CASE("parse_p256_jwk: other members are allowed, but alg must be ES256", "[jwk]") {
  CHECK(detail_of(jwk(kX, kY, R"(,"kid":"a","use":"sig","key_ops":["sign"],"alg":"ES256")")) ==
        "accepted");
  CHECK(detail_of(jwk(kX, kY, R"(,"alg":"ES384")")) == "key.wrong_type");
  CHECK(detail_of(jwk(kX, kY, R"(,"alg":256)")) == "key.wrong_type");
  CHECK(detail_of(jwk(kX, kY, R"(,"alg":null)")) == "key.wrong_type");
}

TEST_CASE("parse_p256_jwk: what is not one JSON object is not a key", "[jwk]") {
  const std::string text =
      GENERATE(std::string(""), std::string("{}"), std::string("[]"), std::string("\"key\""),
               std::string("null"), jwk() + "x", jwk() + jwk(), "[" + jwk() + "]",
               jwk().substr(0, jwk().size() - 1), std::string("-----BEGIN PRIVATE KEY-----"),
               jwk(kX, kY, ",\"kid\":\"\xff\""), R"({"keys":[)" + jwk() + "]}");
  CHECK(detail_of(text) == "key.not_jwk");
}

TEST_CASE("parse_p256_jwk: a member that occurs twice is refused", "[jwk]") {
  const std::string more = GENERATE(R"(,"kty":"EC")", R"(,"crv":"P-256")", R"(,"kid":1,"kid":1)",
                                    R"(,"x5c":{"a":1,"a":2})", R"(,"\u0078":"")");
  CHECK(detail_of(jwk(kX, kY, more)) == "key.not_jwk");
}

TEST_CASE("parse_p256_jwk: coordinates must be 32 bytes of base64url", "[jwk]") {
  const std::string x =
      GENERATE(std::string(""), std::string("AA"), std::string(kX).substr(1), "A" + std::string(kX),
               std::string(kX) + "=", std::string(42, 'A') + "+", std::string(42, 'A') + "B",
               std::string(42, 'A') + " ", std::string(44, 'A'));
  CHECK(detail_of(jwk(x, kY)) == "key.not_jwk");
  CHECK(detail_of(jwk(kX, x)) == "key.not_jwk");
  CHECK(detail_of(jwk(kX, kY, R"(,"d":")" + x + '"')) == "key.not_jwk");
}

TEST_CASE("parse_p256_jwk: members of a wrong type are refused", "[jwk]") {
  CHECK(detail_of(R"({"kty":1,"crv":"P-256","x":"","y":""})") == "key.not_jwk");
  CHECK(detail_of(R"({"kty":"EC","crv":["P-256"],"x":"","y":""})") == "key.not_jwk");
  CHECK(detail_of(R"({"kty":"EC","crv":"P-256","x":5,"y":null})") == "key.not_jwk");
  CHECK(detail_of(jwk(kX, kY, R"(,"d":null)")) == "key.not_jwk");
}

TEST_CASE("parse_p256_jwk: other key types and curves are named as such", "[jwk]") {
  CHECK(detail_of(R"({"kty":"RSA","n":"AQAB","e":"AQAB"})") == "key.wrong_type");
  CHECK(detail_of(R"({"kty":"OKP","crv":"Ed25519","x":"AAAA"})") == "key.wrong_type");
  CHECK(detail_of(R"({"kty":"ec","crv":"P-256","x":"","y":""})") == "key.wrong_type");
  CHECK(detail_of(R"({"kty":"EC","crv":"P-384","x":"","y":""})") == "key.wrong_curve");
  CHECK(detail_of(R"({"kty":"EC","crv":"secp256k1","x":"","y":""})") == "key.wrong_curve");
}

TEST_CASE("parse_p256_jwk: 8 KiB are the limit", "[jwk]") {
  const auto padded = [](std::size_t size) {
    const auto base = jwk(kX, kY, R"(,"kid":"")").size();
    return jwk(kX, kY, R"(,"kid":")" + std::string(size - base, 'a') + '"');
  };
  CHECK(detail_of(padded(8192)) == "accepted");
  CHECK(detail_of(padded(8193)) == "key.not_jwk");
}

TEST_CASE("parse_p256_jwk: a refused private key is not in the message", "[jwk]") {
  const auto parsed = parse_p256_jwk(jwk(kX, kY, R"(,"d":"c2VjcmV0")"));
  REQUIRE(!parsed);
  CHECK(parsed.error().message.find("c2VjcmV0") == std::string::npos);
}

TEST_CASE("jwk_thumbprint: the RSA key of RFC 7638 section 3.1", "[jwk]") {
  const auto vector = vector_file("rfc7638_3_1.json");
  CHECK(jwk_thumbprint(*vector.json_text("jwk")).value() ==
        vector.required_string("thumbprint").value());
}

TEST_CASE("jwk_thumbprint: the key of RFC 9449 section 6.1, from its proof", "[jwk]") {
  const auto vector = vector_file("rfc9449.json");
  const auto proof = vector.required_string("token_proof").value();
  const auto header = base64url_decode(proof.substr(0, proof.find('.'))).value();
  const auto key = JsonObject::parse(as_text(header), ErrorCode::corrupt, "header").value();
  const auto text = *key.json_text("jwk");
  CHECK(jwk_thumbprint(text).value() == vector.required_string("thumbprint").value());
  CHECK(jwk_thumbprint(parse_p256_jwk(text).value().point) ==
        vector.required_string("thumbprint").value());
}

TEST_CASE("jwk_thumbprint: neither order nor private nor other members count", "[jwk]") {
  const auto expected = jwk_thumbprint(jwk()).value();
  CHECK(jwk_thumbprint(jwk(kX, kY, R"(,"d":"AAAA","kid":"x")")).value() == expected);
  CHECK(jwk_thumbprint(R"({ "y":")" + std::string(kY) + R"(", "x":")" + std::string(kX) +
                       R"(", "crv":"P-256", "kty":"EC" })")
            .value() == expected);
}

TEST_CASE("jwk_thumbprint: OKP and oct keys have their own members", "[jwk]") {
  CHECK(jwk_thumbprint(R"({"kty":"OKP","crv":"Ed25519","x":"AAAA","d":"BBBB"})").value() ==
        sha256_base64url(R"({"crv":"Ed25519","kty":"OKP","x":"AAAA"})"));
  CHECK(jwk_thumbprint(R"({"kty":"oct","k":"AAAA"})").value() ==
        sha256_base64url(R"({"k":"AAAA","kty":"oct"})"));
}

TEST_CASE("jwk_thumbprint: refuses what it would have to guess", "[jwk]") {
  const char* text = GENERATE(
      "", "[]", R"({"kty":"oct"})", R"({"kty":"oct","k":""})", R"({"kty":"oct","k":"a\"b"})",
      R"({"kty":"oct","k":"AAAA","k":"AAAA"})", R"({"kty":"EC","crv":"P\"","x":"AAAA","y":"AAAA"})",
      R"({"kty":"RSA","n":"AQ==","e":"AQAB"})", R"({"kty":"RSA","n":1,"e":"AQAB"})",
      R"({"k":"AAAA"})");
  const auto thumbprint = jwk_thumbprint(text);
  REQUIRE(!thumbprint);
  CHECK(thumbprint.error().detail == "key.not_jwk");
  CHECK(jwk_thumbprint(R"({"kty":"new","k":"AAAA"})").error().detail == "key.wrong_type");
}
