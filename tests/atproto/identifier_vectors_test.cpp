// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <string>
#include <vector>

import latchkey.atproto.identifier;
import latchkey.core.error;

// Lists of handles and DIDs, written from the specification, a line each.

using namespace latchkey;

namespace {

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(std::string(LATCHKEY_TEST_DATA) + "/syntax/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('#')) lines.push_back(line);
  }
  REQUIRE(lines.size() >= 10);
  return lines;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

TEST_CASE("C2.8: every valid handle of the list is accepted, in lower case", "[identifier]") {
  for (const auto& line : lines_of("handle_valid.txt")) {
    INFO(line);
    CHECK(parse_handle(line).value() == lower(line));
  }
}

TEST_CASE("C2.8: every malformed handle of the list is refused", "[identifier]") {
  for (const auto& line : lines_of("handle_invalid.txt")) {
    INFO(line);
    const auto handle = parse_handle(line);
    REQUIRE_FALSE(handle.has_value());
    CHECK(handle.error().detail == "handle.malformed");
  }
}

TEST_CASE("C2.8: every handle of the list under a reserved top-level domain is refused",
          "[identifier]") {
  for (const auto& line : lines_of("handle_reserved.txt")) {
    INFO(line);
    const auto handle = parse_handle(line);
    REQUIRE_FALSE(handle.has_value());
    CHECK(handle.error().detail == "handle.reserved_tld");
  }
}

TEST_CASE("C2.5: every valid DID of the list is accepted as it is", "[identifier]") {
  for (const auto& line : lines_of("did_valid.txt")) {
    INFO(line);
    CHECK(parse_did(line).value() == line);
  }
}

TEST_CASE("C2.5: every malformed DID of the list, and each of another method, is refused",
          "[identifier]") {
  for (const auto& line : lines_of("did_invalid.txt")) {
    INFO(line);
    const auto did = parse_did(line);
    REQUIRE_FALSE(did.has_value());
    CHECK(did.error().code == ErrorCode::invalid_argument);
  }
}

TEST_CASE("C2.5: a DID has at most 2048 characters", "[identifier]") {
  const auto did = parse_did("did:web:" + std::string(2041, 'a'));
  REQUIRE_FALSE(did.has_value());
  CHECK(did.error().message.find("2048") != std::string::npos);
}
