// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.test.openssl;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::shared_ptr<Random> kRandom = std::make_shared<SystemRandom>();
const TimePoint kTime = parse_rfc3339("2026-11-20T09:30:00Z").value();

constexpr std::string_view kX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
constexpr std::string_view kY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
constexpr std::string_view kD = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

class FixedRandom final : public Random {
 public:
  explicit FixedRandom(unsigned char byte) : byte_(byte) {}
  void fill(std::span<unsigned char> bytes) override {
    std::fill(bytes.begin(), bytes.end(), byte_);
  }

 private:
  unsigned char byte_;
};

JsonObject parse(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::corrupt, "test").value();
}

JsonObject vector_file(const std::string& name) {
  std::ifstream in(std::string(LATCHKEY_TEST_DATA) + '/' + name);
  return parse(std::string{std::istreambuf_iterator<char>(in), {}});
}

SecretString jwk(std::string_view d = kD, std::string_view x = kX, std::string_view y = kY) {
  return SecretString(R"({"kty":"EC","crv":"P-256","x":")" + std::string(x) + R"(","y":")" +
                      std::string(y) + R"(","d":")" + std::string(d) + R"("})");
}

std::string detail_of(const Result<std::shared_ptr<P256DpopProver>>& made) {
  if (made) return "accepted";
  CHECK(made.error().code == ErrorCode::invalid_key);
  return made.error().detail;
}

std::shared_ptr<P256DpopProver> rfc_key() {
  return P256DpopProver::from_private_jwk(jwk(), kRandom).value();
}

ProofInput input() {
  return {.htm = "GET", .htu = "https://pds.example/xrpc/x", .iat = kTime};
}

}  // namespace

TEST_CASE("the test's own verifier accepts RFC 7515 A.3 and RFC 9449, and nothing altered",
          "[p256]") {
  const auto a3 = vector_file("rfc7515_a3.json");
  const auto jws = a3.required_string("jws").value(), key = *a3.json_text("private_jwk");
  CHECK(evp_verifies(jws, key));
  CHECK(OpensslTool().verifies(jws, key));
  auto altered = jws;
  altered[30] = altered[30] == 'A' ? 'B' : 'A';
  CHECK(!evp_verifies(altered, key));
  CHECK(!OpensslTool().verifies(altered, key));
  const auto rfc9449 = vector_file("rfc9449.json");
  for (const char* name : {"token_proof", "resource_proof"}) {
    const auto proof = rfc9449.required_string(name).value();
    CHECK(evp_verifies(proof, *parse(decode_jws(proof).header).json_text("jwk")));
  }
}

TEST_CASE("P256DpopProver: imports the key of RFC 7515 A.3 and signs with it", "[p256]") {
  const auto prover = rfc_key();
  const auto proof = prover->proof(input()).value();
  CHECK(evp_verifies(proof, *vector_file("rfc7515_a3.json").json_text("private_jwk")));
  CHECK(prover->public_jwk() == R"({"crv":"P-256","kty":"EC","x":")" + std::string(kX) +
                                    R"(","y":")" + std::string(kY) + R"("})");
  CHECK(prover->jkt() == jwk_thumbprint(prover->public_jwk()).value());
}

TEST_CASE("P256DpopProver: the openssl command line verifies a proof", "[p256]") {
  const auto prover = P256DpopProver::generate(kRandom).value();
  const auto proof = prover->proof(input()).value();
  CHECK(OpensslTool().verifies(proof, prover->public_jwk()));
  const auto other = P256DpopProver::generate(kRandom).value();
  CHECK(!OpensslTool().verifies(proof, other->public_jwk()));
}

TEST_CASE("P256DpopProver: a thousand signatures verify and have 64 bytes", "[p256]") {
  const auto prover = P256DpopProver::generate(kRandom).value();
  int good = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto proof = prover->proof(input()).value();
    good += evp_verifies(proof, prover->public_jwk()) && decode_jws(proof).signature.size() == 64
                ? 1
                : 0;
  }
  CHECK(good == 1000);
}

TEST_CASE("C6.1: the header of a proof has typ, alg and the public key, never d", "[p256]") {
  const auto prover = rfc_key();
  const auto header = parse(decode_jws(prover->proof(input()).value()).header);
  CHECK(header.names() == std::vector<std::string>{"typ", "alg", "jwk"});
  CHECK(header.required_string("typ").value() == "dpop+jwt");
  CHECK(header.required_string("alg").value() == "ES256");
  CHECK(*header.json_text("jwk") == prover->public_jwk());
}

TEST_CASE("C6.2: the claims of a proof are those given and a new jti", "[p256]") {
  const auto prover = rfc_key();
  auto in = input();
  in.nonce = "n-0S6";
  const auto first = parse(decode_jws(prover->proof(in).value()).payload);
  const auto second = parse(decode_jws(prover->proof(in).value()).payload);
  CHECK(first.names() == std::vector<std::string>{"jti", "htm", "htu", "iat", "nonce"});
  CHECK(first.required_string("htm").value() == "GET");
  CHECK(first.required_string("htu").value() == "https://pds.example/xrpc/x");
  CHECK(first.integer("iat").value() == 1795167000);
  CHECK(first.required_string("nonce").value() == "n-0S6");
  const auto jti = first.required_string("jti").value();
  CHECK(base64url_decode(jti).value().size() == 16);
  CHECK(jti != second.required_string("jti").value());
}

TEST_CASE("C6.2: ten thousand proofs of one key have ten thousand jtis of 128 bits", "[p256]") {
  const auto prover = rfc_key();
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    const std::string payload = decode_jws(prover->proof(input()).value()).payload;
    const std::string mark = R"("jti":")";
    seen.insert(payload.substr(payload.find(mark) + mark.size(), 22));
  }
  CHECK(seen.size() == 10'000);
  CHECK(base64url_decode(*seen.begin()).value().size() == 16);
}

TEST_CASE("proof: jti is drawn from the random source given", "[p256]") {
  const auto prover =
      P256DpopProver::from_private_jwk(jwk(), std::make_shared<FixedRandom>(0)).value();
  const auto claims = parse(decode_jws(prover->proof(input()).value()).payload);
  CHECK(claims.required_string("jti").value() == std::string(22, 'A'));
}

TEST_CASE("C6.4: ath is the hash of RFC 9449 section 7.1, and of each token its own", "[p256]") {
  const auto vector = vector_file("rfc9449.json");
  const auto expected = parse(decode_jws(vector.required_string("resource_proof").value()).payload);
  const auto prover = rfc_key();
  const auto ath_of = [&](const SecretString& token) {
    auto in = input();
    in.access_token = &token;
    return parse(decode_jws(prover->proof(in).value()).payload).required_string("ath").value();
  };
  const SecretString token(vector.required_string("access_token").value());
  CHECK(ath_of(token) == expected.required_string("ath").value());
  // Tokens of one length, one after the other in the same place, and back: nothing stale may be
  // used.
  for (int i = 0; i < 200; ++i) {
    const std::string text = std::string(700, 'a') + std::to_string(i % 7) +
                             std::string(static_cast<std::size_t>(i % 40), 'b');
    CHECK(ath_of(SecretString(text)) == sha256_base64url(text));
  }
  for (std::size_t at = 0; at < 100; ++at) {
    std::string text(100, 'a');
    text[at] = 'b';
    CHECK(ath_of(SecretString(text)) == sha256_base64url(text));
  }
  CHECK(ath_of(token) == expected.required_string("ath").value());
  CHECK(ath_of(SecretString(std::string_view{})) == sha256_base64url(""));
}

TEST_CASE("proof: no ath without a token", "[p256]") {
  CHECK(!parse(decode_jws(rfc_key()->proof(input()).value()).payload).contains("ath"));
}

TEST_CASE("proof: refuses input that cannot be put into a proof", "[p256]") {
  auto in = input();
  in.nonce = "a\"b";
  CHECK(rfc_key()->proof(in).error().detail == "dpop.nonce");
  in = input();
  in.htm = "get";
  CHECK(rfc_key()->proof(in).error().detail == "dpop.htm");
  in = input();
  in.htu = "https://a/?q";
  CHECK(rfc_key()->proof(in).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("from_private_jwk: refuses keys that are none", "[p256]") {
  const auto read = [](const SecretString& text) {
    return detail_of(P256DpopProver::from_private_jwk(text, kRandom));
  };
  const std::string order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
  CHECK(read(jwk()) == "accepted");
  CHECK(read(jwk(std::string(43, 'A'))) == "key.scalar_range");
  CHECK(read(jwk(order)) == "key.scalar_range");
  CHECK(read(jwk(kD, kY, kX)) == "key.off_curve");
  CHECK(read(jwk(kD, std::string(43, 'A'), std::string(43, 'A'))) == "key.off_curve");
  CHECK(read(jwk(std::string(42, 'A') + "E")) == "key.mismatch");
  CHECK(read(jwk(std::string(42, 'A'))) == "key.not_jwk");
  CHECK(read(jwk(kD, kX, std::string(kY) + R"(","y":")" + std::string(kY))) == "key.not_jwk");
  CHECK(read(SecretString(rfc_key()->public_jwk())) == "key.not_private");
  CHECK(read(SecretString(R"({"kty":"EC","crv":"P-384","x":"","y":"","d":""})")) ==
        "key.wrong_curve");
}

TEST_CASE("from_private_jwk: y with the other sign belongs to another key", "[p256]") {
  // p - y: on the curve, and d times the generator has the other sign.
  const auto negated =
      hex_decode("380ebb31e442648278d320124611460b4c96a29256f4db5275b9dcd77a771a52").value();
  CHECK(detail_of(P256DpopProver::from_private_jwk(jwk(kD, kX, base64url_encode(negated)),
                                                   kRandom)) == "key.mismatch");
}

TEST_CASE("P256DpopProver: every form it exports is the same key when imported", "[p256]") {
  const auto prover = P256DpopProver::generate(kRandom).value();
  const auto p8 = prover->to_pkcs8_pem().value(), s1 = prover->to_sec1_pem().value();
  CHECK(P256DpopProver::from_private_jwk(prover->to_private_jwk(), kRandom).value()->jkt() ==
        prover->jkt());
  CHECK(
      P256DpopProver::from_pkcs8(SecretBytes(as_bytes(p8.expose())), kRandom).value()->to_bytes() ==
      prover->to_bytes());
  CHECK(
      P256DpopProver::from_sec1(SecretBytes(as_bytes(s1.expose())), kRandom).value()->to_bytes() ==
      prover->to_bytes());
  const auto again = P256DpopProver::from_bytes(prover->to_bytes(), kRandom).value();
  CHECK(again->public_jwk() == prover->public_jwk());
  CHECK(evp_verifies(again->proof(input()).value(), prover->public_jwk()));
}

TEST_CASE("to_private_jwk and to_bytes: the RFC 7515 key as written there", "[p256]") {
  const auto prover = rfc_key();
  CHECK(prover->to_private_jwk().expose() == R"({"crv":"P-256","d":")" + std::string(kD) +
                                                 R"(","kty":"EC","x":")" + std::string(kX) +
                                                 R"(","y":")" + std::string(kY) + R"("})");
  const auto bytes = prover->to_bytes();
  REQUIRE(bytes.size() == 97);
  CHECK(bytes.expose()[0] == 1);
  CHECK(base64url_encode(bytes.expose().subspan(1, 32)) == kD);
  CHECK(base64url_encode(bytes.expose().subspan(33, 32)) == kX);
  CHECK(base64url_encode(bytes.expose().subspan(65)) == kY);
}

TEST_CASE("from_bytes: refuses other lengths, formats and keys that do not fit", "[p256]") {
  const auto good = rfc_key()->to_bytes();
  const auto read = [](std::span<const unsigned char> bytes) {
    return detail_of(P256DpopProver::from_bytes(SecretBytes(bytes), kRandom));
  };
  const auto changed = [&](std::size_t at, unsigned char value) {
    auto bytes = good.clone();
    bytes.mutable_span()[at] = value;
    return read(bytes.expose());
  };
  CHECK(read(good.expose()) == "accepted");
  CHECK(read({}) == "key.not_bytes");
  CHECK(read(good.expose().first(96)) == "key.not_bytes");
  CHECK(changed(0, 2) == "key.not_bytes");
  CHECK(changed(32, 1) == "key.mismatch");
  CHECK(changed(40, 1) == "key.off_curve");
  CHECK(changed(96, 1) == "key.off_curve");
  CHECK(read(std::vector<unsigned char>(97, 1)) == "key.off_curve");
}

TEST_CASE("generate: makes a new key each time, from the random source given", "[p256]") {
  CHECK(P256DpopProver::generate(kRandom).value()->jkt() !=
        P256DpopProver::generate(kRandom).value()->jkt());
  const auto fixed = P256DpopProver::generate(std::make_shared<FixedRandom>(7)).value();
  CHECK(hex_encode(fixed->to_bytes().expose().subspan(1, 3)) == "070707");
}

TEST_CASE("generate: a random source that is broken is refused, not used", "[p256]") {
  const int byte = GENERATE(0x00, 0xff);
  const auto made =
      P256DpopProver::generate(std::make_shared<FixedRandom>(static_cast<unsigned char>(byte)));
  REQUIRE(!made);
  CHECK(made.error().detail == "key.not_generated");
}

TEST_CASE("C6.2: 8 threads sign with one key, and no two proofs share a jti",
          "[p256][concurrency]") {
  const auto prover = P256DpopProver::generate(kRandom).value();
  constexpr int kThreads = 8, kEach = 100;
  std::mutex mutex;
  std::set<std::string> ids;
  int good = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const SecretString token("token of thread " + std::to_string(t));
        auto in = input();
        in.access_token = &token;
        for (int i = 0; i < kEach; ++i) {
          const auto proof = prover->proof(in).value();
          const auto claims = parse(decode_jws(proof).payload);
          const bool fine =
              evp_verifies(proof, prover->public_jwk()) &&
              claims.required_string("ath").value() == sha256_base64url(token.expose());
          const std::scoped_lock lock(mutex);
          ids.insert(claims.required_string("jti").value());
          good += fine ? 1 : 0;
        }
      });
    }
  }
  CHECK(good == kThreads * kEach);
  CHECK(ids.size() == static_cast<std::size_t>(kThreads * kEach));
}

TEST_CASE("P256DpopProver: a key may go while other threads' keys sign on", "[p256][concurrency]") {
  std::vector<std::jthread> threads;
  std::mutex mutex;
  int good = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        const auto prover = P256DpopProver::generate(kRandom).value();
        const bool fine = evp_verifies(prover->proof(input()).value(), prover->public_jwk());
        const std::scoped_lock lock(mutex);
        good += fine ? 1 : 0;
      }
    });
  }
  threads.clear();
  CHECK(good == 100);
}
