// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.oidc.jwks;
import latchkey.oidc.jwks_cache;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr auto kLife = kJwksLifetime;

Error down() {
  return make_error(ErrorCode::unreachable, "test.down", "down");
}

struct Keys {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  std::shared_ptr<ScriptedTransport> transport = std::make_shared<ScriptedTransport>(
      [](const HttpRequest&, const SendOptions&) { return json_answer(200, R"({"keys":[]})"); });
  JwksCache cache{transport, clock, Url::parse(kJwksUri).value()};

  void fail() { transport->push(down()); }
  std::shared_ptr<const JwkSet> now() { return cache.current({}).value(); }
  std::shared_ptr<const JwkSet> other(const std::shared_ptr<const JwkSet>& seen) {
    return cache.other_than(seen, {});
  }
  [[nodiscard]] std::size_t fetches() const { return transport->count(); }
};

// Counts how often it was asked.
class CountingClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return kNow; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const override {
    ++asked_;
    asked_.notify_all();
    return {};
  }
  bool sleep_for(Duration, std::stop_token) override { return true; }
  void wait_for(int count) const {
    for (int seen = asked_; seen < count; seen = asked_) asked_.wait(seen);
  }

 private:
  mutable std::atomic<int> asked_ = 0;
};

Duration lifetime(HeaderList headers) {
  return jwks_lifetime(json_answer(200, "{}", headers));
}

}  // namespace

TEST_CASE("JWKS lifetime: is what Cache-Control says, within bounds", "[oidc]") {
  CHECK(lifetime({}) == 10min);
  CHECK(lifetime({{"Cache-Control", "max-age=3600"}}) == 1h);
  CHECK(lifetime({{"Cache-Control", "public, Max-Age=3600, must-revalidate"}}) == 1h);
  CHECK(lifetime({{"Cache-Control", "max-age=0"}}) == 5min);
  CHECK(lifetime({{"Cache-Control", "max-age=299"}}) == 5min);
  CHECK(lifetime({{"Cache-Control", "max-age=301"}}) == 301s);
  CHECK(lifetime({{"Cache-Control", "max-age=86400"}}) == 24h);
  CHECK(lifetime({{"Cache-Control", "max-age=86401"}}) == 24h);
  CHECK(lifetime({{"Cache-Control", "max-age=99999999999999999999999"}}) == 24h);
  CHECK(lifetime({{"Cache-Control", "public"}}) == 10min);
  CHECK(lifetime({{"Cache-Control", "s-maxage=7200"}}) == 10min);
}

TEST_CASE("JWKS lifetime: what cannot be read, or forbids keeping, is the least", "[oidc]") {
  for (const char* value :
       {"no-store", "no-cache", "no-cache=\"x\"", "NO-STORE, max-age=3600",
        "max-age=3600, no-cache", "max-age", "max-age=", "max-age=-1", "max-age=1h",
        "max-age=3600, max-age=10", "max-age=\"3600\"", "max-age= 3600", "max-age=3.6e3"}) {
    INFO(value);
    CHECK(lifetime({{"Cache-Control", value}}) == 5min);
  }
  CHECK(lifetime({{"Cache-Control", "max-age=3600"}, {"Cache-Control", "no-store"}}) == 5min);
}

TEST_CASE("JWKS lifetime: the time in other caches counts", "[oidc]") {
  CHECK(lifetime({{"Cache-Control", "max-age=3600"}, {"Age", "600"}}) == 50min);
  CHECK(lifetime({{"Cache-Control", "max-age=3600"}, {"Age", "99999999999999999"}}) == 5min);
  CHECK(lifetime({{"Cache-Control", "max-age=3600"}, {"Age", "-600"}}) == 1h);
}

TEST_CASE("JWKS cache: keys are fetched once and then kept", "[oidc]") {
  Keys keys;
  const auto first = keys.now();
  keys.clock->advance(kLife - 1s);
  CHECK(keys.now() == first);
  CHECK(keys.fetches() == 1);
  keys.clock->advance(1s);
  CHECK(keys.now() != first);
  CHECK(keys.fetches() == 2);
}

TEST_CASE("JWKS cache: asks within the limits of metadata", "[oidc]") {
  Keys keys;
  static_cast<void>(keys.now());
  CHECK(keys.transport->requests()[0].url.text() == kJwksUri);
  CHECK(keys.transport->options()[0].max_body == std::size_t{512} * 1024);
  CHECK(keys.transport->options()[0].timeout == 10s);
}

TEST_CASE("JWKS cache: without any keys the failure is the answer", "[oidc]") {
  Keys keys;
  keys.fail();
  CHECK(outcome(keys.cache.current({})) == "unreachable test.down");
  keys.transport->push(json_answer(500, ""));
  CHECK(outcome(keys.cache.current({})) == "invalid_metadata jwks.status");
  CHECK(outcome(keys.cache.current({})) == "ok");
  CHECK(keys.fetches() == 3);
}

TEST_CASE("JWKS cache: old keys are used while the server fails, for a day", "[oidc]") {
  Keys keys;
  const auto old = keys.now();
  keys.clock->advance(kLife);
  keys.fail();
  CHECK(keys.now() == old);
  keys.transport->push(json_answer(500, ""));
  keys.clock->advance(kMaxJwksStaleness - 1s);
  CHECK(keys.now() == old);
  keys.clock->advance(60s);
  keys.fail();
  CHECK(outcome(keys.cache.current({})) == "unreachable test.down");
  CHECK(keys.now() != old);
}

TEST_CASE("JWKS cache: what is no key set does not displace one", "[oidc]") {
  Keys keys;
  const auto old = keys.now();
  for (const char* text : {"<html>", "{}", R"({"keys":{}})"}) {
    INFO(text);
    keys.clock->advance(kLife);
    keys.transport->push(json_answer(200, text));
    CHECK(keys.now() == old);
  }
}

TEST_CASE("JWKS cache: a failure is not tried again for a minute", "[oidc]") {
  Keys keys;
  const auto old = keys.now();
  keys.clock->advance(kLife);
  keys.fail();
  for (int i = 0; i < 60; ++i) {
    CHECK(keys.now() == old);
    keys.clock->advance(1s);
  }
  CHECK(keys.fetches() == 2);
  CHECK(keys.now() != old);
  CHECK(keys.fetches() == 3);
}

TEST_CASE("JWKS cache: others are fetched at once, and then not for a minute", "[oidc]") {
  Keys keys;
  const auto first = keys.now();
  const auto second = keys.other(first);
  REQUIRE(second);
  CHECK(second != first);
  CHECK(keys.now() == second);
  CHECK(keys.other(second) == nullptr);
  keys.clock->advance(59s);
  CHECK(keys.other(second) == nullptr);
  CHECK(keys.fetches() == 2);
  keys.clock->advance(1s);
  CHECK(keys.other(second) != nullptr);
  CHECK(keys.fetches() == 3);
}

TEST_CASE("JWKS cache: who saw old keys gets the new ones without a fetch", "[oidc]") {
  Keys keys;
  const auto first = keys.now();
  const auto second = keys.other(first);
  CHECK(keys.other(first) == second);
  CHECK(keys.fetches() == 2);
}

TEST_CASE("JWKS cache: others that cannot be had are none, and the old ones stay", "[oidc]") {
  Keys keys;
  const auto first = keys.now();
  keys.fail();
  CHECK(keys.other(first) == nullptr);
  CHECK(keys.other(first) == nullptr);
  CHECK(keys.fetches() == 2);
  CHECK(keys.now() == first);
}

TEST_CASE("JWKS cache: a fetch for others starts a new lifetime", "[oidc]") {
  Keys keys;
  const auto first = keys.now();
  keys.clock->advance(kLife - 1s);
  const auto second = keys.other(first);
  keys.clock->advance(kLife - 1s);
  CHECK(keys.now() == second);
  CHECK(keys.fetches() == 2);
}

TEST_CASE("JWKS cache: threads share one fetch", "[oidc][concurrency]") {
  Keys keys;
  keys.transport->hold();
  std::vector<std::shared_ptr<const JwkSet>> got(8);
  {
    std::vector<std::jthread> threads;
    for (auto& slot : got) threads.emplace_back([&] { slot = keys.now(); });
    keys.transport->wait_for(1);
    keys.transport->release();
  }
  for (const auto& each : got) CHECK(each == got[0]);
  CHECK(keys.fetches() == 1);
}

TEST_CASE("JWKS cache: threads share one failure", "[oidc][concurrency]") {
  constexpr int kThreads = 8;
  const auto transport = std::make_shared<ScriptedTransport>();
  const auto clock = std::make_shared<CountingClock>();
  JwksCache cache(transport, clock, Url::parse(kJwksUri).value());
  transport->hold();
  transport->push(down()).push(json_answer(200, R"({"keys":[]})"));
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back(
          [&] { failed += outcome(cache.current({})) == "unreachable test.down"; });
    }
    // Each looks at the clock with the cache's lock, and waits before it gives that up.
    clock->wait_for(kThreads);
    transport->release();
  }
  CHECK(failed == kThreads);
  CHECK(transport->count() == 1);
}

TEST_CASE("JWKS cache: who has good keys does not wait for another's fetch",
          "[oidc][concurrency]") {
  Keys keys;
  const auto first = keys.now();
  keys.transport->hold();
  std::shared_ptr<const JwkSet> others;
  std::jthread asking([&] { others = keys.other(first); });
  keys.transport->wait_for(2);
  CHECK(keys.now() == first);  // fresh
  keys.clock->advance(kLife);
  CHECK(keys.now() == first);  // old, but another thread is at it
  CHECK(keys.fetches() == 2);
  keys.transport->release();
  asking.join();
  CHECK(others != first);
  CHECK(keys.now() == others);
}

TEST_CASE("JWKS cache: who needs others waits for those that are being fetched",
          "[oidc][concurrency]") {
  Keys keys;
  const auto first = keys.now();
  keys.transport->hold();
  std::vector<std::shared_ptr<const JwkSet>> got(6);
  {
    std::vector<std::jthread> threads;
    for (auto& slot : got) threads.emplace_back([&] { slot = keys.other(first); });
    keys.transport->wait_for(2);
    keys.transport->release();
  }
  for (const auto& each : got) CHECK(each == got[0]);
  CHECK(got[0] != first);
  CHECK(keys.fetches() == 2);
}

TEST_CASE("JWKS cache: waiting is cancelled, the fetch of another is not", "[oidc][concurrency]") {
  Keys keys;
  keys.transport->hold();
  std::string fetched;
  std::jthread asking([&] { fetched = outcome(keys.cache.current({})); });
  keys.transport->wait_for(1);
  std::stop_source stop;
  stop.request_stop();
  CHECK(outcome(keys.cache.current(stop.get_token())) == "cancelled jwks.cancelled");
  keys.transport->release();
  asking.join();
  CHECK(fetched == "ok");
}

TEST_CASE("JWKS cache: a cancelled fetch leaves the next one free", "[oidc]") {
  Keys keys;
  const auto cancelled = [&] {
    keys.transport->push(make_error(ErrorCode::cancelled, "test.cancelled", "stopped"));
  };
  cancelled();
  CHECK(outcome(keys.cache.current({})) == "cancelled test.cancelled");
  const auto first = keys.now();
  cancelled();
  CHECK(keys.other(first) == nullptr);
  CHECK(keys.other(first) != nullptr);
}

TEST_CASE("JWKS cache: a cancelled fetch is no failure of the server", "[oidc]") {
  Keys keys;
  const auto old = keys.now();
  keys.clock->advance(kLife);
  keys.transport->push(make_error(ErrorCode::cancelled, "test.cancelled", "stopped"));
  CHECK(keys.now() == old);
  CHECK(keys.now() != old);  // at once, and not after a minute
  CHECK(keys.fetches() == 3);
}

TEST_CASE("JWKS cache: who waited for a cancelled fetch makes his own", "[oidc][concurrency]") {
  Keys keys;
  keys.transport->hold();
  keys.transport->push(make_error(ErrorCode::cancelled, "test.cancelled", "stopped"));
  std::vector<std::string> got(4);
  {
    std::vector<std::jthread> threads;
    for (auto& slot : got) threads.emplace_back([&] { slot = outcome(keys.cache.current({})); });
    keys.transport->wait_for(1);
    keys.transport->release();
  }
  CHECK(std::count(got.begin(), got.end(), "ok") == 3);
  CHECK(std::count(got.begin(), got.end(), "cancelled test.cancelled") == 1);
}

TEST_CASE("JWKS cache: keys change under load, and everybody finds them", "[oidc][concurrency]") {
  Keys keys;
  std::atomic<int> found = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < 200; ++turn) {
          const auto seen = keys.now();
          const auto others = keys.other(seen);
          found += seen != nullptr && others != seen;
          keys.clock->advance(1s);
        }
      });
    }
  }
  CHECK(found == 800);
  // 800 seconds: a fetch a minute, and the first one.
  CHECK(keys.fetches() <= 800 / 60 + 2);
}
