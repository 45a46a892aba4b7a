// SPDX-License-Identifier: MIT
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;

TEST_CASE("sha256: FIPS 180-4 vectors", "[crypto]") {
  CHECK(hex_encode(sha256("")) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex_encode(sha256("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex_encode(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(as_bytes("abc")) == sha256("abc"));
}

TEST_CASE("sha256_base64url: the code_challenge of RFC 7636 appendix B", "[crypto]") {
  CHECK(sha256_base64url("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") ==
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

TEST_CASE("constant_time_equal: equal text only", "[crypto]") {
  CHECK(constant_time_equal("", ""));
  CHECK(constant_time_equal("abc", "abc"));
  CHECK_FALSE(constant_time_equal("abc", "abd"));
  CHECK_FALSE(constant_time_equal("xbc", "abc"));
  CHECK_FALSE(constant_time_equal("abc", "ab"));
  CHECK_FALSE(constant_time_equal("ab", "abc"));
  CHECK_FALSE(constant_time_equal("", "a"));
}

TEST_CASE("random: tokens are base64url of the asked size", "[crypto]") {
  SystemRandom random;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{32}, std::size_t{33}}) {
    const auto token = random_token(random, size);
    CHECK(token.size() == base64url_size(size));
    CHECK(base64url_decode(token)->size() == size);
    CHECK(random_secret_token(random, size).size() == base64url_size(size));
  }
}

TEST_CASE("random: tokens come from the generator that was passed in", "[crypto]") {
  FixedRandom a(7), b(7), c(8);
  const auto token = random_token(a, 16);
  CHECK(token == random_token(b, 16));
  CHECK(token != random_token(c, 16));
  CHECK(token != random_token(a, 16));
  FixedRandom again(7);
  CHECK(random_secret_token(again, 16).expose() == token);
}

TEST_CASE("system random: does not repeat itself, in many threads at once",
          "[crypto][concurrency]") {
  constexpr std::size_t threads = 4, each = 200;
  std::array<std::vector<std::string>, threads> tokens;
  std::vector<std::thread> workers;
  SystemRandom random;
  for (auto& mine : tokens) {
    workers.emplace_back([&] {
      for (std::size_t i = 0; i < each; ++i) mine.push_back(random_token(random, 16));
    });
  }
  for (auto& worker : workers) worker.join();
  std::set<std::string> all;
  for (const auto& mine : tokens) all.insert(mine.begin(), mine.end());
  CHECK(all.size() == threads * each);
}

TEST_CASE("system random: fills the whole span and nothing around it", "[crypto]") {
  std::array<unsigned char, 96> bytes{};
  SystemRandom random;
  random.fill(std::span(bytes).subspan(32, 32));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 32 && i < 64) {
      changed += bytes[i] != 0;
    } else {
      CHECK(bytes[i] == 0);
    }
  }
  CHECK(changed > 16);
  random.fill({});
}
