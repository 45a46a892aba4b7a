// SPDX-License-Identifier: MIT
#include <malloc.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.dpop;

using namespace latchkey;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kNow{std::chrono::seconds{1'790'000'000}};
using Outcome = ReplayCache::Outcome;

}  // namespace

TEST_CASE("ReplayCache: holds as many as it may and not one more", "[replay]") {
  ReplayCache cache(3);
  for (int i = 0; i < 3; ++i) {
    CHECK(cache.remember("key", std::to_string(i), kNow + 60s, kNow) == Outcome::first_use);
  }
  for (int i = 3; i < 100; ++i) {
    CHECK(cache.remember("key", std::to_string(i), kNow + 60s, kNow) == Outcome::full);
  }
  CHECK(cache.size() == 3);
}

TEST_CASE("ReplayCache: a proof takes up 200 bytes at most, however long its jti is", "[replay]") {
  constexpr std::size_t kProofs = 20'000;
  const std::string longest(500, 'j');
  const std::size_t before = mallinfo2().uordblks;
  ReplayCache cache(kProofs);
  for (std::size_t i = 0; i < kProofs; ++i) {
    REQUIRE(cache.remember("key", longest + std::to_string(i), kNow + 60s, kNow) ==
            Outcome::first_use);
  }
  // Zero under AddressSanitizer, whose heap is another.
  const std::size_t after = mallinfo2().uordblks;
  CHECK(after - before <= kProofs * 200);
}

TEST_CASE("ReplayCache: nothing is forgotten before its time, full or not", "[replay]") {
  ReplayCache cache(2);
  CHECK(cache.remember("key", "long", kNow + 60s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "short", kNow + 10s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "third", kNow + 60s, kNow + 10s) == Outcome::full);
  CHECK(cache.remember("key", "short", kNow + 70s, kNow + 10s) == Outcome::replayed);
  // A millisecond later the short one would be refused for its age, and its room is free.
  CHECK(cache.remember("key", "third", kNow + 60s, kNow + 10s + 1ms) == Outcome::first_use);
  CHECK(cache.remember("key", "long", kNow + 60s, kNow + 60s) == Outcome::replayed);
  CHECK(cache.size() == 2);
}

TEST_CASE("ReplayCache: a proof that was seen again is not remembered for longer", "[replay]") {
  ReplayCache cache(1);
  CHECK(cache.remember("key", "one", kNow + 10s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "one", kNow + 600s, kNow) == Outcome::replayed);
  CHECK(cache.remember("key", "two", kNow + 60s, kNow + 11s) == Outcome::first_use);
}

TEST_CASE("ReplayCache: a clock that goes back forgets nothing", "[replay]") {
  ReplayCache cache(2);
  CHECK(cache.remember("key", "one", kNow + 10s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "one", kNow + 10s, kNow - 1h) == Outcome::replayed);
}

TEST_CASE("ReplayCache: one key can use up its own quota and not the room of others", "[replay]") {
  ReplayCache cache(10, 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(cache.remember("greedy", std::to_string(i), kNow + 60s, kNow) == Outcome::first_use);
  }
  for (int i = 3; i < 100; ++i) {
    CHECK(cache.remember("greedy", std::to_string(i), kNow + 60s, kNow) == Outcome::quota);
  }
  CHECK(cache.remember("greedy", "0", kNow + 60s, kNow) == Outcome::replayed);
  CHECK(cache.remember("modest", "0", kNow + 60s, kNow) == Outcome::first_use);
  CHECK(cache.size() == 4);
}

TEST_CASE("ReplayCache: a quota comes back with the proofs that are forgotten, one for one",
          "[replay]") {
  ReplayCache cache(10, 2);
  CHECK(cache.remember("key", "short", kNow + 10s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "long", kNow + 60s, kNow) == Outcome::first_use);
  CHECK(cache.remember("key", "third", kNow + 60s, kNow + 10s) == Outcome::quota);
  CHECK(cache.remember("key", "third", kNow + 60s, kNow + 10s + 1ms) == Outcome::first_use);
  CHECK(cache.remember("key", "fourth", kNow + 60s, kNow + 10s + 1ms) == Outcome::quota);
}

TEST_CASE("ReplayCache: a cache that is full is full for keys with a quota left too", "[replay]") {
  ReplayCache cache(2, 1);
  CHECK(cache.remember("a", "1", kNow + 60s, kNow) == Outcome::first_use);
  CHECK(cache.remember("b", "1", kNow + 60s, kNow) == Outcome::first_use);
  CHECK(cache.remember("c", "1", kNow + 60s, kNow) == Outcome::full);
}

TEST_CASE("ReplayCache: a proof of a key of its own takes up 200 bytes at most too", "[replay]") {
  constexpr std::size_t kProofs = 20'000;
  const std::size_t before = mallinfo2().uordblks;
  ReplayCache cache(kProofs, 1);
  for (std::size_t i = 0; i < kProofs; ++i) {
    REQUIRE(cache.remember("key" + std::to_string(i), "1", kNow + 60s, kNow) == Outcome::first_use);
  }
  const std::size_t after = mallinfo2().uordblks;
  CHECK(after - before <= kProofs * 200);
}

TEST_CASE("ReplayCache: key and jti don't run into each other", "[replay]") {
  ReplayCache cache(10);
  CHECK(cache.remember("ab", "c", kNow, kNow) == Outcome::first_use);
  CHECK(cache.remember("a", "bc", kNow, kNow) == Outcome::first_use);
  CHECK(cache.remember("", "abc", kNow, kNow) == Outcome::first_use);
  CHECK(cache.size() == 3);
}

TEST_CASE("ReplayCache: of many threads with one proof exactly one was first",
          "[replay][concurrency]") {
  ReplayCache cache(1000);
  std::vector<int> firsts(8, 0);
  {
    std::vector<std::jthread> threads;
    for (int& count : firsts) {
      threads.emplace_back([&cache, &count] {
        for (int i = 0; i < 500; ++i) {
          const auto seen = cache.remember("key", std::to_string(i), kNow + 60s, kNow);
          count += seen == Outcome::first_use ? 1 : 0;
        }
      });
    }
  }
  int sum = 0;
  for (const int count : firsts) sum += count;
  CHECK(sum == 500);
  CHECK(cache.size() == 500);
}
