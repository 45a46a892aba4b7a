// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.fleet;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.rules;

// Sessions and their keys in one database: what belongs together comes and goes together.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kKey = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";  // record_of's
constexpr std::string_view kOtherKey = "otherkey";

struct Keyed {
  Fleet fleet;
  std::shared_ptr<PostgresKeyVault> vault = fleet.vault();
  std::shared_ptr<OAuthTokenStore> store =
      PostgresOAuthTokenStore::open(vault->database(), vault).value();

  Keyed() { vault->put(kKey, key_of("private")).value(); }

  [[nodiscard]] bool has(std::string_view id) const { return vault->get(id).value().has_value(); }
  [[nodiscard]] Result<void> put_keyed(std::string_view subject, std::uint64_t revision,
                                       Revision expected, std::string_view key) const {
    auto record = record_of(subject, revision);
    record.summary.dpop_jkt = key;
    return store->save_record(record, expected);
  }
  /// All keys have lain there for two days.
  void age() { fleet.place.run("UPDATE latchkey_keys SET stored_at = stored_at - 172800000"); }
  [[nodiscard]] std::size_t sweep() const { return store->sweep(fleet.clock->now()).value().keys; }
};

}  // namespace

TEST_CASE("postgres keys: a session whose key is not there is not saved", "[postgres][keys]") {
  Keyed k;
  CHECK(outcome(k.put_keyed(kAlice, 1, kNone, "absent")) == "key_missing vault.key_missing");
  CHECK(stored(*k.store, kAlice) == 0);
  CHECK(outcome(k.put_keyed(kAlice, 1, kNone, kKey)) == "ok");
  CHECK(outcome(k.put_keyed(kAlice, 2, {1}, "absent")) == "key_missing vault.key_missing");
  CHECK(stored(*k.store, kAlice) == 1);
}

TEST_CASE("postgres keys: a conflict is a conflict, whether the key is there or not",
          "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  for (const auto key : {kKey, std::string_view("absent")}) {
    CHECK(outcome(k.put_keyed(kAlice, 2, kNone, key)) == "conflict store.conflict");
    CHECK(outcome(k.put_keyed(kAlice, 2, {9}, key)) == "conflict store.conflict");
  }
}

TEST_CASE("postgres keys: a session without a key needs none", "[postgres][keys]") {
  Keyed k;
  CHECK(outcome(k.put_keyed(kAlice, 1, kNone, "")) == "ok");
  CHECK(outcome(k.put_keyed(kAlice, 2, {1}, "")) == "ok");
  CHECK(outcome(k.store->remove(kAlice, {2})) == "ok");
  CHECK(k.has(kKey));
}

TEST_CASE("postgres keys: a renewal is saved, whatever has become of the key", "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  REQUIRE(k.vault->remove(kKey));
  CHECK(outcome(k.put_keyed(kAlice, 2, {1}, kKey)) == "ok");
}

TEST_CASE("postgres keys: a session that is removed takes its key along", "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  CHECK(outcome(k.store->remove(kAlice, {9})) == "conflict store.conflict");
  CHECK(k.has(kKey));
  REQUIRE(k.store->remove(kAlice, {1}));
  CHECK_FALSE(k.has(kKey));
}

TEST_CASE("postgres keys: a key that another session has stays", "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  REQUIRE(k.put_keyed(kBob, 1, kNone, kKey));
  REQUIRE(k.store->remove(kAlice, {1}));
  CHECK(k.has(kKey));
  REQUIRE(k.store->remove(kBob, {1}));
  CHECK_FALSE(k.has(kKey));
}

TEST_CASE("postgres keys: a key that a quarantined session has stays", "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  REQUIRE(k.store->quarantine(kAlice));  // its box is none
  REQUIRE(k.put_keyed(kBob, 1, kNone, kKey));
  REQUIRE(k.store->remove(kBob, {1}));
  CHECK(k.has(kKey));
  k.age();
  CHECK(k.sweep() == 0);
  CHECK(k.has(kKey));
}

TEST_CASE("postgres keys: a store with its keys elsewhere asks for none, and takes none along",
          "[postgres][keys]") {
  Keyed k;
  const auto apart = PostgresOAuthTokenStore::open(k.vault->database(), k.vault->sealer()).value();
  REQUIRE(put(*apart, kAlice, 1));
  REQUIRE(apart->remove(kAlice, {1}));
  CHECK(k.has(kKey));
  k.age();
  CHECK(apart->sweep(k.fleet.clock->now()).value().keys == 0);
  CHECK(k.has(kKey));
}

TEST_CASE("postgres sweep: keys that nobody needs go after a day", "[postgres][keys]") {
  Keyed k;
  REQUIRE(k.vault->put(kOtherKey, key_of("left by a login")));
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  CHECK(k.sweep() == 0);
  k.age();
  CHECK(k.sweep() == 1);
  CHECK(k.has(kKey));
  CHECK_FALSE(k.has(kOtherKey));
}

TEST_CASE("postgres sweep: a save that begins to use a key beside it keeps that key",
          "[postgres][keys][concurrency]") {
  Keyed k;
  k.age();
  // By 1: of a machine whose clock is far behind.
  const std::int64_t later = GENERATE(1, 172800001);
  // The save as the store makes it, in a transaction that is still open when the sweep looks.
  const auto other = PostgresConnection::open(k.fleet.place.secret_address()).value();
  REQUIRE(other->script("BEGIN"));
  REQUIRE(
      other->script("UPDATE latchkey_keys SET stored_at = stored_at + " + std::to_string(later)));
  REQUIRE(other->script(
      "INSERT INTO latchkey_sessions SELECT 'did:plc:alice', 1, '', '', '', '', '', '', 'none', "
      "'', '', '', '', id, '', 0, NULL, NULL, 0, 1, 'active', '', NULL, '' FROM latchkey_keys"));
  auto sweep = std::async(std::launch::async, [&] { return k.sweep(); });
  while (k.fleet.place.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                             "AND datname = current_database()") == "0") {
  }
  REQUIRE(other->script("COMMIT"));
  CHECK(sweep.get() == 0);
  CHECK(k.has(kKey));
}

TEST_CASE("postgres sweep: a save that comes just after it finds the key gone",
          "[postgres][keys][concurrency]") {
  Keyed k;
  const auto other = PostgresConnection::open(k.fleet.place.secret_address()).value();
  REQUIRE(other->script("BEGIN"));
  REQUIRE(other->script("DELETE FROM latchkey_keys"));
  auto save =
      std::async(std::launch::async, [&] { return outcome(k.put_keyed(kAlice, 1, kNone, kKey)); });
  while (k.fleet.place.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                             "AND datname = current_database()") == "0") {
  }
  REQUIRE(other->script("COMMIT"));
  CHECK(save.get() == "key_missing vault.key_missing");
  CHECK(stored(*k.store, kAlice) == 0);
}

TEST_CASE("postgres remove: a save that begins to use the key beside it keeps that key",
          "[postgres][keys][concurrency]") {
  Keyed k;
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  const auto other = PostgresConnection::open(k.fleet.place.secret_address()).value();
  REQUIRE(other->script("BEGIN"));
  REQUIRE(other->script("UPDATE latchkey_keys SET stored_at = stored_at + 1"));
  REQUIRE(
      other->script("INSERT INTO latchkey_sessions SELECT 'did:plc:bob', revision, '', '', '', "
                    "'', '', '', 'none', '', '', '', '', dpop_jkt, '', 0, NULL, NULL, 0, 1, "
                    "'active', '', NULL, '' FROM latchkey_sessions"));
  auto removal =
      std::async(std::launch::async, [&] { return outcome(k.store->remove(kAlice, {1})); });
  while (k.fleet.place.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                             "AND datname = current_database()") == "0") {
  }
  REQUIRE(other->script("COMMIT"));
  CHECK(removal.get() == "ok");
  CHECK(stored(*k.store, kAlice) == 0);
  CHECK(k.has(kKey));
}

TEST_CASE("postgres sweep: claims, leases and nonces of sessions that are gone, when they are old",
          "[postgres][store]") {
  Keyed k;
  const TimePoint now = k.fleet.clock->now();
  REQUIRE(k.put_keyed(kAlice, 1, kNone, kKey));
  for (const auto subject : {kAlice, kBob}) {
    static_cast<void>(k.store->lease(subject, {.deadline = SystemClock().steady_now()}).value());
    REQUIRE(k.store->save_claim({.subject = std::string(subject),
                                 .revision = {1},
                                 .id = 5,
                                 .at = now,
                                 .pid = 1,
                                 .host = "one"}));
  }
  k.store->save_nonce("https://a.example", kKey, "nonce");
  k.store->save_nonce("https://a.example", kOtherKey, "nonce");
  k.store->save_nonce("https://b.example", kOtherKey, "nonce");
  const auto held =
      k.store->lease("did:plc:carol", {.deadline = SystemClock().steady_now()}).value();

  CHECK(k.store->sweep(now).value().others == 1);  // Bob's lease, which was released
  CHECK(k.store->sweep(now + 1h).value().others == 0);
  CHECK(k.store->sweep(now + 1h + 1ms).value().others == 1);  // his claim
  CHECK(k.store->sweep(now + 24h).value().others == 0);
  CHECK(k.store->sweep(now + 24h + 1ms).value().others == 2);  // the other key's nonces
  CHECK(k.store->load_claim(kAlice).value().has_value());
  CHECK(k.store->load_nonce("https://a.example", kKey) == "nonce");
  CHECK(k.fleet.place.value("SELECT count(*) FROM latchkey_leases") == "2");
  CHECK(held->still_held());
  CHECK(stored(*k.store, kAlice) == 1);
}

TEST_CASE("postgres sweep: more than fit one page", "[postgres][store]") {
  Keyed k;
  k.fleet.place.run(
      "INSERT INTO latchkey_keys SELECT 'key' || n, '', 0 "
      "FROM generate_series(1, 2500) AS n");
  k.fleet.place.run(
      "INSERT INTO latchkey_pending SELECT 'state' || n, 0, '', NULL "
      "FROM generate_series(1, 2500) AS n");
  const auto swept = k.store->sweep(k.fleet.clock->now()).value();
  CHECK(swept.keys == 2500);
  CHECK(swept.pending == 2500);
  CHECK(k.has(kKey));
}
