// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::string_view_literals;

namespace {

struct Pair {
  std::string_view plain, encoded;
};

}  // namespace

TEST_CASE("base64url: RFC 4648 vectors without padding", "[encoding]") {
  for (const auto& row : {Pair{"", ""}, Pair{"f", "Zg"}, Pair{"fo", "Zm8"}, Pair{"foo", "Zm9v"},
                          Pair{"foob", "Zm9vYg"}, Pair{"fooba", "Zm9vYmE"},
                          Pair{"foobar", "Zm9vYmFy"}, Pair{"\xfb\xff\xbf", "-_-_"}}) {
    INFO(row.encoded);
    CHECK(base64url_encode(as_bytes(row.plain)) == row.encoded);
    CHECK(base64url_encode_secret(as_bytes(row.plain)).expose() == row.encoded);
    CHECK(base64url_size(row.plain.size()) == row.encoded.size());
    const auto back = base64url_decode(row.encoded);
    REQUIRE(back.has_value());
    CHECK(as_text(*back) == row.plain);
    const auto secret = base64url_decode_secret(row.encoded);
    REQUIRE(secret.has_value());
    CHECK(as_text(secret->expose()) == row.plain);
  }
}

TEST_CASE("base64url: every byte value at every position comes back", "[encoding]") {
  for (std::size_t size = 1; size <= 4; ++size) {
    for (int byte = 0; byte < 256; ++byte) {
      for (std::size_t at = 0; at < size; ++at) {
        Bytes bytes(size, 0xA5);
        bytes[at] = static_cast<unsigned char>(byte);
        const auto back = base64url_decode(base64url_encode(bytes));
        REQUIRE(back.has_value());
        REQUIRE(*back == bytes);
      }
    }
  }
}

TEST_CASE("base64url: refuses padding, foreign characters, impossible lengths and stray bits",
          "[encoding]") {
  for (const std::string_view text :
       {"Zg=="sv, "Zm8="sv, "="sv, "A"sv, "AAAAA"sv, "Zm9v "sv, " Zm9v"sv, "Zm\n9"sv, "Zm+v"sv,
        "Zm/v"sv, "Zm.v"sv, "Zm\0v"sv, "Zm\xc3\xa9"sv, "Zh"sv, "Zm9"sv, "AB"sv, "AAB"sv}) {
    INFO(text);
    CHECK(outcome(base64url_decode(text)) == "invalid_argument base64url.malformed");
    CHECK(outcome(base64url_decode_secret(text)) == "invalid_argument base64url.malformed");
  }
}

TEST_CASE("base64: pads and uses the standard alphabet", "[encoding]") {
  for (const auto& row : {Pair{"", ""}, Pair{"f", "Zg=="}, Pair{"fo", "Zm8="}, Pair{"foo", "Zm9v"},
                          Pair{"\xfb\xff\xbf", "+/+/"}}) {
    CHECK(base64_encode(as_bytes(row.plain)) == row.encoded);
  }
}

TEST_CASE("hex: writes lower case, reads either", "[encoding]") {
  CHECK(hex_encode(as_bytes("\x00\x7f\xab\xff"sv)) == "007fabff");
  CHECK(hex_encode({}).empty());
  const auto bytes = hex_decode("007FabFF");
  REQUIRE(bytes.has_value());
  CHECK(*bytes == Bytes{0x00, 0x7f, 0xab, 0xff});
  CHECK(hex_decode("")->empty());
}

TEST_CASE("hex: refuses odd lengths and foreign characters", "[encoding]") {
  for (const std::string_view text : {"a", "abc", "0g", "g0", "0x", " 0", "0 ", "--"}) {
    INFO(text);
    CHECK(outcome(hex_decode(text)) == "invalid_argument hex.malformed");
  }
}

TEST_CASE("percent: keeps exactly the unreserved characters", "[encoding]") {
  const std::string_view kept = "ABCXYZabcxyz0123456789-._~";
  CHECK(percent_encode(kept) == kept);
  CHECK(percent_encode(" +/?&=%:") == "%20%2B%2F%3F%26%3D%25%3A");
  CHECK(percent_encode("\xc3\xa9\0"sv) == "%C3%A9%00");
}

TEST_CASE("percent: reads sequences and leaves plus alone", "[encoding]") {
  CHECK(percent_decode("a%20b+c%2fD").value() == "a b+c/D");
  CHECK(percent_decode("").value().empty());
  CHECK(percent_decode("%00").value() == "\0"sv);
}

TEST_CASE("percent: refuses a % without two hex digits", "[encoding]") {
  for (const std::string_view text :
       {"%", "%4", "a%", "a%4", "%zz", "%4z", "%z4", "%%41", "% 41", "%-1"}) {
    INFO(text);
    CHECK(outcome(percent_decode(text)) == "invalid_argument percent.malformed");
  }
}

TEST_CASE("printable: keeps text that people can read", "[encoding]") {
  for (const std::string_view text :
       {"", "invalid_grant", "caf\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\xa6\x8b"}) {
    CHECK(printable(text) == text);
  }
}

TEST_CASE("printable: control characters and broken UTF-8 become question marks", "[encoding]") {
  for (const auto& row : {
           Pair{"a\nb", "a?b"}, Pair{"\x1b[31m", "?[31m"}, Pair{"\x7f", "?"}, Pair{"\0x"sv, "?x"},
           Pair{"\xc2\x85", "?"}, Pair{"\xe2\x80\xae", "?"},  // right-to-left override
           Pair{"\xe2\x81\xa6", "?"},                         // isolate
           Pair{"\xff", "?"}, Pair{"\xc3", "?"}, Pair{"\xc3(", "?("}, Pair{"\xc0\x80", "??"},
           Pair{"\xed\xa0\x80", "???"},       // a surrogate
           Pair{"\xf4\x90\x80\x80", "????"},  // beyond U+10FFFF
       }) {
    INFO(row.encoded);
    CHECK(printable(row.plain) == row.encoded);
  }
}

TEST_CASE("printable: cuts long text and shows that it did", "[encoding]") {
  CHECK(printable("12345", 5) == "12345");
  CHECK(printable("123456", 5) == "12345...");
  CHECK(printable("\xc3\xa9\xc3\xa9\xc3\xa9", 2) == "\xc3\xa9\xc3\xa9...");
  CHECK(printable(std::string(1000, 'x')).size() == 512 + 3);
}
