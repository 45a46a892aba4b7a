// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.dpop;

using namespace latchkey;

namespace {

class MapStorage final : public NonceStorage {
 public:
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override {
    const std::scoped_lock lock(mutex_);
    ++loads;
    const auto found = nonces.find(std::string(origin) + ' ' + std::string(jkt));
    return found == nonces.end() ? std::nullopt : std::optional(found->second);
  }
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override {
    const std::scoped_lock lock(mutex_);
    ++saves;
    nonces[std::string(origin) + ' ' + std::string(jkt)] = nonce;
  }

  std::map<std::string, std::string> nonces;
  int loads = 0;
  int saves = 0;

 private:
  std::mutex mutex_;
};

}  // namespace

TEST_CASE("NonceCache: keeps one nonce for each origin and key", "[nonce]") {
  NonceCache cache;
  CHECK(cache.find("https://a", "k1") == std::nullopt);
  cache.learn("https://a", "k1", "one");
  cache.learn("https://a", "k2", "two");
  cache.learn("https://b", "k1", "three");
  CHECK(cache.find("https://a", "k1") == "one");
  CHECK(cache.find("https://a", "k2") == "two");
  CHECK(cache.find("https://b", "k1") == "three");
  CHECK(cache.find("https://b", "k2") == std::nullopt);
}

TEST_CASE("NonceCache: the last one learnt counts", "[nonce]") {
  NonceCache cache;
  cache.learn("https://a", "k", "one");
  cache.learn("https://a", "k", "two");
  CHECK(cache.find("https://a", "k") == "two");
}

TEST_CASE("NonceCache: what cannot be a nonce is ignored", "[nonce]") {
  NonceCache cache;
  cache.learn("https://a", "k", "good");
  for (const auto& bad :
       {std::string(), std::string("a b"), std::string("a\"b"), std::string("a\\b"),
        std::string("a\r\n"), std::string("\xff"), std::string("a\0b", 3), std::string(513, 'a')}) {
    cache.learn("https://a", "k", bad);
    CHECK(!is_dpop_nonce(bad));
  }
  CHECK(cache.find("https://a", "k") == "good");
  cache.learn("https://a", "k", std::string(512, 'a'));
  CHECK(cache.find("https://a", "k")->size() == 512);
}

TEST_CASE("NonceCache: drops the one not used for longest", "[nonce]") {
  NonceCache cache(nullptr, 2);
  cache.learn("https://a", "k", "a");
  cache.learn("https://b", "k", "b");
  CHECK(cache.find("https://a", "k") == "a");
  cache.learn("https://c", "k", "c");
  CHECK(cache.find("https://b", "k") == std::nullopt);
  CHECK(cache.find("https://c", "k") == "c");
}

TEST_CASE("NonceCache: a lookup that fails counts as a use too and stays in the bound", "[nonce]") {
  NonceCache cache(nullptr, 1);
  cache.learn("https://a", "k", "a");
  CHECK(cache.find("https://b", "k") == std::nullopt);
  CHECK(cache.find("https://a", "k") == std::nullopt);
}

TEST_CASE("NonceCache: a capacity of zero means one", "[nonce]") {
  NonceCache cache(nullptr, 0);
  cache.learn("https://a", "k", "a");
  CHECK(cache.find("https://a", "k") == "a");
}

TEST_CASE("NonceCache: asks the storage once for each pair", "[nonce]") {
  const auto storage = std::make_shared<MapStorage>();
  storage->nonces["https://a k"] = "stored";
  NonceCache cache(storage);
  CHECK(cache.find("https://a", "k") == "stored");
  CHECK(cache.find("https://a", "k") == "stored");
  CHECK(cache.find("https://b", "k") == std::nullopt);
  CHECK(cache.find("https://b", "k") == std::nullopt);
  CHECK(storage->loads == 2);
  CHECK(storage->saves == 0);
}

TEST_CASE("NonceCache: tells the storage of changes only", "[nonce]") {
  const auto storage = std::make_shared<MapStorage>();
  NonceCache cache(storage);
  cache.learn("https://a", "k", "one");
  cache.learn("https://a", "k", "one");
  cache.learn("https://a", "k", "");
  CHECK(storage->saves == 1);
  cache.learn("https://a", "k", "two");
  CHECK(storage->saves == 2);
  CHECK(storage->nonces["https://a k"] == "two");
}

TEST_CASE("NonceCache: a stored text that is no nonce is not used", "[nonce]") {
  const auto storage = std::make_shared<MapStorage>();
  storage->nonces["https://a k"] = "a\r\nX: y";
  NonceCache cache(storage);
  CHECK(cache.find("https://a", "k") == std::nullopt);
}

TEST_CASE("NonceCache: a nonce learnt while the storage is read wins", "[nonce]") {
  class Learning final : public NonceStorage {
   public:
    NonceCache* cache = nullptr;
    std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override {
      cache->learn(origin, jkt, "newer");
      return "stored";
    }
    void save_nonce(std::string_view, std::string_view, std::string_view) override {}
  };
  const auto storage = std::make_shared<Learning>();
  NonceCache cache(storage);
  storage->cache = &cache;
  CHECK(cache.find("https://a", "k") == "newer");
}

TEST_CASE("NonceCache: many threads learn and find", "[nonce][concurrency]") {
  const auto storage = std::make_shared<MapStorage>();
  NonceCache cache(storage, 5);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 500; ++i) {
        const auto origin = "https://" + std::to_string((t + i) % 10);
        cache.learn(origin, "k", origin);
        static_cast<void>(cache.find(origin, "k"));
      }
    });
  }
  threads.clear();
  for (int i = 0; i < 10; ++i) {
    const auto origin = "https://" + std::to_string(i);
    CHECK(cache.find(origin, "k") == origin);
  }
}
