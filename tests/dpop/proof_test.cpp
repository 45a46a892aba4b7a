// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.dpop;
import latchkey.dpop.proof;

using namespace latchkey;

namespace {

const TimePoint kTime = parse_rfc3339("2026-11-20T09:30:00.999Z").value();

ProofInput input() {
  return {.htm = "POST", .htu = "https://as.example/token", .iat = kTime};
}

std::string detail_of(const ProofInput& in) {
  const auto checked = check_proof_input(in);
  return checked ? "accepted" : checked.error().detail;
}

// A DER signature from the contents of its two integers.
std::vector<unsigned char> der(const std::vector<unsigned char>& r,
                               const std::vector<unsigned char>& s) {
  std::vector<unsigned char> out{0x30, static_cast<unsigned char>(r.size() + s.size() + 4)};
  for (const auto* part : {&r, &s}) {
    out.push_back(0x02);
    out.push_back(static_cast<unsigned char>(part->size()));
    out.insert(out.end(), part->begin(), part->end());
  }
  return out;
}

std::vector<unsigned char> bytes(std::size_t size, unsigned char first, unsigned char rest = 0x11) {
  std::vector<unsigned char> out(size, rest);
  out[0] = first;
  return out;
}

bool accepted(const std::vector<unsigned char>& text) {
  RawSignature out{};
  return raw_signature(text, out);
}

}  // namespace

TEST_CASE("C6.3: check_proof_input: the method is a token in upper case", "[proof]") {
  auto in = input();
  for (const std::string_view good : {"GET", "POST", "M-SEARCH", "X_1"}) {
    in.htm = good;
    CHECK(detail_of(in) == "accepted");
  }
  const std::string long_method(65, 'A');
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("get"), std::string_view("GE T"),
        std::string_view("G\"T"), std::string_view("GET\n"), std::string_view("G\0T", 3),
        std::string_view(long_method)}) {
    in.htm = bad;
    CHECK(detail_of(in) == "dpop.htm");
  }
}

TEST_CASE("C6.3: check_proof_input: the URL has no query, fragment or foreign characters",
          "[proof]") {
  auto in = input();
  const std::string long_url = "https://a/" + std::string(8192, 'a');
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("https://a/?q"), std::string_view("https://a/#f"),
        std::string_view("https://a/\"x"), std::string_view("https://a/\\"),
        std::string_view("https://a/ b"), std::string_view("https://a/\n"),
        std::string_view("https://a/\xc3\xa4"), std::string_view("https://a/\x7f"),
        std::string_view(long_url)}) {
    in.htu = bad;
    CHECK(detail_of(in) == "dpop.htu");
  }
}

TEST_CASE("check_proof_input: the nonce is of NQCHAR", "[proof]") {
  auto in = input();
  const std::string longest(512, 'n'), too_long(513, 'n');
  in.nonce = "!#[]~";
  CHECK(detail_of(in) == "accepted");
  in.nonce = longest;
  CHECK(detail_of(in) == "accepted");
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("a b"), std::string_view("a\"b"),
        std::string_view("a\\b"), std::string_view("a\nb"), std::string_view("a\0", 2),
        std::string_view("\xe2\x82\xac"), std::string_view("\x7f"), std::string_view(too_long)}) {
    in.nonce = bad;
    CHECK(detail_of(in) == "dpop.nonce");
  }
}

TEST_CASE("C6.11: write_claims: jti, htm, htu and iat in whole seconds, and nothing else",
          "[proof]") {
  std::string out = "left over";
  write_claims(out, input(), ProofId{}, nullptr);
  CHECK(
      out ==
      R"({"jti":"AAAAAAAAAAAAAAAAAAAAAA","htm":"POST","htu":"https://as.example/token","iat":1795167000})");
}

TEST_CASE("write_claims: ath and nonce only when given", "[proof]") {
  auto in = input();
  in.nonce = "n-1";
  TokenHash ath{};
  ath.fill('h');
  std::string out;
  write_claims(out, in, ProofId{}, &ath);
  CHECK(
      out.ends_with(R"("iat":1795167000,"ath":")" + std::string(43, 'h') + R"(","nonce":"n-1"})"));
  write_claims(out, in, ProofId{}, nullptr);
  CHECK(out.find("ath") == std::string::npos);
}

TEST_CASE("write_claims: a time before 1970 is floored", "[proof]") {
  auto in = input();
  in.iat = TimePoint{Duration{-1}};
  std::string out;
  write_claims(out, in, ProofId{}, nullptr);
  CHECK(out.ends_with(R"("iat":-1})"));
}

TEST_CASE("raw_signature: pads short numbers and drops the sign byte", "[proof]") {
  RawSignature out{};
  out.fill(0xee);
  REQUIRE(raw_signature(der({0x7f}, bytes(33, 0, 0x80)), out));
  CHECK(out[30] == 0);
  CHECK(out[31] == 0x7f);
  CHECK(std::all_of(out.begin() + 32, out.end(), [](unsigned char c) { return c == 0x80; }));
  REQUIRE(raw_signature(der(bytes(32, 0x7f), bytes(31, 0x01)), out));
  CHECK(out[0] == 0x7f);
  CHECK(out[32] == 0);
  CHECK(out[33] == 1);
}

TEST_CASE("raw_signature: refuses numbers that are zero, negative, padded or too large",
          "[proof]") {
  const auto good = bytes(32, 0x22);
  CHECK(accepted(der(good, good)));
  for (const auto& bad : {std::vector<unsigned char>{0}, std::vector<unsigned char>{0x80},
                          bytes(32, 0x80), std::vector<unsigned char>{0, 1}, bytes(33, 0),
                          bytes(33, 1), bytes(34, 0, 0x80), std::vector<unsigned char>{}}) {
    CHECK(!accepted(der(bad, good)));
    CHECK(!accepted(der(good, bad)));
  }
}

TEST_CASE("raw_signature: refuses every cut, and anything after the end", "[proof]") {
  const auto whole = der(bytes(32, 0x22), bytes(33, 0, 0x80));
  REQUIRE(accepted(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK(!accepted({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}));
  }
  auto longer = whole;
  longer.push_back(0);
  CHECK(!accepted(longer));
  ++longer[1];
  CHECK(!accepted(longer));
  auto other = whole;
  other[0] = 0x31;
  CHECK(!accepted(other));
  other = whole;
  other[2] = 0x03;
  CHECK(!accepted(other));
}
