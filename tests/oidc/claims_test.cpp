// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.oidc.id_token;
import latchkey.oidc.id_token_claims;
import latchkey.oidc.jws_algorithm;
import latchkey.test.oidc_tokens;
import latchkey.test.proof_key;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

Result<IdTokenClaims> read(const Members& changes) {
  return parse_id_token_claims(to_json(with(good_claims(), changes)));
}

std::string read_fault(const Members& changes) {
  return fault(read(changes));
}

using Change = std::function<void(IdTokenExpectations&)>;

std::string verdict(const Members& changes, const Change& expect = {}) {
  auto expectations = good_expectations();
  if (expect) expect(expectations);
  return fault(
      check_id_token_claims(read(changes).value(), expectations, JwsAlgorithm::rs256, kNow));
}

std::string at(Duration offset) {
  return seconds_text(kNow + offset);
}

}  // namespace

TEST_CASE("claims: are read", "[oidc]") {
  const auto claims = read({{"azp", quoted("client-1")},
                            {"nbf", at(-1s)},
                            {"auth_time", at(-1h)},
                            {"at_hash", quoted("hash")},
                            {"name", quoted("Alice Liddell")},
                            {"preferred_username", quoted("alice")},
                            {"email", quoted("alice@example.com")},
                            {"email_verified", "true"},
                            {"picture", quoted("https://example.com/a.png")}})
                          .value();
  CHECK(claims.issuer == kIssuer);
  CHECK(claims.subject == "person-1");
  CHECK(claims.audience == std::vector<std::string>{"client-1"});
  CHECK(claims.authorized_party == "client-1");
  CHECK(claims.nonce == kNonce);
  CHECK(claims.access_token_hash == "hash");
  CHECK(claims.issued_at == kNow);
  CHECK(claims.expires_at == kNow + 10min);
  CHECK(claims.not_before == kNow - 1s);
  CHECK(claims.authenticated_at == kNow - 1h);
  CHECK(claims.name == "Alice Liddell");
  CHECK(claims.preferred_username == "alice");
  CHECK(claims.email->address == "alice@example.com");
  CHECK(claims.email->verified);
  CHECK(claims.picture == "https://example.com/a.png");
}

TEST_CASE("claims: all of them stay readable as JSON", "[oidc]") {
  const auto json = parse_id_token_claims(
                        R"({"iss":"i", "sub":"s","aud":["a"],"exp":2,"iat":1,"x":{"y":[1,null]}})")
                        .value()
                        .json;
  CHECK(json == R"({"iss":"i","sub":"s","aud":["a"],"exp":2,"iat":1,"x":{"y":[1,null]}})");
}

TEST_CASE("claims: five of them must be there", "[oidc]") {
  for (const char* name : {"iss", "sub", "aud", "exp", "iat"}) {
    INFO(name);
    CHECK(read_fault({{name, ""}}) == "id_token.missing_member");
    CHECK(read_fault({{name, "null"}}) == "id_token.wrong_type");
    CHECK(read_fault({{name, "{}"}}) == "id_token.wrong_type");
  }
  for (const char* name : {"iss", "sub", "aud"}) {
    INFO(name);
    CHECK(read_fault({{name, "\"\""}}) == "id_token.missing_member");
    CHECK(read_fault({{name, "1"}}) == "id_token.wrong_type");
  }
}

TEST_CASE("claims: times are whole seconds of this era", "[oidc]") {
  for (const char* name : {"exp", "iat", "nbf", "auth_time"}) {
    INFO(name);
    for (const char* value : {"\"1795683600\"", "1795683600.0", "1795683600.5", "1.7956836e9",
                              "true", "null", "[1795683600]", "9223372036854775808", "1e400"}) {
      INFO(value);
      const auto found = read_fault({{name, value}});
      CHECK((found == "id_token.wrong_type" || found == "id_token.not_json"));
    }
    for (const char* value :
         {"-1", "-9223372036854775808", "253402300800", "1795683600000", "9223372036854775807"}) {
      INFO(value);
      CHECK(read_fault({{name, value}}) == "id_token.time");
    }
    CHECK(read_fault({{name, "0"}}) == "");
    CHECK(read_fault({{name, "253402300799"}}) == "");
  }
}

TEST_CASE("claims: a subject is 1 to 255 ASCII characters", "[oidc]") {
  CHECK(read_fault({{"sub", quoted(std::string(255, 's'))}}) == "");
  CHECK(read_fault({{"sub", quoted(std::string(256, 's'))}}) == "id_token.subject_malformed");
  CHECK(read_fault({{"sub", quoted("\xc3\xa9")}}) == "id_token.subject_malformed");
  CHECK(read_fault({{"sub", R"("a\u0000b")"}}) == "id_token.subject_malformed");
  CHECK(read_fault({{"sub", R"("a\nb")"}}) == "id_token.subject_malformed");
}

TEST_CASE("claims: the payload is one object without duplicates", "[oidc]") {
  for (const char* text : {"", "[]", "null", "1", "\"x\"", "{", "{}x", "{}{}"}) {
    INFO(text);
    CHECK(fault(parse_id_token_claims(text)) == "id_token.not_json");
  }
  CHECK(fault(parse_id_token_claims(R"({"sub":"a","sub":"b"})")) == "id_token.duplicate_member");
  CHECK(fault(parse_id_token_claims(R"({"x":{"y":1,"y":2}})")) == "id_token.duplicate_member");
  const std::string deep = std::string(33, '[') + std::string(33, ']');
  CHECK(read_fault({{"x", deep}}) == "id_token.not_json");
}

TEST_CASE("claims: checked ones have the right type even if they are optional", "[oidc]") {
  for (const char* name : {"azp", "nonce", "at_hash"}) {
    INFO(name);
    for (const char* value : {"1", "null", "[]", "{}", "true"}) {
      CHECK(read_fault({{name, value}}) == "id_token.wrong_type");
    }
  }
  CHECK(read_fault({{"aud", R"(["client-1",1])"}}) == "id_token.wrong_type");
  CHECK(read_fault({{"aud", R"([["client-1"]])"}}) == "id_token.wrong_type");
}

TEST_CASE("claims: an e-mail is verified only by the literal true", "[oidc]") {
  const auto verified = [](const char* value) {
    return read({{"email", quoted("a@b.example")}, {"email_verified", value}})
        .value()
        .email->verified;
  };
  CHECK(verified("true"));
  for (const char* value : {"false", "\"true\"", "1", "null", "\"yes\"", "[true]", ""}) {
    INFO(value);
    CHECK_FALSE(verified(value));
  }
  CHECK_FALSE(read({{"email_verified", "true"}}).value().email);
}

TEST_CASE("claims: for display, what is odd counts as absent", "[oidc]") {
  for (const char* value : {"1", "null", "{}", "[]", "\"\""}) {
    INFO(value);
    const auto claims =
        read({{"name", value}, {"preferred_username", value}, {"email", value}, {"picture", value}})
            .value();
    CHECK(claims.name.empty());
    CHECK(claims.preferred_username.empty());
    CHECK_FALSE(claims.email);
    CHECK(claims.picture.empty());
  }
  CHECK_FALSE(read({{"email", R"("a\u001b[31m@b")"}}).value().email);
  CHECK_FALSE(read({{"email", quoted(std::string(321, 'a'))}}).value().email);
  CHECK(read({{"name", R"("a\u001b[31mb")"}}).value().name == "a?[31mb");
  CHECK(read({{"name", quoted(std::string(1000, 'n'))}}).value().name.size() <= 300);
}

TEST_CASE("claims: a picture is an https URL", "[oidc]") {
  for (const char* url :
       {"http://example.com/a.png", "javascript:alert(1)", "data:image/png,x", "/a.png",
        "ftp://example.com/a", "https://", "https://u:p@example.com/"}) {
    INFO(url);
    CHECK(read({{"picture", quoted(url)}}).value().picture.empty());
  }
}

TEST_CASE("check: a good token passes", "[oidc]") {
  CHECK(verdict({}) == "");
}

TEST_CASE("check: clocks may differ by a minute and no more", "[oidc]") {
  CHECK(verdict({{"iat", at(-10min)}, {"exp", at(-30s)}}) == "");
  CHECK(verdict({{"iat", at(-10min)}, {"exp", at(-60s)}}) == "");
  CHECK(verdict({{"iat", at(-10min)}, {"exp", at(-61s)}}) == "id_token.expired");
  CHECK(verdict({{"iat", at(-10min)}, {"exp", at(-120s)}}) == "id_token.expired");
  CHECK(verdict({{"exp", "0"}}) == "id_token.expired");
  CHECK(verdict({{"nbf", at(30s)}}) == "");
  CHECK(verdict({{"nbf", at(60s)}}) == "");
  CHECK(verdict({{"nbf", at(61s)}}) == "id_token.not_yet_valid");
  CHECK(verdict({{"nbf", at(120s)}}) == "id_token.not_yet_valid");
  CHECK(verdict({{"iat", at(30s)}}) == "");
  CHECK(verdict({{"iat", at(60s)}}) == "");
  CHECK(verdict({{"iat", at(61s)}}) == "id_token.issued_in_future");
  CHECK(verdict({{"iat", at(120s)}}) == "id_token.issued_in_future");
}

TEST_CASE("check: a token of yesterday, or one that never lived, is refused", "[oidc]") {
  CHECK(verdict({{"iat", at(-24h)}}) == "");
  CHECK(verdict({{"iat", at(-24h - 1s)}}) == "id_token.issued_too_long_ago");
  CHECK(verdict({{"iat", "0"}}) == "id_token.issued_too_long_ago");
  CHECK(verdict({{"iat", at(0s)}, {"exp", at(0s)}}) == "id_token.lifetime");
  CHECK(verdict({{"iat", at(5s)}, {"exp", at(0s)}}) == "id_token.lifetime");
}

TEST_CASE("claims: is_expired has the same leeway", "[oidc]") {
  const auto claims = read({}).value();
  CHECK_FALSE(claims.is_expired(claims.expires_at + 60s));
  CHECK(claims.is_expired(claims.expires_at + 60s + 1ms));
}

TEST_CASE("check: it must be for this client", "[oidc]") {
  CHECK(verdict({{"aud", R"(["client-1"])"}}) == "");
  for (const char* audience : {R"("client-2")", R"("CLIENT-1")", R"("client-1 ")", R"([])",
                               R"("client-1,client-2")", R"(["client-2"])", R"(["client"])"}) {
    INFO(audience);
    CHECK(verdict({{"aud", audience}}) == "id_token.audience");
  }
}

TEST_CASE("check: several audiences need an azp, and azp is this client", "[oidc]") {
  const std::string both = R"(["client-1","api"])";
  CHECK(verdict({{"aud", both}}) == "id_token.azp_missing");
  CHECK(verdict({{"aud", R"(["client-1","client-1"])"}}) == "id_token.azp_missing");
  CHECK(verdict({{"aud", both}, {"azp", "\"\""}}) == "id_token.azp_missing");
  CHECK(verdict({{"aud", both}, {"azp", quoted("client-1")}}) == "");
  CHECK(verdict({{"aud", both}, {"azp", quoted("api")}}) == "id_token.azp");
  CHECK(verdict({{"azp", quoted("client-2")}}) == "id_token.azp");
  CHECK(verdict({{"azp", quoted("client-1")}}) == "");
  CHECK(verdict({{"aud", quoted("client-2")}, {"azp", quoted("client-1")}}) == "id_token.audience");
}

TEST_CASE("check: the issuer is compared as text", "[oidc]") {
  for (const char* issuer :
       {"https://id.example.com/", "https://ID.example.com", "http://id.example.com",
        "https://id.example.com:443", "x", "https://id.example.com.evil.example"}) {
    INFO(issuer);
    CHECK(verdict({{"iss", quoted(issuer)}}) == "id_token.issuer");
  }
}

TEST_CASE("check: the nonce is that of this login", "[oidc]") {
  CHECK(verdict({{"nonce", ""}}) == "id_token.nonce_missing");
  CHECK(verdict({{"nonce", "\"\""}}) == "id_token.nonce_missing");
  CHECK(verdict({{"nonce", quoted("other")}}) == "id_token.nonce");
  CHECK(verdict({{"nonce", quoted("N-0S6_WzA2Mj")}}) == "id_token.nonce");
  // A refresh sends none: what a provider repeats is not looked at (Core §12.2).
  CHECK(verdict({}, [](auto& expect) { expect.nonce.clear(); }) == "");
}

TEST_CASE("check: a refresh is about the same subject", "[oidc]") {
  CHECK(verdict({}, [](auto& expect) { expect.subject = "person-1"; }) == "");
  CHECK(verdict({}, [](auto& expect) { expect.subject = "person-2"; }) == "id_token.subject");
  CHECK(verdict({}, [](auto& expect) { expect.subject = "person"; }) == "id_token.subject");
}

TEST_CASE("check: at_hash binds the access token, if it is there", "[oidc]") {
  const SecretString token("access-token"), other("other-token");
  const auto came_with = [](const SecretString& access) {
    return [&access](IdTokenExpectations& expect) { expect.access_token = &access; };
  };
  const Members bound{{"at_hash", quoted(half_hash(JwsAlgorithm::rs256, "access-token"))}};
  CHECK(verdict(bound, came_with(token)) == "");
  CHECK(verdict(bound, came_with(other)) == "id_token.at_hash");
  CHECK(verdict(bound) == "");
  CHECK(verdict({}, came_with(token)) == "");
  const Members wrong_hash{{"at_hash", quoted(half_hash(JwsAlgorithm::rs512, "access-token"))}};
  CHECK(verdict(wrong_hash, came_with(token)) == "id_token.at_hash");
  const Members whole{{"at_hash", quoted(hash_text("access-token"))}};
  CHECK(verdict(whole, came_with(token)) == "id_token.at_hash");
}

TEST_CASE("check: max_age wants to know when the person signed in", "[oidc]") {
  const Change hour = [](IdTokenExpectations& expect) { expect.max_age = 3600s; };
  CHECK(verdict({}, hour) == "id_token.auth_time_missing");
  CHECK(verdict({{"auth_time", at(-1h)}}, hour) == "");
  CHECK(verdict({{"auth_time", at(-1h - 60s)}}, hour) == "");
  CHECK(verdict({{"auth_time", at(-1h - 61s)}}, hour) == "id_token.auth_too_long_ago");
  CHECK(verdict({{"auth_time", at(60s)}}, hour) == "");
  CHECK(verdict({{"auth_time", at(61s)}}, hour) == "id_token.auth_time_in_future");
  CHECK(verdict({{"auth_time", "0"}}) == "");
}

TEST_CASE("check: without issuer or client to expect, nothing is checked", "[oidc]") {
  CHECK(verdict({}, [](auto& expect) { expect.issuer.clear(); }) ==
        "invalid_argument id_token.expectations");
  CHECK(verdict({}, [](auto& expect) { expect.client_id.clear(); }) ==
        "invalid_argument id_token.expectations");
}
