// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <future>
#include <latch>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

import latchkey.atproto.identity_cache;
import latchkey.core;

using namespace latchkey;
using namespace std::chrono_literals;

namespace {

const std::string kName = "alice.example.com";

Identity alice(const std::string& pds = "https://pds.example.com") {
  return {.did = "did:web:alice.example.com", .handle = kName, .pds = pds};
}

struct World {
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("2026-11-20T09:30:00Z").value());
  IdentityCacheOptions options{};
  IdentityCache cache{clock, options};
  std::atomic<int> looks = 0;
  Result<Identity> found = alice();

  World() = default;
  explicit World(IdentityCacheOptions chosen) : options(chosen) {}
  Result<Identity> get(const std::string& name = kName, std::stop_token stop = {}) {
    return cache.get(
        name,
        [this](const std::stop_token&) {
          ++looks;
          return found;
        },
        stop);
  }
};

std::string outcome(const Result<Identity>& identity) {
  return identity ? identity->handle : identity.error().detail;
}

}  // namespace

TEST_CASE("C2.7: an answer is kept for less than ten minutes", "[identity_cache]") {
  World world;
  CHECK(outcome(world.get()) == kName);
  world.clock->advance(10min - 1ms);
  CHECK(outcome(world.get()) == kName);
  CHECK(world.looks == 1);
  world.clock->advance(1ms);
  CHECK(outcome(world.get()) == kName);
  CHECK(world.looks == 2);
}

TEST_CASE("C2.7: using an answer does not make it last longer", "[identity_cache]") {
  World world;
  for (int i = 0; i < 11; ++i) {
    CHECK(world.get());
    world.clock->advance(1min);
  }
  CHECK(world.looks == 2);
}

TEST_CASE("C2.7: what is not found is asked for again after a minute", "[identity_cache]") {
  World world;
  const auto code = GENERATE(ErrorCode::identity_not_found, ErrorCode::identity_mismatch);
  world.found = make_error(code, "scripted", "scripted");
  CHECK(outcome(world.get()) == "scripted");
  world.clock->advance(1min - 1ms);
  CHECK(outcome(world.get()) == "scripted");
  CHECK(world.looks == 1);
  world.clock->advance(1ms);
  world.found = alice();
  CHECK(outcome(world.get()) == kName);
}

TEST_CASE("C2.7, C2.9: an invalid handle is asked for again after a minute", "[identity_cache]") {
  World world;
  world.found->handle = kInvalidHandle;
  CHECK(outcome(world.get()) == "handle.invalid");
  world.clock->advance(1min);
  world.found = alice();
  CHECK(outcome(world.get()) == kName);
}

TEST_CASE("identity cache: a failure of the network is not kept", "[identity_cache]") {
  World world;
  world.found = make_error(
      GENERATE(ErrorCode::timeout, ErrorCode::unreachable, ErrorCode::cancelled,
               ErrorCode::invalid_response, ErrorCode::tls_failed, ErrorCode::invalid_metadata),
      "scripted", "scripted");
  CHECK(outcome(world.get()) == "scripted");
  world.found = alice();
  CHECK(outcome(world.get()) == kName);
  CHECK(world.looks == 2);
}

TEST_CASE("identity cache: a fresh answer takes the older one's place", "[identity_cache]") {
  World world;
  CHECK(world.get());
  world.cache.put(kName, alice("https://moved.example.com"));
  CHECK(world.get().value().pds == "https://moved.example.com");
  world.cache.put(kName, make_error(ErrorCode::timeout, "scripted", "says nothing"));
  CHECK(world.get().value().pds == "https://moved.example.com");
  world.cache.put(kName, make_error(ErrorCode::identity_mismatch, "scripted", "says a lot"));
  CHECK(outcome(world.get()) == "scripted");
  CHECK(world.looks == 1);
}

TEST_CASE("identity cache: names do not share answers", "[identity_cache]") {
  World world;
  CHECK(world.get("a.example.com"));
  world.found = make_error(ErrorCode::identity_not_found, "scripted", "scripted");
  CHECK(outcome(world.get("b.example.com")) == "scripted");
  CHECK(outcome(world.get("a.example.com")) == kName);
}

TEST_CASE("identity cache: there is a cap, and the one that ends first goes first",
          "[identity_cache]") {
  World world({.max_entries = 3});
  for (const std::string name : {"a", "b", "c", "d"}) {
    CHECK(world.get(name));
    world.clock->advance(1s);
  }
  CHECK(world.cache.size() == 3);
  CHECK(world.get("b"));
  CHECK(world.looks == 4);
  CHECK(world.get("a"));
  CHECK(world.looks == 5);
}

TEST_CASE("identity cache: without room nothing is kept", "[identity_cache]") {
  World world({.max_entries = 0});
  CHECK(world.get());
  CHECK(world.get());
  CHECK(world.looks == 2);
  CHECK(world.cache.size() == 0);
}

TEST_CASE("identity cache: callers at once share one lookup", "[identity_cache][concurrency]") {
  World world;
  std::promise<void> gate;
  auto opened = gate.get_future().share();
  std::latch looking(1);
  const IdentityCache::Look slow = [&](const std::stop_token&) {
    ++world.looks;
    looking.count_down();
    opened.wait();
    return world.found;
  };
  std::vector<Result<Identity>> found(6, Error{});
  {
    std::vector<std::jthread> threads;
    threads.emplace_back([&] { found[0] = world.cache.get(kName, slow); });
    looking.wait();
    for (std::size_t i = 1; i < found.size(); ++i) {
      threads.emplace_back([&, i] { found[i] = world.cache.get(kName, slow); });
    }
    CHECK(outcome(world.get("other.example.com")) == kName);  // another name does not wait
    gate.set_value();
  }
  for (const auto& one : found) CHECK(outcome(one) == kName);
  CHECK(world.looks == 2);
}

TEST_CASE("identity cache: when the one who looks is stopped, the next one looks",
          "[identity_cache][concurrency]") {
  World world;
  std::stop_source source;
  std::latch looking(1);
  const IdentityCache::Look until_stopped = [&](const std::stop_token& stop) {
    looking.count_down();
    std::promise<void> stopped;
    const std::stop_callback told(stop, [&] { stopped.set_value(); });
    stopped.get_future().wait();
    return Result<Identity>(make_error(ErrorCode::cancelled, "scripted.stopped", "stopped"));
  };
  Result<Identity> first = Error{}, second = Error{};
  {
    const std::jthread leader(
        [&] { first = world.cache.get(kName, until_stopped, source.get_token()); });
    looking.wait();
    const std::jthread follower([&] { second = world.get(); });
    source.request_stop();
  }
  CHECK(outcome(first) == "scripted.stopped");
  CHECK(outcome(second) == kName);
}

TEST_CASE("identity cache: one who waits can be stopped, and the lookup goes on",
          "[identity_cache][concurrency]") {
  World world;
  std::promise<void> gate;
  std::latch looking(1);
  Result<Identity> first = Error{};
  {
    const std::jthread leader([&] {
      first = world.cache.get(kName, [&](const std::stop_token&) {
        looking.count_down();
        gate.get_future().wait();
        return world.found;
      });
    });
    looking.wait();
    std::stop_source source;
    source.request_stop();
    const auto waited = world.get(kName, source.get_token());
    CHECK(waited.error().code == ErrorCode::cancelled);
    CHECK(outcome(waited) == "identity.cancelled");
    gate.set_value();
  }
  CHECK(outcome(first) == kName);
  CHECK(world.looks == 0);
}

TEST_CASE("identity cache: a lookup that throws leaves nobody waiting", "[identity_cache]") {
  World world;
  CHECK_THROWS_AS(world.cache.get(kName,
                                  [](const std::stop_token&) -> Result<Identity> {
                                    throw std::runtime_error("out of something");
                                  }),
                  std::runtime_error);
  CHECK(outcome(world.get()) == kName);
}
