// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.test.key_ids;
import latchkey.test.outcome;
import latchkey.test.vault_kinds;

// What every KeyVault promises, over the kinds of this program.

using namespace latchkey;
using namespace latchkey::test;

namespace {

VaultUnderTest any_vault() {
  return GENERATE(from_range(vault_kinds())).make();
}

SecretBytes key(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

}  // namespace

TEST_CASE("key vault: keeps keys under their ids, byte for byte", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  CHECK(text_of(vault, "one") == "absent");
  CHECK(outcome(vault.put("one", key("first key"))) == "ok");
  CHECK(outcome(vault.put("two", key(std::string("\0\xFF", 2)))) == "ok");
  CHECK(text_of(vault, "one") == "first key");
  CHECK(text_of(vault, "two") == std::string("\0\xFF", 2));
}

TEST_CASE("key vault: ids that differ in case only are two ids", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  REQUIRE(vault.put("aB", key("1")));
  REQUIRE(vault.put("Ab", key("2")));
  REQUIRE(vault.put("ab", key("3")));
  CHECK(text_of(vault, "aB") + text_of(vault, "Ab") + text_of(vault, "ab") == "123");
}

TEST_CASE("key vault: never overwrites a key with another", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  REQUIRE(vault.put("id", key("mine")));
  CHECK(outcome(vault.put("id", key("mine"))) == "ok");
  CHECK(outcome(vault.put("id", key("other"))) == "conflict vault.exists");
  CHECK(outcome(vault.put("id", key("min"))) == "conflict vault.exists");
  CHECK(text_of(vault, "id") == "mine");
}

TEST_CASE("key vault: removes what is there, and does not mind what is not", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  REQUIRE(vault.put("id", key("mine")));
  CHECK(outcome(vault.remove("id")) == "ok");
  CHECK(outcome(vault.remove("id")) == "ok");
  CHECK(text_of(vault, "id") == "absent");
  CHECK(outcome(vault.put("id", key("other"))) == "ok");
  CHECK(text_of(vault, "id") == "other");
}

TEST_CASE("key vault: lists ids in ascending order", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  CHECK(vault.list().value().empty());
  for (const std::string_view id : {"b", "a", "_", "B", "-0", "ab"})
    REQUIRE(vault.put(id, key(id)));
  CHECK(key_ids(vault) == std::vector<std::string>{"-0", "B", "_", "a", "ab", "b"});
}

TEST_CASE("key vault: takes ids of 1 to 128 characters of base64url only", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  CHECK(outcome(vault.put(std::string(128, 'Z'), key("long"))) == "ok");
  CHECK(text_of(vault, std::string(128, 'Z')) == "long");
  const std::string bad = "invalid_argument vault.id";
  for (const std::string& id :
       {std::string(), std::string(129, 'Z'), std::string("a/b"), std::string(".."),
        std::string("a b"), std::string("a=\0", 3), std::string("\xC3\xA9")}) {
    CHECK(outcome(vault.put(id, key("k"))) == bad);
    CHECK(outcome(vault.get(id)) == bad);
    CHECK(outcome(vault.remove(id)) == bad);
  }
}

TEST_CASE("key vault: takes keys of 1 byte to 16 KiB only", "[vault]") {
  const auto subject = any_vault();
  auto& vault = *subject.vault;
  const std::string largest(kMaxVaultKeySize, 'k');
  CHECK(outcome(vault.put("largest", key(largest))) == "ok");
  CHECK(text_of(vault, "largest") == largest);
  CHECK(outcome(vault.put("id", key(largest + "k"))) == "invalid_argument vault.key_size");
  CHECK(outcome(vault.put("id", SecretBytes())) == "invalid_argument vault.key_size");
  CHECK(text_of(vault, "id") == "absent");
}

TEST_CASE("key vault: its sealer opens what it sealed, and nothing of another vault", "[vault]") {
  const auto kind = GENERATE(from_range(vault_kinds()));
  const auto subject = kind.make(), other = kind.make();
  const auto box = subject.vault->sealer()->seal(as_bytes("text"), "c").value();
  CHECK(as_text(subject.vault->sealer()->open(box, "c").value().expose()) == "text");
  CHECK(outcome(other.vault->sealer()->open(box, "c")) == "wrong_key box.unknown_key");
}

TEST_CASE("key vault: of threads that put different keys under one id exactly one wins",
          "[vault][concurrency]") {
  const auto subject = any_vault();
  constexpr std::size_t kThreads = 8;
  std::vector<std::string> outcomes(kThreads);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back(
          [&, i] { outcomes[i] = outcome(subject.vault->put("id", key(std::to_string(i)))); });
    }
  }
  std::size_t winners = 0;
  for (std::size_t i = 0; i < kThreads; ++i) {
    if (outcomes[i] == "ok") {
      ++winners;
      CHECK(text_of(*subject.vault, "id") == std::to_string(i));
    } else {
      CHECK(outcomes[i] == "conflict vault.exists");
    }
  }
  CHECK(winners == 1);
}

TEST_CASE("key vault: tells when each key was stored", "[vault]") {
  const auto subject = any_vault();
  const auto before = SystemClock().now();
  REQUIRE(subject.vault->put("one", key("first")));
  const auto stored = subject.vault->list().value().at(0).stored_at;
  // A file system's clock may lag behind by a tick.
  CHECK(stored >= before - std::chrono::seconds(1));
  CHECK(stored <= SystemClock().now());
}

TEST_CASE("memory vault: goes by the clock that it is given", "[vault]") {
  const auto clock = std::make_shared<ManualClock>(TimePoint(std::chrono::hours(1000)));
  const auto vault = memory_vault(clock);
  REQUIRE(vault->put("a", key("first")));
  clock->advance(std::chrono::hours(1));
  REQUIRE(vault->put("b", key("second")));
  REQUIRE(vault->put("a", key("first")));  // there already
  CHECK(vault->list().value() ==
        std::vector<VaultKeyInfo>{{"a", TimePoint(std::chrono::hours(1000))},
                                  {"b", TimePoint(std::chrono::hours(1001))}});
}
