// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.oidc.jws_algorithm;
import latchkey.oidc.verification_key;
import latchkey.test.jws_key;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kText = "header.payload";

Result<VerificationKey> import_key(const std::string& jwk) {
  return VerificationKey::from_jwk(JsonObject::parse(jwk, ErrorCode::invalid_key, "jwk").value());
}

Result<VerificationKey> changed(std::string_view alg, const Members& changes) {
  return import_key(to_json(with(shared_key(alg).members(), changes)));
}

std::string outcome_of(std::string_view alg, const Members& changes) {
  return outcome(changed(alg, changes));
}

JwsAlgorithm algorithm(std::string_view name) {
  return parse_jws_algorithm(name).value();
}

// base64url text of so many bytes, all of this value.
std::string filled(std::size_t size, int value) {
  return quoted(
      base64url_encode(std::vector<unsigned char>(size, static_cast<unsigned char>(value))));
}

const std::vector<std::string> kAll{"RS256", "RS384", "RS512", "PS256", "PS384",
                                    "PS512", "ES256", "ES384", "ES512", "EdDSA"};

}  // namespace

TEST_CASE("key: verifies what OpenSSL signs with each algorithm", "[oidc]") {
  for (const auto& name : kAll) {
    INFO(name);
    const auto signature = shared_key(name).signature(kText);
    const auto key = import_key(shared_key(name).jwk()).value();
    CHECK(key.verifies(algorithm(name), kText, signature));
    CHECK_FALSE(key.verifies(algorithm(name), "header.payloae", signature));
    CHECK_FALSE(key.verifies(algorithm(name), "", signature));
    CHECK_FALSE(key.verifies(algorithm(name), kText, {}));
    for (const std::size_t at : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
      auto wrong = signature;
      wrong[at] ^= 1;
      CHECK_FALSE(key.verifies(algorithm(name), kText, wrong));
    }
  }
}

TEST_CASE("key: a signature is good for one algorithm only", "[oidc]") {
  for (const auto& signer : kAll) {
    const auto signature = shared_key(signer).signature(kText);
    const auto key = import_key(shared_key(signer).jwk()).value();
    for (const auto& other : kAll) {
      INFO(signer << " as " << other);
      CHECK(key.verifies(algorithm(other), kText, signature) == (signer == other));
    }
  }
  const auto signature = shared_key("EdDSA").signature(kText);
  CHECK(import_key(shared_key("EdDSA").jwk())
            .value()
            .verifies(JwsAlgorithm::ed25519, kText, signature));
}

TEST_CASE("key: does only what its type, curve and alg are for", "[oidc]") {
  const auto rsa = changed("RS256", {}).value();
  const auto pss_only = changed("RS256", {{"alg", quoted("PS256")}}).value();
  const auto p256 = changed("ES256", {}).value();
  CHECK(rsa.fits(JwsAlgorithm::rs512));
  CHECK(rsa.fits(JwsAlgorithm::ps256));
  CHECK_FALSE(rsa.fits(JwsAlgorithm::es256));
  CHECK_FALSE(rsa.fits(JwsAlgorithm::eddsa));
  CHECK(pss_only.fits(JwsAlgorithm::ps256));
  CHECK_FALSE(pss_only.fits(JwsAlgorithm::ps384));
  CHECK_FALSE(pss_only.fits(JwsAlgorithm::rs256));
  CHECK_FALSE(pss_only.verifies(JwsAlgorithm::rs256, kText, shared_key("RS256").signature(kText)));
  CHECK(p256.fits(JwsAlgorithm::es256));
  CHECK_FALSE(p256.fits(JwsAlgorithm::es384));
  CHECK_FALSE(p256.fits(JwsAlgorithm::rs256));
  CHECK(changed("EdDSA", {{"alg", quoted("Ed25519")}}).value().fits(JwsAlgorithm::eddsa));
}

TEST_CASE("key: PSS with another salt than the hash's length is refused", "[oidc]") {
  const auto key = import_key(shared_key("PS256").jwk()).value();
  CHECK(key.verifies(JwsAlgorithm::ps256, kText, shared_key("PS256").signature(kText, 32)));
  for (const int salt : {0, 20, 31, 33, 222}) {
    INFO(salt);
    CHECK_FALSE(
        key.verifies(JwsAlgorithm::ps256, kText, shared_key("PS256").signature(kText, salt)));
  }
}

TEST_CASE("key: ECDSA signatures have exactly two halves of the curve's size", "[oidc]") {
  for (const char* name : {"ES256", "ES384", "ES512"}) {
    INFO(name);
    const auto key = import_key(shared_key(name).jwk()).value();
    const auto good = shared_key(name).signature(kText);
    auto longer = good, shorter = good, led = good;
    longer.push_back(0);
    shorter.pop_back();
    led.insert(led.begin(), 0);
    for (const auto& wrong : {longer, shorter, led}) {
      CHECK_FALSE(key.verifies(algorithm(name), kText, wrong));
    }
    for (const int value : {0x00, 0x01, 0xff}) {
      const std::vector<unsigned char> constant(good.size(), static_cast<unsigned char>(value));
      CHECK_FALSE(key.verifies(algorithm(name), kText, constant));
    }
  }
}

TEST_CASE("key: kinds that we do not know are refused", "[oidc]") {
  CHECK(outcome_of("RS256", {{"kty", quoted("oct")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("RS256", {{"kty", quoted("rsa")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("RS256", {{"kty", ""}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("ES256", {{"crv", quoted("secp256k1")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("ES256", {{"crv", quoted("Ed25519")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("ES256", {{"crv", ""}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("EdDSA", {{"crv", quoted("X25519")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("EdDSA", {{"crv", quoted("Ed448")}}) == "invalid_key jwk.kind");
  CHECK(outcome_of("RS256", {{"kty", "1"}}) == "invalid_key jwk.wrong_type");
  CHECK(outcome_of("ES256", {{"crv", "[]"}}) == "invalid_key jwk.wrong_type");
}

TEST_CASE("key: one with private members was published by mistake", "[oidc]") {
  for (const char* name : {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}) {
    INFO(name);
    CHECK(outcome_of("RS256", {{name, quoted("AQAB")}}) == "invalid_key jwk.private");
    CHECK(outcome_of("ES256", {{name, "null"}}) == "invalid_key jwk.private");
  }
}

TEST_CASE("key: use, key_ops and alg are kept to", "[oidc]") {
  CHECK(outcome_of("RS256", {{"use", quoted("sig")}}) == "ok");
  CHECK(outcome_of("RS256", {{"use", quoted("enc")}}) == "invalid_key jwk.use");
  CHECK(outcome_of("RS256", {{"use", quoted("")}}) == "invalid_key jwk.use");
  CHECK(outcome_of("RS256", {{"use", "null"}}) == "invalid_key jwk.wrong_type");
  CHECK(outcome_of("RS256", {{"key_ops", R"(["verify"])"}}) == "ok");
  CHECK(outcome_of("RS256", {{"key_ops", R"(["sign","verify"])"}}) == "ok");
  CHECK(outcome_of("RS256", {{"key_ops", R"(["encrypt"])"}}) == "invalid_key jwk.key_ops");
  CHECK(outcome_of("RS256", {{"key_ops", "[]"}}) == "invalid_key jwk.key_ops");
  CHECK(outcome_of("RS256", {{"key_ops", R"("verify")"}}) == "invalid_key jwk.wrong_type");
  CHECK(outcome_of("RS256", {{"alg", quoted("RS256")}}) == "ok");
  CHECK(outcome_of("RS256", {{"alg", quoted("RSA-OAEP")}}) == "invalid_key jwk.alg");
  CHECK(outcome_of("RS256", {{"alg", quoted("HS256")}}) == "invalid_key jwk.alg");
  CHECK(outcome_of("RS256", {{"alg", quoted("ES256")}}) == "invalid_key jwk.alg");
  CHECK(outcome_of("ES256", {{"alg", quoted("ES384")}}) == "invalid_key jwk.alg");
  CHECK(outcome_of("ES256", {{"alg", quoted("none")}}) == "invalid_key jwk.alg");
}

TEST_CASE("key: its id is optional and bounded", "[oidc]") {
  CHECK(changed("ES256", {}).value().kid() == std::nullopt);
  CHECK(changed("ES256", {{"kid", quoted("k")}}).value().kid() == "k");
  CHECK(outcome_of("ES256", {{"kid", quoted(std::string(512, 'k'))}}) == "ok");
  CHECK(outcome_of("ES256", {{"kid", quoted(std::string(513, 'k'))}}) == "invalid_key jwk.kid");
  CHECK(outcome_of("ES256", {{"kid", "7"}}) == "invalid_key jwk.wrong_type");
}

TEST_CASE("key: RSA numbers that are none of a good key are refused", "[oidc]") {
  const JwsKey small("RS256", 1024), almost("RS256", 2040), large("RS256", 3072);
  CHECK(outcome(import_key(small.jwk())) == "invalid_key jwk.key");
  CHECK(outcome(import_key(almost.jwk())) == "invalid_key jwk.key");
  CHECK(outcome(import_key(large.jwk())) == "ok");
  CHECK(outcome_of("RS256", {{"n", filled(1024, 0xff)}}) == "ok");  // 8192 bits
  CHECK(outcome_of("RS256", {{"n", filled(1025, 0xff)}}) == "invalid_key jwk.key");
  CHECK(outcome_of("RS256", {{"n", filled(300, 0xfe)}}) == "invalid_key jwk.key");  // even
  CHECK(outcome_of("RS256", {{"n", ""}}) == "invalid_key jwk.key");
  CHECK(outcome_of("RS256", {{"n", quoted("A=")}}) == "invalid_key jwk.key");
  CHECK(outcome_of("RS256", {{"n", "65537"}}) == "invalid_key jwk.wrong_type");
  CHECK(outcome_of("RS256", {{"e", quoted("Aw")}}) == "ok");  // 3
  for (const char* exponent :
       {"", "\"\"", R"("AA")", R"("AQ")", R"("Ag")", R"("AQAA")", R"("AQAAAAE")", R"("!")"}) {
    INFO(exponent);
    CHECK(outcome_of("RS256", {{"e", exponent}}) == "invalid_key jwk.key");
  }
}

TEST_CASE("key: points that are not on the curve are refused", "[oidc]") {
  for (const auto& [name, size] :
       {std::pair<const char*, std::size_t>{"ES256", 32}, {"ES384", 48}, {"ES512", 66}}) {
    INFO(name);
    for (const int value : {0x00, 0x01}) {
      CHECK(outcome_of(name, {{"x", filled(size, value)}, {"y", filled(size, value)}}) ==
            "invalid_key jwk.key");
    }
    CHECK(outcome_of(name, {{"x", filled(size, 0xff)}}) == "invalid_key jwk.key");
    CHECK(outcome_of(name, {{"y", filled(size - 1, 1)}}) == "invalid_key jwk.key");
    CHECK(outcome_of(name, {{"y", filled(size + 1, 1)}}) == "invalid_key jwk.key");
    CHECK(outcome_of(name, {{"y", ""}}) == "invalid_key jwk.key");
    CHECK(outcome_of(name, {{"y", "{}"}}) == "invalid_key jwk.wrong_type");
  }
  // A point of another curve.
  auto foreign = shared_key("ES384").members();
  foreign["crv"] = quoted("P-256");
  CHECK(outcome(import_key(to_json(foreign))) == "invalid_key jwk.key");
}

TEST_CASE("key: Ed25519 keys have 32 bytes", "[oidc]") {
  CHECK(outcome_of("EdDSA", {{"x", filled(31, 1)}}) == "invalid_key jwk.key");
  CHECK(outcome_of("EdDSA", {{"x", filled(33, 1)}}) == "invalid_key jwk.key");
  CHECK(outcome_of("EdDSA", {{"x", ""}}) == "invalid_key jwk.key");
}

TEST_CASE("key: threads verify with one key at once", "[oidc][concurrency]") {
  for (const char* name : {"RS256", "ES256"}) {
    const auto signature = shared_key(name).signature(kText);
    const auto key = import_key(shared_key(name).jwk()).value();
    std::vector<int> good(4);
    {
      std::vector<std::jthread> threads;
      for (auto& count : good) {
        threads.emplace_back([&, name] {
          for (int i = 0; i < 25; ++i) count += key.verifies(algorithm(name), kText, signature);
        });
      }
    }
    CHECK(good == std::vector<int>(4, 25));
  }
}
