// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

import latchkey.core;

using namespace latchkey;

static_assert(!std::is_copy_constructible_v<SecretBytes> &&
              !std::is_copy_assignable_v<SecretBytes>);
static_assert(!std::is_copy_constructible_v<SecretString> &&
              !std::is_copy_assignable_v<SecretString>);
static_assert(std::is_nothrow_move_constructible_v<SecretString> &&
              std::is_nothrow_move_assignable_v<SecretString>);
static_assert(!std::is_convertible_v<SecretString, std::string> &&
              !std::is_convertible_v<SecretString, std::string_view>);
static_assert(!std::is_convertible_v<std::string_view, SecretString>,
              "a secret is made on purpose");

TEST_CASE("secret: starts empty, and empty is fine everywhere", "[secret]") {
  SecretString nothing;
  CHECK(nothing.empty());
  CHECK(nothing.expose().empty());
  CHECK(nothing == SecretString(""));
  CHECK(nothing.clone().empty());
  CHECK(SecretBytes(std::size_t{0}).empty());
}

TEST_CASE("secret: holds what it was given, NUL included", "[secret]") {
  const std::string_view text("a\0b", 3);
  const SecretString secret(text);
  CHECK(secret.size() == 3);
  CHECK(secret.expose() == text);
}

TEST_CASE("secret: a sized buffer begins with zeros", "[secret]") {
  const SecretBytes bytes(std::size_t{64});
  const auto span = bytes.expose();
  CHECK(std::all_of(span.begin(), span.end(), [](unsigned char byte) { return byte == 0; }));
}

TEST_CASE("secret: moving leaves the source empty", "[secret]") {
  SecretString a("token");
  SecretString b(std::move(a));
  CHECK(b.expose() == "token");
  CHECK(a.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  SecretString c("older");
  c = std::move(b);
  CHECK(c.expose() == "token");
  CHECK(b.empty());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("secret: moving onto itself keeps it", "[secret]") {
  SecretBytes a(std::span<const unsigned char>(std::array<unsigned char, 3>{1, 2, 3}));
  auto& same = a;
  a = std::move(same);
  CHECK(a.size() == 3);
  CHECK(a.expose()[2] == 3);
}

TEST_CASE("secret: a clone is equal and of its own", "[secret]") {
  SecretBytes a(std::span<const unsigned char>(std::array<unsigned char, 2>{1, 2}));
  auto b = a.clone();
  CHECK(a == b);
  b.mutable_span()[0] = 9;
  CHECK_FALSE(a == b);
  CHECK(a.expose()[0] == 1);
}

TEST_CASE("secret: equality looks at every byte and the length", "[secret]") {
  struct Row {
    std::string_view a, b;
    bool equal;
  };
  for (const auto& row : {Row{"", "", true}, Row{"abc", "abc", true}, Row{"abc", "abd", false},
                          Row{"abc", "xbc", false}, Row{"abc", "ab", false}, Row{"", "a", false}}) {
    INFO(row.a << " / " << row.b);
    CHECK((SecretString(row.a) == SecretString(row.b)) == row.equal);
  }
}

TEST_CASE("secret: truncate zeroes what it cuts off", "[secret]") {
  SecretBytes bytes(std::span<const unsigned char>(std::array<unsigned char, 4>{1, 2, 3, 4}));
  const unsigned char* const start = bytes.expose().data();
  bytes.truncate(1);
  CHECK(bytes.size() == 1);
  CHECK(start[0] == 1);
  CHECK(start[1] == 0);
  CHECK(start[3] == 0);
  bytes.truncate(0);
  CHECK(bytes.empty());
  CHECK(start[0] == 0);
}

TEST_CASE("secret builder: grows from any reserve to the same text", "[secret]") {
  for (const std::size_t reserve :
       {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
    SecretBuilder builder(reserve);
    std::string expected;
    for (int i = 0; i < 100; ++i) {
      builder.append("piece").append('-');
      expected += "piece-";
    }
    INFO("reserve " << reserve);
    CHECK(std::move(builder).finish().expose() == expected);
  }
}

TEST_CASE("secret builder: nothing appended is an empty secret", "[secret]") {
  CHECK(SecretBuilder().finish().empty());
  SecretBuilder builder(0);
  builder.append("");
  CHECK(std::move(builder).finish().empty());
}
