// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.oauth.client_keys;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.proof_key;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::shared_ptr<Random> kRandom = std::make_shared<SystemRandom>();

std::string with_members(const std::string& jwk, std::string_view more) {
  return "{" + std::string(more) + "," + jwk.substr(1);
}

std::string named(const ProofKey& key, std::string_view kid) {
  return with_members(key.private_jwk(), "\"kid\":" + json_quote(kid));
}

std::string set_of(const std::vector<std::string>& keys) {
  std::string text = R"({"keys":[)";
  for (const auto& key : keys) text += (text.back() == '[' ? "" : ",") + key;
  return text + "]}";
}

Result<std::shared_ptr<ClientKeys>> read(const std::string& set) {
  return ClientKeys::from_jwk_set(SecretString(set), kRandom);
}

JsonObject parsed(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::corrupt, "test").value();
}

}  // namespace

TEST_CASE("ClientKeys: a set is read in its order, and the first key is the newest", "[client]") {
  const ProofKey first, second;
  const auto keys = read(set_of({named(first, "2026"), named(second, "2025")})).value();
  CHECK(keys->newest() == "2026");
  CHECK(keys->kids() == std::vector<std::string>{"2026", "2025"});
  CHECK(keys->thumbprints() == std::vector{first.thumbprint(), second.thumbprint()});
  CHECK(keys->contains("2025"));
  CHECK_FALSE(keys->contains("2024"));
}

TEST_CASE("C1.8, C8.5: what is published has kid, use and alg, and nothing private", "[client]") {
  const ProofKey key;
  const auto keys = read(set_of({named(key, "a\"b")})).value();
  const auto set = parsed(keys->public_jwk_set());
  const auto published = set.objects("keys").value().value();
  REQUIRE(published.size() == 1);
  CHECK(published[0].names() ==
        std::vector<std::string>{"kid", "use", "alg", "crv", "kty", "x", "y"});
  CHECK(published[0].required_string("kid").value() == "a\"b");
  CHECK(published[0].required_string("use").value() == "sig");
  CHECK(published[0].required_string("alg").value() == "ES256");
  const auto own = parsed(key.jwk());
  CHECK(published[0].required_string("x").value() == own.required_string("x").value());
}

TEST_CASE("ClientKeys: what is kept is read back, in the same order", "[client]") {
  const auto keys = ClientKeys::generate(kRandom).value();
  REQUIRE(keys->add_new());
  const auto again = ClientKeys::from_jwk_set(keys->private_jwk_set(), kRandom).value();
  CHECK(again->kids() == keys->kids());
  CHECK(again->public_jwk_set() == keys->public_jwk_set());
}

TEST_CASE("C8.5: a new key is in front, and its kid is its thumbprint", "[client]") {
  const auto keys = ClientKeys::generate(kRandom).value();
  const auto old = keys->newest();
  const auto made = keys->add_new().value();
  CHECK(keys->newest() == made);
  CHECK(keys->kids() == std::vector{made, old});
  CHECK(keys->thumbprints() == std::vector{made, old});
}

TEST_CASE("C8.5: a key that is removed signs nothing more", "[client]") {
  const auto keys = ClientKeys::generate(kRandom).value();
  const auto old = keys->newest();
  REQUIRE(keys->add_new());
  CHECK(outcome(keys->sign(old, "{}")) == "ok");
  CHECK(outcome(keys->remove(old)) == "ok");
  CHECK(outcome(keys->sign(old, "{}")) == "invalid_client client.key_gone");
  CHECK(outcome(keys->remove(old)) == "invalid_argument client_keys.unknown");
  CHECK(outcome(keys->remove(keys->newest())) == "invalid_argument client_keys.last");
  CHECK(keys->kids().size() == 1);
}

TEST_CASE("C8.3: the signature is ES256 with the named key, by OpenSSL's judgement", "[client]") {
  const ProofKey first, second;
  const auto keys = read(set_of({named(first, "new"), named(second, "old")})).value();
  const auto jws = keys->sign("old", R"({"a":1})").value();
  const auto parts = decode_jws(jws.expose());
  CHECK(parts.header == R"({"alg":"ES256","kid":"old"})");
  CHECK(parts.payload == R"({"a":1})");
  CHECK(evp_verifies(jws.expose(), second.jwk()));
  CHECK_FALSE(evp_verifies(jws.expose(), first.jwk()));
}

TEST_CASE("ClientKeys: sets that break a rule are refused, each for its reason", "[client]") {
  const ProofKey key, other;
  const std::string good = named(key, "one");
  const auto of = [](const std::string& set) { return outcome(read(set)); };
  CHECK(of("") == "invalid_key client_keys.not_json");
  CHECK(of("[]") == "invalid_key client_keys.not_json");
  CHECK(of("{}") == "invalid_key client_keys.none");
  CHECK(of(set_of({})) == "invalid_key client_keys.none");
  CHECK(of(R"({"keys":{}})") == "invalid_key client_keys.wrong_type");
  CHECK(of(R"({"keys":[1]})") == "invalid_key client_keys.wrong_type");
  CHECK(of(set_of({key.private_jwk()})) == "invalid_key client_keys.kid_missing");
  CHECK(of(set_of({named(key, "")})) == "invalid_key client_keys.kid_missing");
  CHECK(of(set_of({named(key, "a b")})) == "invalid_key client_keys.kid");
  CHECK(of(set_of({named(key, std::string(129, 'k'))})) == "invalid_key client_keys.kid");
  CHECK(of(set_of({with_members(key.private_jwk(), R"("kid":1)")})) ==
        "invalid_key client_keys.wrong_type");
  CHECK(of(set_of({good, named(other, "one")})) == "invalid_key client_keys.kid_twice");
  CHECK(of(set_of({with_members(good, R"("use":"enc")")})) == "invalid_key client_keys.use");
  CHECK(of(set_of({with_members(key.jwk(), R"("kid":"a")")})) == "invalid_key key.not_private");
  CHECK(of(set_of({R"({"kid":"a","kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"})"})) ==
        "invalid_key key.wrong_type");
  CHECK(of(set_of({R"({"kid":"a","kty":"EC","crv":"P-384","x":"AA","y":"AA","d":"AA"})"})) ==
        "invalid_key key.wrong_curve");
  CHECK(of(set_of({good, R"({"kid":"b"})"})).starts_with("invalid_key key."));
  CHECK(of(set_of({with_members(good, R"("kid":"again")")})) ==
        "invalid_key client_keys.duplicate_member");
}

TEST_CASE("ClientKeys: a private member with quotes in it does not become another member",
          "[client]") {
  const ProofKey key;
  const std::string jwk = with_members(key.jwk(), R"("kid":"a","d":"\",\"x\":\"AA")");
  CHECK(outcome(read(set_of({jwk}))) == "invalid_key key.not_private");
}

TEST_CASE("ClientKeys: key files in PKCS#8 and SEC1 give the same key", "[client]") {
  const auto made = P256DpopProver::generate(kRandom).value();
  const auto bytes = [](const SecretString& text) { return SecretBytes(as_bytes(text.expose())); };
  const auto pkcs8 = bytes(made->to_pkcs8_pem().value());
  const auto sec1 = bytes(made->to_sec1_pem().value());
  CHECK(ClientKeys::from_key_file(pkcs8, "", kRandom).value()->newest() == made->jkt());
  CHECK(ClientKeys::from_key_file(sec1, "mine", kRandom).value()->newest() == "mine");
  CHECK(outcome(ClientKeys::from_key_file(sec1, "m\n", kRandom)) == "invalid_key client_keys.kid");
  CHECK(outcome(ClientKeys::from_key_file(bytes(SecretString("x")), "", kRandom)) ==
        "invalid_key key.not_pkcs8");
}

TEST_CASE("ClientKeys: errors do not show the key", "[client]") {
  const ProofKey key;
  const auto d = parsed(key.private_jwk()).required_string("d").value();
  for (const auto& set : {set_of({with_members(key.private_jwk(), R"("kid":1)")}),
                          set_of({with_members(named(key, "a"), R"("use":"enc")")}),
                          set_of({named(key, "a"), named(key, "a")})}) {
    const auto keys = read(set);
    REQUIRE_FALSE(keys);
    CHECK(keys.error().message.find(d) == std::string::npos);
  }
}
