// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.random;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kSecond = 1'790'000'000;
constexpr TimePoint kNow{std::chrono::seconds{kSecond}};
constexpr std::string_view kUrl = "https://pds.example/xrpc/a.b.c";
constexpr std::string_view kToken = "an-access-token";

// A server, a key, and a proof that is right until a test changes it.
struct Desk {
  explicit Desk(std::shared_ptr<NonceIssuer> issuer = nullptr, std::size_t capacity = 100,
                std::size_t per_key = 100)
      : verifier({.clock = clock,
                  .nonces = std::move(issuer),
                  .replay_capacity = capacity,
                  .replay_capacity_per_key = per_key}) {}

  [[nodiscard]] std::string proof() const { return key.sign(header, claims); }
  [[nodiscard]] Result<VerifiedProof> verify(std::vector<std::string_view> headers) {
    return verifier.verify(headers, {.htm = method,
                                     .htu = Url::parse(url).value(),
                                     .access_token = token.empty() ? nullptr : &token,
                                     .jkt = jkt});
  }
  [[nodiscard]] std::string outcome_of(std::string_view proof_text) {
    return outcome(verify({proof_text}));
  }

  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  DpopVerifier verifier;
  ProofKey key;
  Members header = key.header();
  Members claims = proof_claims("POST", kUrl, kSecond);
  std::string method = "POST", url = std::string(kUrl), jkt;
  SecretString token{};
};

std::shared_ptr<NonceIssuer> issuer() {
  FixedRandom random(7);
  return std::make_shared<NonceIssuer>(random, 60s);
}

}  // namespace

TEST_CASE("the verifier accepts a right proof and says whose it is", "[verifier]") {
  Desk desk;
  desk.token = SecretString(kToken);
  desk.jkt = desk.key.thumbprint();
  desk.claims["ath"] = quoted(hash_text(kToken));
  const auto proof = desk.proof();
  const auto verified = desk.verify({proof});
  REQUIRE(outcome(verified) == "ok");
  CHECK(verified->jkt == desk.key.thumbprint());
  CHECK(quoted(verified->jti) == desk.claims["jti"]);
  CHECK(verified->iat == kNow);
}

TEST_CASE("the verifier accepts the proofs of RFC 9449", "[verifier]") {
  const auto data = JsonObject::parse(read_file(LATCHKEY_TEST_DATA "/rfc9449.json"),
                                      ErrorCode::invalid_argument, "data")
                        .value();
  auto clock = std::make_shared<ManualClock>(TimePoint(std::chrono::seconds{1'562'262'618}));
  DpopVerifier verifier({.clock = clock});
  const auto proof = data.required_string("token_proof").value();
  const auto first = verifier.verify(
      {proof}, {.htm = "POST", .htu = Url::parse("https://server.example.com/token").value()});
  REQUIRE(outcome(first) == "ok");
  CHECK(first->jkt == data.required_string("thumbprint").value());

  const auto resource_proof = data.required_string("resource_proof").value();
  const SecretString token(data.required_string("access_token").value());
  const auto second =
      verifier.verify({resource_proof},
                      {.htm = "GET",
                       .htu = Url::parse("https://resource.example.org/protectedresource").value(),
                       .access_token = &token,
                       .jkt = first->jkt});
  CHECK(outcome(second) == "ok");
}

TEST_CASE("each way in which a proof is wrong has a name of its own", "[verifier]") {
  struct Case {
    const char* detail;
    std::function<void(Desk&)> spoil;
  };
  const std::vector<Case> cases{
      {"proof.typ", [](Desk& d) { d.header["typ"] = quoted("JWT"); }},
      {"proof.typ", [](Desk& d) { d.header.erase("typ"); }},
      {"proof.alg", [](Desk& d) { d.header["alg"] = quoted("none"); }},
      {"proof.alg", [](Desk& d) { d.header["alg"] = quoted("HS256"); }},
      {"proof.alg", [](Desk& d) { d.header["alg"] = "null"; }},
      {"proof.crit", [](Desk& d) { d.header["crit"] = "[\"b64\"]"; }},
      {"proof.jwk", [](Desk& d) { d.header.erase("jwk"); }},
      {"proof.jwk", [](Desk& d) { d.header["jwk"] = quoted("key"); }},
      {"proof.jwk", [](Desk& d) { d.header["jwk"] = R"({"kty":"RSA","n":"AQAB","e":"AQAB"})"; }},
      {"proof.jwk_private", [](Desk& d) { d.header["jwk"] = d.key.private_jwk(); }},
      {"proof.jwk_private", [](Desk& d) { d.header["jwk"] = R"({"kty":"oct","k":"AAAA"})"; }},
      {"proof.key",
       [](Desk& d) {
         const std::string ones(42, 'A');
         d.header["jwk"] =
             R"({"kty":"EC","crv":"P-256","x":")" + ones + R"(E","y":")" + ones + R"(E"})";
       }},
      {"proof.signature", [](Desk& d) { d.header["jwk"] = ProofKey().jwk(); }},
      {"proof.claims", [](Desk& d) { d.claims.erase("jti"); }},
      {"proof.claims", [](Desk& d) { d.claims.erase("htm"); }},
      {"proof.claims", [](Desk& d) { d.claims.erase("htu"); }},
      {"proof.claims", [](Desk& d) { d.claims.erase("iat"); }},
      {"proof.claims", [](Desk& d) { d.claims["iat"] = quoted("1790000000"); }},
      {"proof.claims", [](Desk& d) { d.claims["ath"] = "1"; }},
      {"proof.claims", [](Desk& d) { d.claims["nonce"] = "true"; }},
      {"proof.jti", [](Desk& d) { d.claims["jti"] = quoted(""); }},
      {"proof.jti", [](Desk& d) { d.claims["jti"] = quoted(std::string(513, 'a')); }},
      {"proof.htm", [](Desk& d) { d.claims["htm"] = quoted("GET"); }},
      {"proof.htm", [](Desk& d) { d.claims["htm"] = quoted("post"); }},
      {"proof.htu", [](Desk& d) { d.claims["htu"] = quoted("http://pds.example/xrpc/a.b.c"); }},
      {"proof.htu", [](Desk& d) { d.claims["htu"] = quoted("https://pds.example/xrpc/a.b.d"); }},
      {"proof.htu", [](Desk& d) { d.claims["htu"] = quoted("https://pds.example:1/xrpc/a.b.c"); }},
      {"proof.htu", [](Desk& d) { d.claims["htu"] = quoted("/xrpc/a.b.c"); }},
      {"proof.expired", [](Desk& d) { d.claims["iat"] = std::to_string(kSecond - 181); }},
      {"proof.expired", [](Desk& d) { d.claims["iat"] = "-1e300"; }},
      {"proof.future", [](Desk& d) { d.claims["iat"] = std::to_string(kSecond + 181); }},
      {"proof.future", [](Desk& d) { d.claims["iat"] = "1e300"; }},
      {"proof.ath_unexpected", [](Desk& d) { d.claims["ath"] = quoted(hash_text(kToken)); }},
      {"proof.ath_missing", [](Desk& d) { d.token = SecretString(kToken); }},
      {"proof.ath",
       [](Desk& d) {
         d.token = SecretString(kToken);
         d.claims["ath"] = quoted(hash_text("another token"));
       }},
      {"proof.key_mismatch", [](Desk& d) { d.jkt = ProofKey().thumbprint(); }},
  };
  for (const auto& one : cases) {
    Desk desk;
    one.spoil(desk);
    INFO(one.detail << ' ' << to_json(desk.header) << ' ' << to_json(desk.claims));
    CHECK(desk.outcome_of(desk.proof()) == "dpop_refused " + std::string(one.detail));
  }
}

TEST_CASE("what is no compact JWS of JSON objects is malformed", "[verifier]") {
  Desk desk;
  const std::string good = desk.proof();
  const auto first = good.find('.'), last = good.rfind('.');
  const std::string header = to_json(desk.header);
  const std::string twice =
      desk.key.sign(header, to_json(desk.claims).insert(1, "\"htm\":\"GET\","));
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), good.substr(0, last), good + "=",
        good + ".x", good.substr(0, first) + ' ' + good.substr(first),
        good.substr(first + 1) + ".e30", desk.key.sign(header, "[]"), desk.key.sign("{", "{}"),
        twice}) {
    INFO(bad);
    CHECK(desk.outcome_of(bad) == "dpop_refused proof.malformed");
  }
  CHECK(desk.outcome_of(good.substr(0, last + 1)) == "dpop_refused proof.signature");
  CHECK(desk.outcome_of(std::string(9000, 'a')) == "dpop_refused proof.too_large");
  CHECK(outcome(desk.verify({})) == "dpop_refused proof.missing");
  CHECK(outcome(desk.verify({good, good})) == "dpop_refused proof.several");
  CHECK(desk.outcome_of(good) == "ok");
}

TEST_CASE("a signature that was made for another text is refused", "[verifier]") {
  Desk desk;
  const std::string good = desk.proof();
  auto other_claims = desk.claims;
  other_claims["jti"] = quoted("another");
  const std::string other = desk.key.sign(desk.header, other_claims);
  const std::string mixed = good.substr(0, good.rfind('.')) + other.substr(other.rfind('.'));
  CHECK(desk.outcome_of(mixed) == "dpop_refused proof.signature");
  // r and s of zero.
  const std::string zeros = good.substr(0, good.rfind('.') + 1) + std::string(86, 'A');
  CHECK(desk.outcome_of(zeros) == "dpop_refused proof.signature");
}

TEST_CASE("htu is compared without query, fragment and default port", "[verifier]") {
  for (const std::string_view htu :
       {"https://pds.example:443/xrpc/a.b.c", "HTTPS://PDS.example/xrpc/a.b.c",
        "https://pds.example/xrpc/a.b.c?x=1", "https://pds.example/xrpc/a.b.c#f"}) {
    Desk desk;
    desk.url = "https://pds.example/xrpc/a.b.c?limit=2";
    desk.claims["htu"] = quoted(htu);
    CHECK(desk.outcome_of(desk.proof()) == "ok");
  }
}

TEST_CASE("iat is good to the second at both ends of the window", "[verifier]") {
  for (const int seconds : {-180, 180}) {
    Desk desk;
    desk.claims["iat"] = std::to_string(kSecond + seconds);
    CHECK(desk.outcome_of(desk.proof()) == "ok");
  }
}

TEST_CASE("a proof is good once, as long as it would be good at all", "[verifier]") {
  Desk desk;
  desk.claims["iat"] = std::to_string(kSecond + 180);
  const std::string proof = desk.proof();
  CHECK(desk.outcome_of(proof) == "ok");
  CHECK(desk.outcome_of(proof) == "dpop_refused proof.replayed");
  desk.clock->advance(360s);
  CHECK(desk.outcome_of(proof) == "dpop_refused proof.replayed");
  desk.clock->advance(1s);
  CHECK(desk.outcome_of(proof) == "dpop_refused proof.expired");
}

TEST_CASE("two keys may use one jti", "[verifier]") {
  Desk desk;
  CHECK(desk.outcome_of(desk.proof()) == "ok");
  const ProofKey other;
  CHECK(desk.outcome_of(other.sign(other.header(), desk.claims)) == "ok");
}

TEST_CASE("a proof that was refused for something else is not remembered", "[verifier]") {
  Desk desk;
  const std::string proof = desk.proof();
  desk.method = "GET";
  CHECK(desk.outcome_of(proof) == "dpop_refused proof.htm");
  desk.method = "POST";
  CHECK(desk.outcome_of(proof) == "ok");
}

TEST_CASE("a full replay cache refuses new proofs and forgets none", "[verifier]") {
  Desk desk(nullptr, 2);
  std::vector<std::string> proofs;
  for (int i = 0; i < 3; ++i) {
    desk.claims["jti"] = quoted(std::to_string(i));
    proofs.push_back(desk.proof());
  }
  CHECK(desk.outcome_of(proofs[0]) == "ok");
  CHECK(desk.outcome_of(proofs[1]) == "ok");
  CHECK(desk.outcome_of(proofs[2]) == "rate_limited proof.cache_full");
  CHECK(desk.outcome_of(proofs[0]) == "dpop_refused proof.replayed");
  desk.clock->advance(181s);
  desk.claims["iat"] = std::to_string(kSecond + 181);
  CHECK(desk.outcome_of(desk.proof()) == "ok");
}

TEST_CASE("a verifier with nonces wants one of now", "[verifier]") {
  const auto nonces = issuer();
  Desk desk(nonces);
  const auto missing = desk.proof();
  const auto refused = desk.verify({missing});
  CHECK(outcome(refused) == "dpop_refused proof.nonce_missing");
  CHECK(needs_nonce(refused.error()));
  desk.claims["nonce"] = quoted("made-up");
  CHECK(desk.outcome_of(desk.proof()) == "dpop_refused proof.nonce_stale");
  FixedRandom random(8);
  desk.claims["nonce"] = quoted(NonceIssuer(random, 60s).current(kNow));
  CHECK(desk.outcome_of(desk.proof()) == "dpop_refused proof.nonce_stale");
  desk.claims["nonce"] = quoted(nonces->current(kNow));
  CHECK(desk.outcome_of(desk.proof()) == "ok");
  desk.method = "GET";
  CHECK_FALSE(needs_nonce(desk.verify({missing}).error()));
}

TEST_CASE("NonceIssuer: a nonce lives between one and two intervals", "[verifier]") {
  const auto nonces = issuer();
  // The beginning of an interval.
  const TimePoint start(std::chrono::seconds{60 * 1000});
  const auto nonce = nonces->current(start);
  CHECK(is_dpop_nonce(nonce));
  CHECK(nonces->current(start + 59'999ms) == nonce);
  CHECK(nonces->current(start + 60s) != nonce);
  CHECK(nonces->accepts(nonce, start));
  CHECK(nonces->accepts(nonce, start + 119'999ms));
  CHECK_FALSE(nonces->accepts(nonce, start + 120s));
  CHECK_FALSE(nonces->accepts(nonce, start - 1ms));
  CHECK_FALSE(nonces->accepts("", start));
  CHECK_FALSE(nonces->accepts(nonce + "A", start));
}

TEST_CASE("a key that sent as many proofs as its quota is refused, and remembered ones stay",
          "[verifier]") {
  Desk desk(nullptr, 100, 1);
  desk.claims["jti"] = quoted("first");
  const std::string first = desk.proof();
  desk.claims["jti"] = quoted("second");
  const std::string second = desk.proof();
  CHECK(desk.outcome_of(first) == "ok");
  CHECK(desk.outcome_of(second) == "rate_limited proof.key_quota");
  CHECK(desk.outcome_of(first) == "dpop_refused proof.replayed");
}
