// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.core.json;
import latchkey.oidc.jwks;
import latchkey.oidc.jws_algorithm;
import latchkey.oidc.verification_key;
import latchkey.test.oauth;
import latchkey.test.oidc_tokens;

// Published test vectors: the RFCs' examples, and Project Wycheproof's (tests/data/jws).

using namespace latchkey;
using namespace latchkey::test;
using nlohmann::json;

namespace {

json read(std::string_view name) {
  return json::parse(read_file(LATCHKEY_TEST_DATA "/jws/" + std::string(name)));
}

VerificationKey key_of(const json& jwk) {
  return VerificationKey::from_jwk(
             JsonObject::parse(jwk.dump(), ErrorCode::invalid_key, "jwk").value())
      .value();
}

// Is this JWS signed by this key, as the whole of parser and key set judges?
bool accepts(const std::string& jws, const json& jwk) {
  const auto token = parse_token(jws);
  return token && JwkSet::parse(R"({"keys":[)" + jwk.dump() + "]}").value().verify(*token);
}

std::string changed_at(std::string text, std::size_t position) {
  text[position] = text[position] == 'A' ? 'B' : 'A';
  return text;
}

}  // namespace

TEST_CASE("vectors: the JWS of the RFCs are accepted", "[oidc]") {
  for (const auto& one : read("rfc.json")["accepted"]) {
    INFO(one["source"]);
    const auto jws = one["jws"].get<std::string>();
    CHECK(to_string(parse_token(jws).value().algorithm) == one["alg"].get<std::string>());
    CHECK(accepts(jws, one["jwk"]));
  }
}

TEST_CASE("vectors: the JWS of the RFCs are refused once a character is changed", "[oidc]") {
  for (const auto& one : read("rfc.json")["accepted"]) {
    INFO(one["source"]);
    const auto jws = one["jws"].get<std::string>();
    CHECK_FALSE(accepts(changed_at(jws, jws.find('.') + 2), one["jwk"]));
    CHECK_FALSE(accepts(changed_at(jws, jws.rfind('.') + 2), one["jwk"]));
    CHECK_FALSE(accepts(jws.substr(0, jws.size() - 4), one["jwk"]));
  }
}

TEST_CASE("vectors: unencoded payload, none and HMAC of the RFCs are refused", "[oidc]") {
  for (const auto& one : read("rfc.json")["refused"]) {
    INFO(one["source"]);
    CHECK(fault(parse_token(one["jws"].get<std::string>())) == one["detail"].get<std::string>());
  }
}

TEST_CASE("vectors: Wycheproof's signatures are judged as they say", "[oidc]") {
  for (const auto& group : read("wycheproof_signatures.json")["groups"]) {
    const auto key = key_of(group["jwk"]);
    const auto algorithm = parse_jws_algorithm(group["alg"].get<std::string>()).value();
    for (const auto& test : group["tests"]) {
      INFO(group["file"] << " " << test["tcId"] << " " << test["comment"]);
      const auto text = hex_decode(test["msg"].get<std::string>()).value();
      const auto signature = hex_decode(test["sig"].get<std::string>()).value();
      CHECK(key.verifies(algorithm, as_text(text), signature) == (test["result"] == "valid"));
    }
  }
}

TEST_CASE("vectors: a PKCS #1 signature is none of PSS, and the other way round", "[oidc]") {
  const auto groups = read("wycheproof_signatures.json")["groups"];
  const auto &pss = groups[1], &pkcs1 = groups[2];
  REQUIRE(pss["jwk"] == pkcs1["jwk"]);
  const auto key = key_of(pss["jwk"]);
  const auto judge = [&](const json& test, JwsAlgorithm algorithm) {
    return key.verifies(algorithm, as_text(hex_decode(test["msg"].get<std::string>()).value()),
                        hex_decode(test["sig"].get<std::string>()).value());
  };
  CHECK(judge(pss["tests"][1], JwsAlgorithm::ps256));
  CHECK_FALSE(judge(pss["tests"][1], JwsAlgorithm::rs256));
  CHECK(judge(pkcs1["tests"][1], JwsAlgorithm::rs256));
  CHECK_FALSE(judge(pkcs1["tests"][1], JwsAlgorithm::ps256));
}

TEST_CASE("vectors: Wycheproof's compact JWS are judged as they say", "[oidc]") {
  for (const auto& group : read("wycheproof_jws.json")["groups"]) {
    for (const auto& test : group["tests"]) {
      INFO(group["comment"] << " " << test["tcId"] << " " << test["comment"]);
      CHECK(accepts(test["jws"].get<std::string>(), group["public"]) ==
            (test["result"] == "valid"));
    }
  }
}
