// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.test.fleet;
import latchkey.test.postgres_place;
import latchkey.test.postgres_proxy;
import latchkey.test.support;

// New data keys and master keys while other machines work: nothing becomes unreadable for any.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::span<const std::string> kNothingElse{};

Bytes sealed(KeyVault& vault) {
  return vault.sealer()->seal(as_bytes("session"), "context").value();
}

std::string opened(KeyVault& vault, const Bytes& box) {
  return outcome(vault.sealer()->open(box, "context"));
}

// "2 0 1": keys sealed with each data key, newest first.
std::string uses(ManagedKeyVault& vault) {
  std::string text;
  for (const auto& use : vault.status().value().data_keys) {
    text += (text.empty() ? "" : " ") + std::to_string(use.keys);
  }
  return text;
}

}  // namespace

TEST_CASE(
    "postgres rotation: another machine opens with the new data key at once, and seals with "
    "it within a second",
    "[postgres][rotation]") {
  const Fleet fleet;
  const auto one = fleet.vault(), other = fleet.vault();
  REQUIRE(one->put("id", key_of("mine")));
  const auto before = sealed(*other);
  fleet.clock->advance(999ms);
  REQUIRE(outcome(one->add_data_key()) == "ok");
  CHECK_FALSE(one->sealer()->is_current(before));
  REQUIRE(one->reseal_keys());
  CHECK(sealed_with(sealed(*other)) == sealed_with(before));
  fleet.clock->advance(1ms);
  CHECK(sealed_with(sealed(*other)) == sealed_with(sealed(*one)));
  CHECK_FALSE(other->sealer()->is_current(before));
  CHECK(opened(*one, before) == "ok");
  CHECK(text_of(*other, "id") == "mine");
}

TEST_CASE("postgres rotation: what another machine sealed with a new data key opens at once",
          "[postgres][rotation]") {
  const Fleet fleet;
  const auto one = fleet.vault(), other = fleet.vault();
  static_cast<void>(sealed(*other));
  REQUIRE(one->add_data_key());
  CHECK(opened(*other, sealed(*one)) == "ok");
  // And having learnt of it, it is used.
  CHECK(sealed_with(sealed(*other)) == sealed_with(sealed(*one)));
}

TEST_CASE("postgres rotation: sealing asks the database once a second, and not for each box",
          "[postgres][rotation]") {
  const Fleet fleet;
  const auto vault = fleet.vault();
  static_cast<void>(sealed(*vault));
  const auto before = vault->database()->counts().statements;
  for (int i = 0; i < 100; ++i) static_cast<void>(sealed(*vault));
  CHECK(vault->database()->counts().statements == before);
  fleet.clock->advance(1s);
  for (int i = 0; i < 100; ++i) static_cast<void>(sealed(*vault));
  CHECK(vault->database()->counts().statements == before + 1);
}

TEST_CASE("postgres rotation: keys are sealed anew page by page, with progress, and once",
          "[postgres][rotation]") {
  const Fleet fleet;
  const auto vault = fleet.vault();
  constexpr std::size_t kKeys = 510;  // more than a page
  for (std::size_t i = 0; i < kKeys; ++i) {
    REQUIRE(vault->put("key" + std::to_string(i), key_of("key")));
  }
  REQUIRE(vault->add_data_key());
  std::size_t last = 0;
  const auto done = vault->reseal_keys([&](std::size_t at, std::size_t total) {
    CHECK(at == ++last);
    CHECK(total == kKeys);
  });
  REQUIRE(outcome(done) == "ok");
  CHECK(done->total == kKeys);
  CHECK(done->resealed == kKeys);
  CHECK(last == kKeys);
  CHECK(uses(*vault) == "510 0");
  CHECK(vault->reseal_keys().value().resealed == 0);
  CHECK(text_of(*fleet.vault(), "key509") == "key");
}

TEST_CASE("postgres rotation: stopped in the middle, it goes on elsewhere where it was",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("key", key_of("key")));
  // A second page, of keys that do not open.
  fleet.place.run(
      "INSERT INTO latchkey_keys SELECT 'a' || n, box, stored_at FROM latchkey_keys, "
      "generate_series(1, 600) n");
  REQUIRE(vault->add_data_key());
  std::stop_source stop;
  std::size_t done = 0;
  CHECK(outcome(vault->reseal_keys(
            [&](std::size_t at, std::size_t total) {
              CHECK(total == 601);
              done = at;
              if (at == 3) stop.request_stop();
            },
            stop.get_token())) == "cancelled vault.cancelled");
  CHECK(done == 3);
  CHECK(uses(*vault) == "0 1");
  const auto rest = fleet.vault()->reseal_keys().value();
  CHECK(rest.resealed == 1);
  CHECK(rest.unreadable.size() == 600);
}

TEST_CASE("postgres rotation: a page of keys is one transaction", "[postgres][rotation]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  for (int i = 0; i < 20; ++i) REQUIRE(vault->put(std::to_string(i), key_of("key")));
  REQUIRE(vault->add_data_key());
  CHECK(vault->reseal_keys().value().resealed == 20);
  CHECK(fleet.place.value("SELECT count(DISTINCT xmin::text) FROM latchkey_keys") == "1");
}

TEST_CASE("postgres rotation: a key that cannot be read is reported, and stays as it is",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  for (const std::string_view id : {"a", "b"}) REQUIRE(vault->put(id, key_of(id)));
  fleet.place.run(
      "UPDATE latchkey_keys SET box = set_byte(box, 60, 255 - get_byte(box, 60)) WHERE id = 'a'");
  const auto damaged = fleet.place.value("SELECT box FROM latchkey_keys WHERE id = 'a'");
  REQUIRE(vault->add_data_key());
  const auto done = vault->reseal_keys().value();
  CHECK(done.resealed == 1);
  REQUIRE(done.unreadable.size() == 1);
  CHECK(outcome(done.unreadable[0]) == "corrupt box.altered");
  CHECK(fleet.place.value("SELECT box FROM latchkey_keys WHERE id = 'a'") == damaged);
  fleet.clock->advance(kDataKeyGrace);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 0);  // it is still needed
  fleet.place.run("UPDATE latchkey_keys SET box = '' WHERE id = 'a'");
  CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "corrupt vault.key_truncated");
}

TEST_CASE(
    "postgres rotation: beside machines that seal and put, and another rotation, nothing is "
    "lost",
    "[postgres][rotation][concurrency]") {
  const Fleet fleet;
  const auto first = fleet.vault();
  std::vector<std::vector<Bytes>> boxes(2);
  std::vector<std::string> outcomes(2);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto own = fleet.vault();
        for (int n = 0; n < 20; ++n) {
          boxes[i].push_back(sealed(*own));
          fleet.clock->advance(300ms);
          static_cast<void>(own->put(std::to_string(i) + "-" + std::to_string(n), key_of("k")));
        }
      });
      threads.emplace_back([&, i] {
        const auto own = fleet.vault();
        for (int n = 0; n < 5 && outcomes[i].empty(); ++n) {
          if (const auto added = own->add_data_key(); !added) outcomes[i] = outcome(added);
          if (const auto done = own->reseal_keys(); !done) outcomes[i] = outcome(done);
        }
      });
    }
  }
  CHECK(outcomes == std::vector<std::string>(2));
  const auto again = fleet.vault();
  CHECK(again->status().value().data_keys.size() == 11);
  for (const auto& each : boxes) {
    for (const auto& box : each) CHECK(opened(*again, box) == "ok");
  }
  CHECK(again->list().value().size() == 40);
  CHECK(outcome(again->reseal_keys()) == "ok");
  CHECK(again->status().value().data_keys.front().keys == 40);
}

TEST_CASE("postgres rotation: old data keys are dropped when nothing needs them, and not sooner",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("id", key_of("mine")));
  const auto box = sealed(*vault);
  REQUIRE(vault->add_data_key());
  REQUIRE(vault->reseal_keys());
  CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "locked vault.rotated_recently");
  fleet.clock->advance(kDataKeyGrace - 1ms);
  CHECK(outcome(fleet.vault()->drop_old_data_keys(kNothingElse)) ==
        "locked vault.rotated_recently");
  fleet.clock->advance(1ms);
  const std::vector<std::string> used{sealed_with(box)};
  CHECK(vault->drop_old_data_keys(used).value() == 0);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 1);
  CHECK(opened(*fleet.vault(), box) == "wrong_key box.unknown_key");
  CHECK(text_of(*fleet.vault(), "id") == "mine");
}

TEST_CASE("postgres rotation: without a note that can be believed, the time runs from now",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->add_data_key());
  for (const std::string_view damaged :
       {"NULL", "''", "substring(rotation from 1 for 20)", "decode(repeat('00', 300), 'hex')",
        "set_byte(rotation, 40, 255 - get_byte(rotation, 40))"}) {
    fleet.clock->advance(kDataKeyGrace);
    fleet.place.run("UPDATE latchkey_vault SET rotation = " + std::string(damaged));
    CHECK(outcome(vault->drop_old_data_keys(kNothingElse)) == "locked vault.rotated_recently");
  }
  fleet.clock->advance(kDataKeyGrace);
  CHECK(vault->drop_old_data_keys(kNothingElse).value() == 1);
}

TEST_CASE("postgres rotation: a data key is added once, though the answer is lost",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto other = fleet.vault();
  const auto& address = fleet.place.address();
  PostgresProxy proxy(
      static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  const auto vault = PostgresKeyVault::open(fleet.database(with_port(address, proxy.port())),
                                            MasterKey::key_file(fleet.key_file()))
                         .value();
  REQUIRE(vault->put("id", key_of("mine")));
  // The note is written first, then the header.
  proxy.cut_answer_with("UPDATE 1");
  REQUIRE(outcome(vault->add_data_key()) == "ok");
  REQUIRE(proxy.cuts() == 1);
  CHECK(uses(*other) == "0 1");
  proxy.cut_answer_with("COMMIT");
  CHECK(vault->reseal_keys().value().resealed == 1);
  CHECK(proxy.cuts() == 2);
  CHECK(uses(*other) == "1 0");
}

TEST_CASE("postgres rewrap: machines that have the vault open go on, others need the new key",
          "[postgres][rotation]") {
  const Fleet fleet;
  const auto one = fleet.vault(), other = fleet.vault();
  REQUIRE(one->put("id", key_of("mine")));
  const auto box = sealed(*one);
  REQUIRE(outcome(one->rewrap(MasterKey::key_file(fleet.key_file("second")))) == "ok");
  CHECK(outcome(fleet.open()) == "wrong_key vault.wrong_master_key");
  CHECK(text_of(*fleet.open("second").value(), "id") == "mine");
  CHECK(text_of(*other, "id") == "mine");
  CHECK(opened(*other, box) == "ok");
  CHECK(outcome(other->status()) == "locked vault.rewrapped");
  CHECK(outcome(other->add_data_key()) == "locked vault.rewrapped");
  CHECK(outcome(one->add_data_key()) == "ok");
  // What the other one has to save is not lost: it is sealed with the data key that it has.
  fleet.clock->advance(2s);
  CHECK(opened(*one, sealed(*other)) == "ok");
  CHECK(opened(*other, sealed(*one)) == "locked vault.rewrapped");
  fleet.clock->advance(kDataKeyGrace);
  REQUIRE(one->drop_old_data_keys(kNothingElse));
  CHECK(outcome(other->sealer()->seal(as_bytes("session"), "context")) == "locked vault.rewrapped");
}

TEST_CASE("postgres rewrap: while the database can't be asked, no look counts as a good one",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto one = fleet.vault(), other = fleet.vault();
  REQUIRE(outcome(one->rewrap(MasterKey::key_file(fleet.key_file("second")))) == "ok");
  REQUIRE(one->add_data_key());
  const auto seal = [&] {
    fleet.clock->advance(2s);
    return outcome(other->sealer()->seal(as_bytes("session"), "context"));
  };
  fleet.place.run("ALTER TABLE latchkey_vault RENAME TO latchkey_gone");
  CHECK(seal() == "ok");
  fleet.clock->advance(kSealingGrace - 5s);
  CHECK(seal() == "ok");
  fleet.clock->advance(5s);
  CHECK(seal() != "ok");
  fleet.place.run("ALTER TABLE latchkey_gone RENAME TO latchkey_vault");
  CHECK(seal() == "locked vault.rewrapped");
}

TEST_CASE("postgres rewrap: of two at once the last one counts, and its key opens the vault",
          "[postgres][rotation][concurrency]") {
  const Fleet fleet;
  const auto one = fleet.vault(), other = fleet.vault();
  REQUIRE(one->put("id", key_of("mine")));
  std::string first, second;
  {
    const std::jthread a(
        [&] { first = outcome(one->rewrap(MasterKey::key_file(fleet.key_file("a")))); });
    const std::jthread b(
        [&] { second = outcome(other->rewrap(MasterKey::key_file(fleet.key_file("b")))); });
  }
  // Who comes second has never had the first one's key.
  CHECK((first == "ok") != (second == "ok"));
  CHECK((first == "ok" ? second : first) == "locked vault.rewrapped");
  CHECK(text_of(*fleet.open(first == "ok" ? "a" : "b").value(), "id") == "mine");
}
