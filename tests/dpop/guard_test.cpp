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
import latchkey.dpop;
import latchkey.http;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.random;
import latchkey.test.scripted_transport;

// A resource server's door: who may pass, and the exact answers to those who may not.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kSecond = 1'790'000'000;
constexpr TimePoint kNow{std::chrono::seconds{kSecond}};
constexpr std::string_view kUrl = "https://api.example/things";
constexpr std::string_view kToken = "acc-Marked9f8e7d6c5b4a3928";

std::shared_ptr<NonceIssuer> issuer() {
  FixedRandom random(7);
  return std::make_shared<NonceIssuer>(random, 60s);
}

// A server that knows one token, and a request that may pass until a test changes it.
struct Door {
  explicit Door(std::shared_ptr<NonceIssuer> nonces = nullptr, std::size_t capacity = 100)
      : guard({.clock = clock, .nonces = std::move(nonces), .replay_capacity = capacity}) {
    claims["ath"] = quoted(hash_text(kToken));
  }

  [[nodiscard]] Result<VerifiedProof> check() {
    const std::string proof = key.sign(key.header(), claims);
    std::vector<std::string_view> proofs(proof_fields, proof);
    std::vector<std::string_view> fields(authorization.begin(), authorization.end());
    return guard.check({.method = "GET",
                        .url = Url::parse(kUrl).value(),
                        .authorization = std::move(fields),
                        .dpop = std::move(proofs)},
                       lookup);
  }

  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  DpopGuard guard;
  ProofKey key;
  Members claims = proof_claims("GET", kUrl, kSecond);
  std::size_t proof_fields = 1;
  std::vector<std::string> authorization{"DPoP " + std::string(kToken)};
  int lookups = 0;
  TokenLookup lookup = [this](const SecretString& token) -> Result<std::optional<KnownToken>> {
    ++lookups;
    if (token.expose() != kToken) return std::optional<KnownToken>();
    return std::optional(KnownToken{.jkt = key.thumbprint()});
  };
};

// Status and challenge, and no secret anywhere.
std::string said(const Door& door, const Error& error) {
  const GuardAnswer answer = door.guard.answer_to(error);
  const std::string* challenge = answer.headers.find("WWW-Authenticate");
  std::string text = std::to_string(answer.status) + " " + (challenge ? *challenge : "");
  CHECK((text + error.message + error.detail).find("Marked") == std::string::npos);
  return text;
}

}  // namespace

TEST_CASE("guard: a token with a proof of its key passes, and says whose proof it was", "[guard]") {
  for (const char* scheme : {"DPoP ", "dpop ", "DPOP   "}) {
    Door door;
    door.authorization = {scheme + std::string(kToken)};
    const auto passed = door.check();
    REQUIRE(outcome(passed) == "ok");
    CHECK(passed->jkt == door.key.thumbprint());
    CHECK(door.guard.answer_fields().size() == 0);
  }
}

TEST_CASE("guard: each refusal has the answer that RFC 9449 and RFC 6750 give it", "[guard]") {
  struct Case {
    std::string refusal, answer;
    std::function<void(Door&)> spoil;
  };
  const std::string plain = R"(DPoP algs="ES256")";
  const std::string token = "401 " + plain + R"(, error="invalid_token")";
  const std::string proof = "401 " + plain + R"(, error="invalid_dpop_proof")";
  const std::string request = "400 " + plain + R"(, error="invalid_request")";
  const auto sends = [](std::string field) {
    return [field = std::move(field)](Door& d) { d.authorization = {field}; };
  };
  const std::string malformed = "invalid_argument guard.authorization_malformed";
  const std::vector<Case> cases{
      {"login_required guard.token_missing", "401 " + plain,
       [](Door& d) { d.authorization.clear(); }},
      {"invalid_argument guard.authorization_several", request,
       [](Door& d) { d.authorization.push_back(d.authorization[0]); }},
      {"invalid_argument guard.authorization_several", request,
       [](Door& d) { d.authorization.push_back("Bearer x"); }},
      {malformed, request, sends("")},
      {malformed, request, sends("DPoP")},
      {malformed, request, sends("DPoP ")},
      {malformed, request, sends("DPoP a b")},
      {malformed, request, sends("DPoP a,b")},
      {malformed, request, sends("DPoP =")},
      {malformed, request, sends("DPoP a=b")},
      {malformed, request, sends(" DPoP a")},
      {malformed, request, sends("DPoP\ta")},
      {malformed, request, sends("DPoP " + std::string(32 * 1024 + 1, 'a'))},
      {"token_invalid guard.scheme", token, sends("Bearer " + std::string(kToken))},
      {"token_invalid guard.scheme", token, sends("Basic YTpi")},
      {"token_invalid guard.scheme", token, sends("DPoPx " + std::string(kToken))},
      {"token_invalid guard.token_unknown", token, sends("DPoP another")},
      {"token_invalid guard.token_unbound", token,
       [](Door& d) { d.lookup = [](const SecretString&) { return std::optional(KnownToken{}); }; }},
      {"dpop_refused proof.missing", proof, [](Door& d) { d.proof_fields = 0; }},
      {"dpop_refused proof.several", proof, [](Door& d) { d.proof_fields = 2; }},
      {"dpop_refused proof.htm", proof, [](Door& d) { d.claims["htm"] = quoted("POST"); }},
      {"dpop_refused proof.ath_missing", proof, [](Door& d) { d.claims.erase("ath"); }},
      {"dpop_refused proof.ath", proof,
       [](Door& d) { d.claims["ath"] = quoted(hash_text("another")); }},
      {"dpop_refused proof.key_mismatch", proof,
       [](Door& d) {
         d.lookup = [](const SecretString&) {
           return std::optional(KnownToken{ProofKey().thumbprint()});
         };
       }},
  };
  for (const Case& one : cases) {
    Door door;
    one.spoil(door);
    const auto refused = door.check();
    REQUIRE_FALSE(refused);
    CAPTURE(one.refusal);
    CHECK(outcome(refused) == one.refusal);
    CHECK(said(door, refused.error()) == one.answer);
  }
}

TEST_CASE("guard: a proof is good once", "[guard]") {
  Door door;
  REQUIRE(door.check());
  const auto again = door.check();
  REQUIRE(outcome(again) == "dpop_refused proof.replayed");
  CHECK(said(door, again.error()) == R"(401 DPoP algs="ES256", error="invalid_dpop_proof")");
}

TEST_CASE("guard: nonces are asked for, given out with every answer, and never cached", "[guard]") {
  const auto nonces = issuer();
  Door door(nonces);
  const auto refused = door.check();
  REQUIRE(outcome(refused) == "dpop_refused proof.nonce_missing");
  CHECK(said(door, refused.error()) == R"(401 DPoP algs="ES256", error="use_dpop_nonce")");
  const GuardAnswer answer = door.guard.answer_to(refused.error());
  CHECK(*answer.headers.find("DPoP-Nonce") == nonces->current(kNow));
  CHECK(*answer.headers.find("Cache-Control") == "no-store");

  door.claims["nonce"] = quoted(nonces->current(kNow));
  CHECK(outcome(door.check()) == "ok");
  door.clock->advance(60s);
  CHECK(*door.guard.answer_fields().find("DPoP-Nonce") == nonces->current(kNow + 60s));
  door.authorization = {"Bearer x"};
  const auto other = door.check();
  CHECK(door.guard.answer_to(other.error()).headers.find("DPoP-Nonce") != nullptr);
}

TEST_CASE("guard: what can't be judged now is 503, without a challenge", "[guard]") {
  Door door;
  Error down = make_error(ErrorCode::unreachable, "test.down", "introspection is down");
  door.lookup = [&](const SecretString&) -> Result<std::optional<KnownToken>> { return down; };
  const auto refused = door.check();
  REQUIRE(outcome(refused) == "unreachable test.down");
  CHECK(said(door, refused.error()) == "503 ");
  CHECK(*door.guard.answer_to(refused.error()).headers.find("Retry-After") == "5");
  down.retry_after = 7s;
  CHECK(*door.guard.answer_to(down).headers.find("Retry-After") == "7");

  Door full(nullptr, 0);
  const auto overrun = full.check();
  REQUIRE(outcome(overrun) == "rate_limited proof.cache_full");
  CHECK(said(full, overrun.error()) == "503 ");
}

TEST_CASE("guard: a key that sends too many proofs is told so, and when to come again", "[guard]") {
  const Door door;
  const Error error = make_error(ErrorCode::rate_limited, "proof.key_quota", "too many");
  CHECK(said(door, error) == "429 ");
  CHECK(door.guard.answer_to(error).headers.find("Retry-After") != nullptr);
}

TEST_CASE("guard: who has no token uses up no memory for proofs", "[guard]") {
  Door door(nullptr, 1);
  door.authorization = {"DPoP unknown"};
  for (int i = 0; i < 10; ++i) {
    door.claims["jti"] = quoted("jti-" + std::to_string(i));
    CHECK(outcome(door.check()) == "token_invalid guard.token_unknown");
  }
  door.authorization = {"DPoP " + std::string(kToken)};
  CHECK(outcome(door.check()) == "ok");
}

TEST_CASE("guard: what can be refused without looking the token up is", "[guard]") {
  Door door;
  for (const char* field : {"Bearer x", "DPoP", "DPoP a b"}) {
    door.authorization = {field};
    CHECK_FALSE(door.check());
  }
  CHECK(door.lookups == 0);
}

TEST_CASE("guard: our own client gets through, with one more request a nonce", "[guard]") {
  const auto clock = std::make_shared<ManualClock>(kNow);
  DpopGuard guard({.clock = clock, .nonces = issuer()});
  const auto prover = P256DpopProver::generate(std::make_shared<SystemRandom>()).value();
  const auto server =
      std::make_shared<ScriptedTransport>([&](const HttpRequest& request, const SendOptions&) {
        const std::string sent = "DPoP " + std::string(request.authorization->credentials.expose());
        const auto passed = guard.check(
            {.method = request.method,
             .url = request.url,
             .authorization = {sent},
             .dpop = request.headers.all("DPoP")},
            [&](const SecretString&) { return std::optional(KnownToken{prover->jkt()}); });
        if (passed) return Result<HttpResponse>(HttpResponse{200, guard.answer_fields(), {}});
        const GuardAnswer refusal = guard.answer_to(passed.error());
        return Result<HttpResponse>(HttpResponse{refusal.status, refusal.headers, {}});
      });
  DpopTransport client({.inner = server,
                        .prover = prover,
                        .nonces = std::make_shared<NonceCache>(),
                        .clock = clock,
                        .skew = std::make_shared<ClockSkew>()});
  const auto call = [&] {
    HttpRequest request = json_get(Url::parse(std::string(kUrl) + "?limit=2").value());
    request.authorization = Authorization{Authorization::Scheme::dpop, SecretString(kToken)};
    return client.send(request, {}).value().status;
  };
  CHECK(call() == 200);
  CHECK(server->count() == 2);  // the first one learns the nonce
  CHECK(call() == 200);
  CHECK(server->count() == 3);
  clock->advance(60s);  // the old nonce is still good, and its answer brings the new one
  CHECK(call() == 200);
  clock->advance(60s);
  CHECK(call() == 200);
  CHECK(server->count() == 5);
  clock->advance(10min);
  CHECK(call() == 200);
  CHECK(server->count() == 7);
}
