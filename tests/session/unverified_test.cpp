// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.session.unverified;
import latchkey.test.outcome;

// SA-05: what tokens say of themselves, unchecked.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

Result<UnverifiedClaims> peek(std::string_view claims) {
  return peek_claims(
      SecretString("eyJhbGciOiJub25lIn0." + base64url_encode(as_bytes(claims)) + "."));
}

}  // namespace

TEST_CASE("SA-05: a JWT tells who issued it, for whom, what for and until when", "[session]") {
  const auto claims =
      peek(R"({"iss":"https://as.test","sub":"alice","scope":"a b","iat":1000,"exp":1000.5})");
  REQUIRE(claims);
  CHECK(claims->issuer == "https://as.test");
  CHECK(claims->subject == "alice");
  CHECK(claims->scope == "a b");
  CHECK(claims->issued_at == TimePoint{1000s});
  CHECK(claims->expires_at == TimePoint{1000500ms});
}

TEST_CASE("SA-05: what a token does not say is empty", "[session]") {
  const auto claims = peek(R"({"services":{}})");
  REQUIRE(claims);
  CHECK(claims->issuer.empty());
  CHECK(claims->subject.empty());
  CHECK_FALSE(claims->issued_at);
  CHECK_FALSE(claims->expires_at);
}

TEST_CASE("SA-05: a token that is no JWT is refused with the reason, and not shown", "[session]") {
  const auto opaque = peek_claims(SecretString("opaque-marker"));
  CHECK(outcome(opaque) == "invalid_argument unverified.not_a_jwt");
  CHECK(opaque.error().message.find("marker") == std::string::npos);
  for (const std::string_view text : {"", ".", "a.b", "a.b.c.d", "a.b.c.d.e"}) {
    CAPTURE(text);
    CHECK(detail_of(peek_claims(SecretString(text))) == "unverified.not_a_jwt");
  }
  CHECK(detail_of(peek_claims(SecretString("a.b+/.c"))) == "unverified.encoding");
  CHECK(detail_of(peek_claims(SecretString("a..c"))) == "unverified.not_json");
}

TEST_CASE("unverified claims: malformed ones are refused, each for its own reason", "[session]") {
  CHECK(detail_of(peek("[]")) == "unverified.not_json");
  CHECK(detail_of(peek(R"({"sub":1})")) == "unverified.wrong_type");
  CHECK(detail_of(peek(R"({"exp":"soon"})")) == "unverified.wrong_type");
  CHECK(detail_of(peek(R"({"sub":"a","sub":"b"})")) == "unverified.duplicate_member");
  CHECK(detail_of(peek(R"({"exp":-1})")) == "unverified.bad_time");
  CHECK(detail_of(peek(R"({"exp":253402300800})")) == "unverified.bad_time");
  CHECK(detail_of(peek(R"({"iat":1e300})")) == "unverified.bad_time");
}
