// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>

import latchkey.core.crypto;
import latchkey.core.secret;
import latchkey.oauth.pkce;
import latchkey.test.oauth;

namespace {

class FixedRandom final : public latchkey::Random {
 public:
  explicit FixedRandom(unsigned char value) : value_(value) {}
  void fill(std::span<unsigned char> bytes) override {
    asked += bytes.size();
    std::fill(bytes.begin(), bytes.end(), value_);
  }
  std::size_t asked = 0;

 private:
  unsigned char value_;
};

}  // namespace

TEST_CASE("pkce: the vector of RFC 7636 appendix B holds", "[pkce]") {
  const auto vector = nlohmann::json::parse(
      latchkey::test::read_file(LATCHKEY_TEST_DATA "/pkce/rfc7636_appendix_b.json"));
  const latchkey::SecretString verifier(vector.at("code_verifier").get<std::string>());
  CHECK(latchkey::code_challenge_s256(verifier) == vector.at("code_challenge").get<std::string>());
}

TEST_CASE("C4.4: a thousand verifiers are distinct, 43 characters of base64url each", "[pkce]") {
  latchkey::SystemRandom random;
  std::set<std::string> verifiers, challenges;
  for (int i = 0; i < 1000; ++i) {
    const auto pkce = latchkey::make_pkce(random);
    const std::string verifier(pkce.code_verifier.expose());
    CHECK(verifier.size() == 43);
    CHECK(verifier.find_first_not_of(
              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
          std::string::npos);
    CHECK(pkce.code_challenge.size() == 43);
    CHECK(pkce.code_challenge != verifier);
    verifiers.insert(verifier);
    challenges.insert(pkce.code_challenge);
  }
  CHECK(verifiers.size() == 1000);
  CHECK(challenges.size() == 1000);
}

TEST_CASE("pkce: a verifier is 32 bytes of the generator that was passed in, and nothing else",
          "[pkce]") {
  FixedRandom zeros(0), ones(1);
  CHECK(latchkey::make_pkce(zeros).code_verifier.expose() == std::string(43, 'A'));
  CHECK(zeros.asked == 32);
  CHECK_FALSE(latchkey::make_pkce(ones).code_verifier == latchkey::make_pkce(zeros).code_verifier);
}

TEST_CASE("C4.4: the challenge belongs to its verifier, never plain", "[pkce]") {
  latchkey::SystemRandom random;
  const auto pkce = latchkey::make_pkce(random);
  CHECK(pkce.code_challenge == latchkey::code_challenge_s256(pkce.code_verifier));
  CHECK(pkce.code_challenge !=
        latchkey::code_challenge_s256(latchkey::make_pkce(random).code_verifier));
  CHECK(pkce.code_challenge.find('=') == std::string::npos);
}
