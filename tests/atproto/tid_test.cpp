// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.atproto.identifier;
import latchkey.core;

using namespace latchkey;

namespace {

constexpr std::string_view kAlphabet = "234567abcdefghijklmnopqrstuvwxyz";

class FixedRandom final : public Random {
 public:
  explicit FixedRandom(unsigned char byte) : byte_(byte) {}
  void fill(std::span<unsigned char> bytes) override {
    std::fill(bytes.begin(), bytes.end(), byte_);
  }

 private:
  unsigned char byte_;
};

// Goes where it is told to, backwards too.
class WildClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const override { return {}; }
  bool sleep_for(Duration, std::stop_token) override { return true; }
  TimePoint time{};
};

std::uint64_t number_of(std::string_view tid) {
  std::uint64_t out = 0;
  for (const char c : tid) out = out << 5 | kAlphabet.find(c);
  return out;
}

TimePoint at(std::int64_t millis) {
  return TimePoint{std::chrono::milliseconds{millis}};
}

}  // namespace

TEST_CASE("tid: C10.3: 13 characters that hold microseconds and the clock id", "[tid]") {
  ManualClock clock(at(1'700'000'000'123));
  FixedRandom random(0xA5);
  TidSource source(clock, random);
  const auto tid = source.next();
  REQUIRE(tid.size() == 13);
  CHECK(std::all_of(tid.begin(), tid.end(),
                    [](char c) { return kAlphabet.find(c) != std::string_view::npos; }));
  CHECK(std::string_view("234567abcdefghij").find(tid[0]) != std::string_view::npos);
  CHECK(number_of(tid) >> 10 == 1'700'000'000'123'000);
  CHECK((number_of(tid) & 0x3FF) == 0x1A5);
  CHECK(parse_record_key(tid));
}

TEST_CASE("tid: a known value", "[tid]") {
  ManualClock clock(at(1'694'528'400'000));
  FixedRandom random(0);
  // 1694528400000000 * 1024 in base 32, worked out elsewhere.
  CHECK(TidSource(clock, random).next() == "3k77clpk32222");
}

TEST_CASE("tid: they rise while the clock stands still", "[tid]") {
  ManualClock clock(at(1'700'000'000'000));
  FixedRandom random(0xFF);
  TidSource source(clock, random);
  auto last = source.next();
  for (int i = 0; i < 5000; ++i) {
    auto next = source.next();
    REQUIRE(next > last);
    last = std::move(next);
  }
}

TEST_CASE("tid: they rise while the clock goes back, and follow it when it is ahead again",
          "[tid]") {
  WildClock clock;
  clock.time = at(1'700'000'000'000);
  FixedRandom random(1);
  TidSource source(clock, random);
  const auto first = source.next();
  clock.time = at(1'600'000'000'000);
  const auto second = source.next();
  CHECK(second > first);
  clock.time = at(1'800'000'000'000);
  CHECK(number_of(source.next()) >> 10 == 1'800'000'000'000'000);
}

TEST_CASE("tid: a clock before 1970 or without a time gives TIDs all the same", "[tid]") {
  WildClock clock;
  clock.time = kMalformedTime;
  FixedRandom random(0);
  TidSource source(clock, random);
  const auto first = source.next();
  CHECK(first.size() == 13);
  CHECK(source.next() > first);
}

TEST_CASE("tid: never the same twice among threads", "[tid][concurrency]") {
  ManualClock clock(at(1'700'000'000'000));
  FixedRandom random(7);
  TidSource source(clock, random);
  std::vector<std::vector<std::string>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : made) {
      threads.emplace_back([&source, &mine] {
        for (int i = 0; i < 1000; ++i) mine.push_back(source.next());
      });
    }
  }
  std::set<std::string> all;
  for (const auto& mine : made) {
    CHECK(std::is_sorted(mine.begin(), mine.end()));
    all.insert(mine.begin(), mine.end());
  }
  CHECK(all.size() == 4000);
}
