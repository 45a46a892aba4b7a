// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.test.fleet;
import latchkey.test.key_ids;
import latchkey.test.postgres_place;
import latchkey.test.postgres_proxy;
import latchkey.test.support;

// Sealed keys in a database: damaged, swapped, moved aside, and written over connections that
// break.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::uint16_t port_in(const std::string& address) {
  const auto colon = address.rfind(':');
  return static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
}

// A machine whose connections can be cut.
struct Shaky {
  Fleet fleet;
  std::shared_ptr<PostgresKeyVault> other = fleet.vault();
  PostgresProxy proxy{port_in(fleet.place.address())};
  std::shared_ptr<PostgresDatabase> database =
      fleet.database(with_port(fleet.place.address(), proxy.port()));
  std::shared_ptr<PostgresKeyVault> vault =
      PostgresKeyVault::open(database, MasterKey::key_file(fleet.key_file())).value();
};

}  // namespace

TEST_CASE("postgres vault: a damaged key is an error, and the others are not touched by it",
          "[postgres][vault]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("one", key_of("first")));
  REQUIRE(vault->put("two", key_of("second")));
  const auto box =
      fleet.place.value("SELECT encode(box, 'hex') FROM latchkey_keys WHERE id = 'one'");
  const auto with = [&](const std::string& expression) {
    fleet.place.run("UPDATE latchkey_keys SET box = decode('" + box + "', 'hex') WHERE id = 'one'");
    fleet.place.run("UPDATE latchkey_keys SET box = " + expression + " WHERE id = 'one'");
    return text_of(*vault, "one");
  };
  CHECK(with("box") == "first");
  CHECK(with("''") == "corrupt vault.key_truncated");
  CHECK(with("substring(box from 1 for 10)") == "corrupt vault.key_truncated");
  CHECK(with("substring(box from 1 for 30)") == "corrupt box.truncated");
  CHECK(with("set_byte(box, 0, 0)") == "corrupt vault.key_altered");
  CHECK(with("set_byte(box, 13, 2)") == "schema_too_new vault.key_version");
  CHECK(with("set_byte(box, 15, 112)") == "corrupt vault.key_swapped");
  CHECK(with("set_byte(box, 60, 255 - get_byte(box, 60))") == "corrupt box.altered");
  CHECK(with("box || '\\x00'") == "corrupt box.altered");
  CHECK(with("decode(repeat('00', 17409), 'hex')") == "corrupt vault.key_altered");
  CHECK(outcome(vault->put("one", key_of("first"))) == "corrupt vault.key_altered");
  CHECK(text_of(*vault, "two") == "second");
  CHECK(key_ids(*vault) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("postgres vault: keys swapped between ids open under neither", "[postgres][vault]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("one", key_of("first")));
  REQUIRE(vault->put("two", key_of("second")));
  fleet.place.run(
      "UPDATE latchkey_keys SET box = (SELECT box FROM latchkey_keys other WHERE other.id <> "
      "latchkey_keys.id)");
  CHECK(text_of(*vault, "one") == "corrupt vault.key_swapped");
  CHECK(text_of(*vault, "two") == "corrupt vault.key_swapped");
}

TEST_CASE("postgres vault: a key of another vault is a wrong key", "[postgres][vault]") {
  Fleet fleet, stranger;
  REQUIRE(stranger.vault()->put("one", key_of("first")));
  const auto box = stranger.place.value("SELECT encode(box, 'hex') FROM latchkey_keys");
  const auto vault = fleet.vault();
  fleet.place.run("INSERT INTO latchkey_keys (id, box, stored_at) VALUES ('one', decode('" + box +
                  "', 'hex'), 0)");
  CHECK(text_of(*vault, "one") == "wrong_key box.unknown_key");
  CHECK(outcome(vault->quarantine("one")) == "wrong_key box.unknown_key");
}

TEST_CASE("postgres vault: a corrupt key is moved aside as it is, and makes room",
          "[postgres][vault]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("id", key_of("mine")));
  CHECK(outcome(vault->quarantine("id")) == "conflict vault.readable");
  CHECK(outcome(vault->quarantine("other")) == "invalid_argument vault.no_such_key");
  CHECK(outcome(vault->quarantine("no id")) == "invalid_argument vault.id");
  for (const std::string_view damage : {"'\\x1234'", "decode(repeat('00', 20000), 'hex')"}) {
    fleet.place.run("UPDATE latchkey_keys SET box = " + std::string(damage));
    fleet.clock->advance(1h);
    const auto moved = vault->quarantine("id");
    REQUIRE(outcome(moved) == "ok");
    CHECK(moved->name == "id");
    CHECK(moved->at == fleet.clock->now());
    CHECK(vault->quarantined().value().back() == *moved);
    CHECK(text_of(*vault, "id") == "absent");
    CHECK(outcome(vault->quarantine("id")) == "invalid_argument vault.no_such_key");
    REQUIRE(vault->put("id", key_of("another")));
  }
  CHECK(vault->quarantined().value().at(0).why == "vault.key_altered");
  CHECK(vault->quarantined().value().size() == 2);
  CHECK(fleet.place.value("SELECT octet_length(box) FROM latchkey_quarantined_keys "
                          "ORDER BY quarantined_at LIMIT 1") == "2");
}

TEST_CASE("postgres vault: goes by the clock that its database was given", "[postgres][vault]") {
  const Fleet fleet;
  const auto vault = fleet.vault();
  const auto first = fleet.clock->now();
  REQUIRE(vault->put("id", key_of("mine")));
  fleet.clock->advance(1h);
  REQUIRE(vault->put("id", key_of("mine")));
  CHECK(vault->list().value() == std::vector<VaultKeyInfo>{{"id", first}});
}

TEST_CASE("postgres vault: lists more keys than fit on a page, and counts them",
          "[postgres][vault]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("id", key_of("mine")));
  // None of them opens; lists do not mind.
  fleet.place.run(
      "INSERT INTO latchkey_keys SELECT 'copy' || n, box, stored_at FROM latchkey_keys, "
      "generate_series(1, 5500) n");
  CHECK(vault->list().value().size() == 5501);
  const auto status = vault->status().value();
  CHECK(status.data_keys.at(0).keys == 1);
  CHECK(status.unreadable.size() == 5500);
}

TEST_CASE("postgres vault: a key is put once, however its connection breaks", "[postgres][vault]") {
  Shaky shaky;
  shaky.proxy.cut_question_with("latchkey-key");
  shaky.proxy.cut_answer_with("INSERT 0 1");
  CHECK(outcome(shaky.vault->put("id", key_of("mine"))) == "ok");
  CHECK(shaky.proxy.cuts() >= 1);
  CHECK(text_of(*shaky.other, "id") == "mine");
  CHECK(outcome(shaky.vault->put("id", key_of("other"))) == "conflict vault.exists");
}

TEST_CASE("postgres vault: a key is removed, however its connection breaks", "[postgres][vault]") {
  Shaky shaky;
  REQUIRE(shaky.vault->put("id", key_of("mine")));
  shaky.proxy.cut_answer_with("DELETE 1");
  CHECK(outcome(shaky.vault->remove("id")) == "ok");
  CHECK(shaky.proxy.cuts() == 1);
  CHECK(text_of(*shaky.other, "id") == "absent");
}

TEST_CASE("postgres vault: a key is moved aside once, though its answer is lost",
          "[postgres][vault]") {
  Shaky shaky;
  REQUIRE(shaky.vault->put("id", key_of("mine")));
  shaky.fleet.place.run("UPDATE latchkey_keys SET box = '\\x12'");
  shaky.proxy.cut_answer_with("INSERT 0 1");
  CHECK(outcome(shaky.vault->quarantine("id")) == "ok");
  CHECK(shaky.proxy.cuts() == 1);
  CHECK(shaky.other->quarantined().value().size() == 1);
}

TEST_CASE("postgres vault: created though the answer is lost, it is the one that was written",
          "[postgres][vault]") {
  Fleet fleet;
  static_cast<void>(fleet.database());  // the tables
  PostgresProxy proxy(port_in(fleet.place.address()));
  const auto database = fleet.database(with_port(fleet.place.address(), proxy.port()));
  proxy.cut_answer_with("INSERT 0 1");
  const auto vault = PostgresKeyVault::open(database, MasterKey::key_file(fleet.key_file()));
  REQUIRE(outcome(vault) == "ok");
  CHECK(proxy.cuts() == 1);
  REQUIRE((*vault)->put("id", key_of("mine")));
  CHECK(text_of(*fleet.vault(), "id") == "mine");
  CHECK(fleet.place.value("SELECT changes FROM latchkey_vault") == "1");
}
