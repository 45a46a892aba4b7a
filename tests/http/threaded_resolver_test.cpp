// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

import latchkey.core.error;
import latchkey.http.policy;
import latchkey.http.resolver;
import latchkey.test.outcome;

// The system's look-up is played by one that returns when the test says so.

using namespace std::chrono_literals;
using latchkey::IpAddress;
using latchkey::LookedUp;
using latchkey::LookupLimits;
using latchkey::NameResolver;
using latchkey::Result;
using latchkey::test::outcome;

namespace {

using Found = Result<std::vector<IpAddress>>;

constexpr const char* kLate = "timeout http.connect_timeout";
constexpr const char* kBusy = "unreachable http.name_busy";

LookupLimits within(std::chrono::milliseconds time, std::stop_token stop = {}) {
  return {.deadline = std::chrono::steady_clock::now() + time, .stop = std::move(stop)};
}

// Shared with the look-ups' threads, which may end after the test.
struct Gate {
  std::latch open{1};
  std::atomic<int> asked{0};
};

// Leads every name to 8.8.8.8, but not before the gate is opened; at the latest when it is gone.
class Blocked {
 public:
  Blocked() = default;
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  ~Blocked() { open(); }

  void open() {
    if (!gate_->open.try_wait()) gate_->open.count_down();
  }
  [[nodiscard]] int asked() const { return gate_->asked; }
  Found addresses(const std::string& name, const LookupLimits& limits) {
    return resolver_->addresses(name, limits);
  }
  // Starts a look-up, and gives it up.
  std::string give_up(const std::string& name) { return outcome(addresses(name, within(0ms))); }

 private:
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::shared_ptr<NameResolver> resolver_ =
      latchkey::threaded_resolver([gate = gate_](const std::string&) -> LookedUp {
        ++gate->asked;
        gate->open.wait();
        return {.addresses = {*IpAddress::parse("8.8.8.8")}};
      });
};

std::string name_of(int number, const std::string& domain) {
  return "n" + std::to_string(number) + "." + domain;
}

}  // namespace

TEST_CASE("threaded_resolver: hands over what the look-up finds", "[http.resolver]") {
  const auto resolver = latchkey::threaded_resolver([](const std::string& name) -> LookedUp {
    if (name == "bad.example") return {.failure = "no such name"};
    return {.addresses = {*IpAddress::parse("8.8.8.8"), *IpAddress::parse("2606::1")}};
  });
  CHECK(resolver->addresses("good.example", within(20s)).value().size() == 2);
  const auto bad = resolver->addresses("bad.example", within(20s));
  CHECK(outcome(bad) == "unreachable http.name");
  CHECK(bad.error().message.find("bad.example: no such name") != std::string::npos);
}

TEST_CASE("threaded_resolver: returns by its deadline, whatever the look-up does",
          "[http.resolver]") {
  Blocked resolver;
  CHECK(resolver.give_up("alice.example") == kLate);
  const auto begun = std::chrono::steady_clock::now();
  CHECK(outcome(resolver.addresses("alice.example", within(30ms))) == kLate);
  CHECK(std::chrono::steady_clock::now() - begun >= 30ms);
}

TEST_CASE("threaded_resolver: returns when it is asked to stop, before and while it waits",
          "[http.resolver][concurrency]") {
  Blocked resolver;
  std::stop_source stopped, stop;
  stopped.request_stop();
  CHECK(outcome(resolver.addresses("alice.example", within(20s, stopped.get_token()))) ==
        "cancelled http.cancelled");
  std::optional<Found> found;
  std::jthread waiting(
      [&] { found = resolver.addresses("alice.example", within(20s, stop.get_token())); });
  stop.request_stop();
  waiting.join();
  CHECK(outcome(*found) == "cancelled http.cancelled");
}

TEST_CASE("threaded_resolver: a name is looked up once, however many ask", "[http.resolver]") {
  Blocked resolver;
  // More than there may be look-ups.
  for (int i = 0; i < 100; ++i) REQUIRE(resolver.give_up("alice.example") == kLate);
  CHECK(resolver.asked() <= 1);
}

TEST_CASE("threaded_resolver: all who wait for a name are told", "[http.resolver][concurrency]") {
  Blocked resolver;
  std::vector<Found> found(4, std::vector<IpAddress>());
  {
    std::vector<std::jthread> waiting;
    for (auto& one : found)
      waiting.emplace_back([&] { one = resolver.addresses("alice.example", within(20s)); });
    resolver.open();
  }
  for (const auto& one : found) CHECK(one.value().at(0).text() == "8.8.8.8");
}

TEST_CASE("threaded_resolver: no more than 64 look-ups are under way", "[http.resolver]") {
  Blocked resolver;
  for (int i = 0; i < 64; ++i)
    REQUIRE(resolver.give_up(name_of(i, "d" + std::to_string(i) + ".example")) == kLate);
  CHECK(resolver.give_up("alice.example") == kBusy);
  CHECK(resolver.give_up("n7.d7.example") == kLate);  // under way already
  resolver.open();
  auto found = resolver.addresses("alice.example", within(20s));
  while (!found) {  // until the first of them has ended
    REQUIRE(outcome(found) == kBusy);
    std::this_thread::yield();
    found = resolver.addresses("alice.example", within(20s));
  }
  CHECK(found->size() == 1);
}

TEST_CASE("threaded_resolver: one domain leaves room for others", "[http.resolver]") {
  Blocked resolver;
  for (int i = 0; i < 32; ++i) REQUIRE(resolver.give_up(name_of(i, "evil.example")) == kLate);
  for (const auto* name : {"n32.evil.example", "a.b.evil.example", "evil.example"})
    CHECK(resolver.give_up(name) == kBusy);
  for (const auto* name : {"alice.example", "notevil.example", "localhost"})
    CHECK(resolver.give_up(name) == kLate);
}
