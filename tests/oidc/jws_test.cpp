// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;
import latchkey.test.jws_key;
import latchkey.test.oidc_tokens;
import latchkey.test.proof_key;

using namespace latchkey;
using namespace latchkey::test;

namespace {

// A token with this header and nothing behind it that anybody looks at.
std::string headed(std::string_view header) {
  return base64url_encode(as_bytes(header)) + ".e30.AAAA";
}

std::string header_fault(std::string_view header) {
  return fault(parse_token(headed(header)));
}

}  // namespace

TEST_CASE("JWS: is taken apart", "[oidc]") {
  const auto text = good_token();
  const auto token = parse_token(text).value();
  CHECK(token.algorithm == JwsAlgorithm::rs256);
  CHECK(token.kid == "k1");
  CHECK(token.signed_text == text.substr(0, text.rfind('.')));
  CHECK(token.signature.size() == 256);
  CHECK(as_text(token.payload.expose()).starts_with('{'));
}

TEST_CASE("JWS: every algorithm is known by its name alone", "[oidc]") {
  for (const JwsAlgorithm algorithm : jws_algorithms()) {
    const std::string name(to_string(algorithm));
    CHECK(parse_jws_algorithm(name) == algorithm);
    CHECK(header_fault(R"({"alg":")" + name + "\"}") == "");
  }
  CHECK(jws_algorithms().size() == 11);
}

TEST_CASE("JWS: none, HMAC, other cases and unknown algorithms are refused", "[oidc]") {
  for (const char* name :
       {"none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "rs256", "RS256 ", " RS256",
        "RS1", "ES256K", "Ed448", "RSA-OAEP", "dir", "", "RS256,none", "eddsa", "RS2560"}) {
    INFO(name);
    CHECK(header_fault(R"({"alg":")" + std::string(name) + "\"}") == "id_token.alg_unsupported");
  }
  CHECK(header_fault("{}") == "id_token.alg_missing");
  for (const char* alg : {"null", "256", "true", R"(["RS256"])", R"({"alg":"RS256"})"}) {
    INFO(alg);
    CHECK(header_fault(R"({"alg":)" + std::string(alg) + "}") == "id_token.header.wrong_type");
  }
}

TEST_CASE("JWS: an algorithm that was not announced is refused", "[oidc]") {
  const JwsAlgorithm allowed[] = {JwsAlgorithm::es256, JwsAlgorithm::ps256};
  CHECK(fault(parse_compact_jws(headed(R"({"alg":"ES256"})"), allowed)) == "");
  CHECK(fault(parse_compact_jws(headed(R"({"alg":"RS256"})"), allowed)) ==
        "id_token.alg_not_allowed");
  CHECK(fault(parse_compact_jws(headed(R"({"alg":"none"})"), allowed)) ==
        "id_token.alg_unsupported");
}

TEST_CASE("JWS: has three parts", "[oidc]") {
  const auto good = good_token();
  const auto first = good.find('.'), last = good.rfind('.');
  CHECK(fault(parse_token("")) == "id_token.missing");
  CHECK(fault(parse_token(good + ".AAAA.AAAA")) == "id_token.encrypted");
  for (const auto& text :
       {std::string("."), std::string("x"), good.substr(0, last), good.substr(0, first),
        good.substr(first + 1), good + ".", "." + good, good + ".AAAA", good + ".AAAA.AAAA.AAAA"}) {
    INFO(text);
    CHECK(fault(parse_token(text)) == "id_token.malformed");
  }
}

TEST_CASE("JWS: its parts are canonical base64url", "[oidc]") {
  const std::string head = base64url_encode(as_bytes(R"({"alg":"RS256"})"));
  CHECK(fault(parse_token(head + ".e30.AAAA")) == "");
  for (const auto& [payload, signature] :
       std::vector<std::pair<std::string, std::string>>{{"e30=", "AAAA"},
                                                        {"e30", "AAAA="},
                                                        {"e31", "AAAA"},
                                                        {"e30", "AB"},
                                                        {"e", "AAAA"},
                                                        {"e30", "A"},
                                                        {"e30 ", "AAAA"},
                                                        {"e30\n", "AAAA"},
                                                        {"e30", "AA AA"},
                                                        {"e3+/", "AAAA"},
                                                        {"e30", "AAA+"},
                                                        {"e30", "AA/A"},
                                                        {"%65", "AAAA"},
                                                        {"e30", std::string("AA\0A", 4)},
                                                        {"e30", "AA\xc3\xa9"}}) {
    INFO(payload << ' ' << signature);
    CHECK(fault(parse_token(head + '.' + payload + '.' + signature)) == "id_token.malformed");
  }
  CHECK(fault(parse_token(head + "=.e30.AAAA")) == "id_token.malformed");
  CHECK(fault(parse_token(' ' + head + ".e30.AAAA")) == "id_token.malformed");
  CHECK(fault(parse_token(head + ".e30.AAAA\n")) == "id_token.malformed");
}

TEST_CASE("JWS: its header is one object and nothing else", "[oidc]") {
  for (const char* header :
       {"", "null", "[]", "\"RS256\"", "{", R"({"alg":"RS256"}x)", R"({"alg":"RS256"}{})",
        R"({"alg":"RS256",})", R"({alg:"RS256"})", R"({'alg':'RS256'})",
        "\xEF\xBB\xBF{\"alg\":\"RS256\"}", R"(/**/{"alg":"RS256"})", "{\"alg\":\"RS256\xff\"}"}) {
    INFO(header);
    CHECK(header_fault(header) == "id_token.header.not_json");
  }
  CHECK(header_fault(std::string_view("{\"alg\":\"RS256\"}\0", 16)) == "id_token.header.not_json");
  CHECK(header_fault(R"({"alg":"RS256","alg":"none"})") == "id_token.header.duplicate_member");
  CHECK(header_fault(R"({"alg":"RS256","kid":"a","kid":"b"})") ==
        "id_token.header.duplicate_member");
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  CHECK(header_fault(R"({"alg":"RS256","x":)" + deep + "}") == "id_token.header.not_json");
}

TEST_CASE("JWS: extensions that must be understood are refused", "[oidc]") {
  for (const char* crit : {R"(["b64"])", R"(["exp"])", "[]", "null", R"("b64")", "{}", "true"}) {
    INFO(crit);
    CHECK(header_fault(R"({"alg":"RS256","crit":)" + std::string(crit) + "}") == "id_token.crit");
  }
  for (const char* b64 : {"false", "true", "null", "0"}) {
    INFO(b64);
    CHECK(header_fault(R"({"alg":"RS256","b64":)" + std::string(b64) + "}") == "id_token.b64");
  }
}

TEST_CASE("JWS: another kind of JWT is no id token", "[oidc]") {
  for (const char* type : {"JWT", "jwt", "application/jwt", "application/JWT"}) {
    INFO(type);
    CHECK(header_fault(R"({"alg":"RS256","typ":")" + std::string(type) + "\"}") == "");
  }
  for (const char* type : {"at+jwt", "dpop+jwt", "logout+jwt", "application/at+jwt", "JOSE", "",
                           "secevent+jwt", "JWT "}) {
    INFO(type);
    CHECK(header_fault(R"({"alg":"RS256","typ":")" + std::string(type) + "\"}") == "id_token.typ");
  }
  CHECK(header_fault(R"({"alg":"RS256","typ":1})") == "id_token.header.wrong_type");
}

TEST_CASE("JWS: a key id is only text", "[oidc]") {
  const auto kid_of = [](std::string_view text) {
    const std::string token = headed(R"({"alg":"RS256","kid":)" + quoted(text) + '}');
    return parse_token(token).value().kid;
  };
  for (const char* kid : {"", "../../etc/passwd", "' OR 1=1 --", "file:///dev/null", "\xc3\xa9",
                          "https://evil.example/jwks", "k1; rm -rf /", "a b"}) {
    INFO(kid);
    CHECK(kid_of(kid) == kid);
  }
  CHECK(kid_of(std::string(512, 'k')) == std::string(512, 'k'));
  CHECK(parse_token(headed(R"({"alg":"RS256"})")).value().kid == std::nullopt);
  for (const auto& kid : {R"("k\u00001")", R"("k\n")", R"("\u007f")", R"("\t")"}) {
    INFO(kid);
    CHECK(header_fault(R"({"alg":"RS256","kid":)" + std::string(kid) + "}") ==
          "id_token.kid_malformed");
  }
  CHECK(header_fault(R"({"alg":"RS256","kid":)" + quoted(std::string(513, 'k')) + "}") ==
        "id_token.kid_malformed");
  for (const char* kid : {"1", "null", R"(["k1"])", "{}"}) {
    INFO(kid);
    CHECK(header_fault(R"({"alg":"RS256","kid":)" + std::string(kid) + "}") ==
          "id_token.header.wrong_type");
  }
}

TEST_CASE("JWS: one over 32 KiB is not looked at", "[oidc]") {
  const std::string head = base64url_encode(as_bytes(R"({"alg":"RS256"})")) + '.';
  const std::string tail = ".AAAA";
  const auto sized = [&](std::size_t size) {
    return head + std::string(size - head.size() - tail.size(), 'A') + tail;
  };
  CHECK(fault(parse_token(sized(kMaxIdToken))) == "");
  CHECK(fault(parse_token(sized(kMaxIdToken + 4))) == "id_token.too_large");
  CHECK(fault(parse_token(std::string(10'000'000, '.'))) == "id_token.too_large");
}

TEST_CASE("at_hash: is the left half of the algorithm's hash", "[oidc]") {
  // The example of OpenID Connect Core §A.3 and §A.4.
  CHECK(half_hash(JwsAlgorithm::rs256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y") ==
        "77QmUPtjPfzWtF2AnpK9RQ");
  CHECK(half_hash(JwsAlgorithm::rs256, "x").size() == 22);
  CHECK(half_hash(JwsAlgorithm::es384, "x").size() == 32);
  CHECK(half_hash(JwsAlgorithm::ps512, "x").size() == 43);
  CHECK(half_hash(JwsAlgorithm::eddsa, "x") == half_hash(JwsAlgorithm::rs512, "x"));
}
