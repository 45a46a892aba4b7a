// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.oauth.scope;

using latchkey::ScopeSet;
using std::literals::operator""sv;

TEST_CASE("scope: tokens are kept in the order of first mention", "[scope]") {
  const auto scope = ScopeSet::parse("b atproto b a:x?y=1&z=%20 atproto").value();
  CHECK(scope.tokens() == std::vector<std::string>{"b", "atproto", "a:x?y=1&z=%20"});
  CHECK(scope.text() == "b atproto a:x?y=1&z=%20");
  CHECK(scope.contains("atproto"));
}

TEST_CASE("scope: an empty text is the empty set", "[scope]") {
  const auto scope = ScopeSet::parse("").value();
  CHECK(scope.tokens().empty());
  CHECK(scope.text().empty());
  CHECK_FALSE(scope.contains(""));
}

TEST_CASE("scope: what RFC 6749 section 3.3 does not allow is refused", "[scope]") {
  const auto text = GENERATE(as<std::string_view>{}, " ", " a", "a ", "a  b", "a\tb", "a\nb",
                             "a\"b", "a\\b", "caf\xC3\xA9", "a\x7f", "a\0b"sv, "a \"", "\x1b[31m");
  CAPTURE(text);
  const auto scope = ScopeSet::parse(text);
  REQUIRE_FALSE(scope);
  CHECK(scope.error().code == latchkey::ErrorCode::invalid_argument);
  CHECK(scope.error().detail == "scope.malformed");
  CHECK(scope.error().message.find('\x1b') == std::string::npos);
}

TEST_CASE("scope: tokens are compared with case and in full", "[scope]") {
  const auto scope = ScopeSet::parse("atproto transition:generic").value();
  CHECK_FALSE(scope.contains("ATPROTO"));
  CHECK_FALSE(scope.contains("atprot"));
  CHECK_FALSE(scope.contains("transition"));
  CHECK_FALSE(scope.contains("atproto transition:generic"));
}

TEST_CASE("scope: covers is true for a subset in any order, and not the other way round",
          "[scope]") {
  const auto all = ScopeSet::parse("a b c").value();
  CHECK(all.covers(ScopeSet::parse("c a").value()));
  CHECK(all.covers(all));
  CHECK(all.covers(ScopeSet::parse("").value()));
  CHECK_FALSE(ScopeSet::parse("c a").value().covers(all));
  CHECK_FALSE(all.covers(ScopeSet::parse("a d").value()));
  CHECK_FALSE(ScopeSet::parse("repo:*").value().covers(ScopeSet::parse("repo:app.x").value()));
}
