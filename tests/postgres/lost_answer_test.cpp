// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.postgres_proxy;
import latchkey.test.postgres_store_place;
import latchkey.test.rules;

// The connection breaks in the midst of an operation: before the server has heard of it, and after
// it was carried out. Either way it is carried out once, and succeeds.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kOrigin = "https://a.example";
const TimePoint kNow(1'790'000'000'000ms);

std::uint16_t port_in(const std::string& address) {
  const auto colon = address.rfind(':');
  return static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
}

PendingRecord pending() {
  return {.key = sha256_base64url("state"), .expires_at = kNow + 10min, .box = {1, 2, 3}};
}

RefreshClaim claim_of(std::uint64_t id) {
  return {.subject = std::string(kAlice),
          .revision = {1},
          .id = id,
          .at = kNow,
          .pid = 1,
          .host = "one"};
}

// A machine whose way to the database is about to break, and one that looks on.
struct Shaky {
  PostgresStorePlace place{};
  PostgresProxy proxy{port_in(place.database().address())};
  Machine machine = place.machine(proxy.port());
  Machine witness = place.machine();
  OAuthTokenStore& store = *machine.store;

  [[nodiscard]] std::unique_ptr<Lease> lease() const {
    return machine.store->lease(kAlice, {.deadline = SystemClock().steady_now()}).value();
  }
};

struct Operation {
  std::string name;
  std::string marker;  // what its statement has in it
  std::function<void(Shaky&)> prepare;
  std::function<std::string(Shaky&)> act;
  std::function<bool(Shaky&)> is_done;
};

bool is_kept(Shaky& s, std::string_view table) {
  return s.place.database().value("SELECT count(*) FROM " + std::string(table)) != "0";
}

std::vector<Operation> operations() {
  const std::string alice(kAlice);
  const auto nothing = [](Shaky&) {};
  const auto saved = [](Shaky& s) { put(*s.witness.store, kAlice, 1).value(); };
  return {
      {"a first save", alice, nothing, [](Shaky& s) { return outcome(put(s.store, kAlice, 1)); },
       [](Shaky& s) { return stored(*s.witness.store, kAlice) == 1; }},
      {"a save", alice, saved, [](Shaky& s) { return outcome(put(s.store, kAlice, 2, {1})); },
       [](Shaky& s) { return stored(*s.witness.store, kAlice) == 2; }},
      {"a removal", alice, saved, [](Shaky& s) { return outcome(s.store.remove(kAlice, {1})); },
       [](Shaky& s) { return stored(*s.witness.store, kAlice) == 0; }},
      {"a load", alice, saved,
       [](Shaky& s) { return stored(s.store, kAlice) == 1 ? "ok" : "absent"; },
       [](Shaky&) { return true; }},
      {"a claim", alice, saved, [](Shaky& s) { return outcome(s.store.save_claim(claim_of(5))); },
       [](Shaky& s) { return s.witness.store->load_claim(kAlice).value() == claim_of(5); }},
      {"the end of a claim", alice,
       [saved](Shaky& s) {
         saved(s);
         s.witness.store->save_claim(claim_of(5)).value();
       },
       [](Shaky& s) { return outcome(s.store.clear_claim(kAlice, 5)); },
       [](Shaky& s) { return !is_kept(s, "latchkey_claims"); }},
      {"a lease", alice, nothing, [](Shaky& s) { return s.lease()->still_held() ? "ok" : "lost"; },
       [](Shaky& s) { return s.place.lease("fence", kAlice) == "1"; }},
      {"a pending login", pending().key, nothing,
       [](Shaky& s) { return outcome(s.store.save_pending(pending(), kNow)); },
       [](Shaky& s) { return is_kept(s, "latchkey_pending"); }},
      {"taking a pending login", pending().key,
       [](Shaky& s) { s.witness.store->save_pending(pending(), kNow).value(); },
       [](Shaky& s) {
         const auto taken = s.store.take_pending(pending().key, kNow).value();
         return taken && taken->box == pending().box ? "ok" : "absent";
       },
       [](Shaky& s) { return !is_kept(s, "latchkey_pending"); }},
      {"moving a record aside",
       "postgres.column",  // among what is written, and not in what is read
       [saved](Shaky& s) {
         saved(s);
         REQUIRE(s.place.damage(kAlice));
       },
       [](Shaky& s) { return outcome(s.store.quarantine(kAlice)); },
       [](Shaky& s) { return s.witness.store->quarantined().value().size() == 1; }},
  };
}

}  // namespace

TEST_CASE("postgres store: a connection that breaks in the midst of an operation is no failure",
          "[postgres][store]") {
  const bool is_carried_out = GENERATE(false, true);
  for (const Operation& operation : operations()) {
    CAPTURE(operation.name, is_carried_out);
    Shaky shaky;
    operation.prepare(shaky);
    if (is_carried_out) {
      shaky.proxy.cut_answer_to(operation.marker);
    } else {
      shaky.proxy.cut_question_with(operation.marker);
    }
    CHECK(operation.act(shaky) == "ok");
    CHECK(shaky.proxy.cuts() == 1);
    CHECK(operation.is_done(shaky));
  }
}

TEST_CASE("postgres store: a lost answer is still a conflict when somebody else was first",
          "[postgres][store]") {
  Shaky shaky;
  REQUIRE(put(*shaky.witness.store, kAlice, 1));
  REQUIRE(put(*shaky.witness.store, kAlice, 2, {1}));
  shaky.proxy.cut_answer_to(std::string(kAlice));
  SECTION("a save") {
    CHECK(outcome(put(shaky.store, kAlice, 3, {1})) == "conflict store.conflict");
  }
  SECTION("a first save") {
    CHECK(outcome(put(shaky.store, kAlice, 3)) == "conflict store.conflict");
  }
  SECTION("a removal") {
    CHECK(outcome(shaky.store.remove(kAlice, {1})) == "conflict store.conflict");
  }
  CHECK(shaky.proxy.cuts() == 1);
  CHECK(stored(*shaky.witness.store, kAlice) == 2);
}

TEST_CASE("postgres lease: one whose answer was lost is held once, and can be released",
          "[postgres][lease]") {
  Shaky shaky;
  shaky.proxy.cut_answer_to(std::string(kAlice));
  auto held = shaky.lease();
  CHECK(shaky.proxy.cuts() == 1);
  CHECK(shaky.place.lease("fence", kAlice) == "1");
  CHECK(held->still_held());
  shaky.proxy.cut_answer_to(std::string(kAlice));
  CHECK(held->still_held());
  shaky.proxy.cut_answer_to(std::string(kAlice));
  held.reset();
  CHECK(shaky.proxy.cuts() == 3);
  CHECK(outcome(shaky.witness.store->lease(kAlice, {.deadline = SystemClock().steady_now()})) ==
        "ok");
}

TEST_CASE("postgres lease: one that is another's stays so when the answer was lost",
          "[postgres][lease]") {
  Shaky shaky;
  const auto theirs =
      shaky.witness.store->lease(kAlice, {.deadline = SystemClock().steady_now()}).value();
  shaky.proxy.cut_answer_to(std::string(kAlice));
  CHECK(outcome(shaky.store.lease(kAlice, {.deadline = SystemClock().steady_now()})) ==
        "locked lease.timeout");
  CHECK(shaky.proxy.cuts() == 1);
}

TEST_CASE("postgres lease: one that was taken and not answered for is released by the failed call",
          "[postgres][lease]") {
  PostgresStorePlace place;
  PostgresProxy proxy(port_in(place.database().address()));
  const Machine machine = place.machine(proxy.port(), {.recovery = 0ms});
  proxy.cut_answer_to(std::string(kAlice));
  CHECK(outcome(machine.store->lease(kAlice, {.deadline = SystemClock().steady_now()})) ==
        "io postgres.connection_lost");
  CHECK(proxy.cuts() == 1);
  CHECK(place.lease("fence", kAlice) == "1");
  CHECK(place.lease("holder", kAlice) == "0");
}

TEST_CASE("postgres store: a nonce is not worth a second attempt", "[postgres][store]") {
  Shaky shaky;
  shaky.proxy.cut_question_with(std::string(kOrigin));
  shaky.store.save_nonce(kOrigin, "key", "nonce");
  CHECK(shaky.proxy.cuts() == 1);
  CHECK(shaky.machine.database->counts().repeated == 0);
  CHECK_FALSE(shaky.witness.store->load_nonce(kOrigin, "key").has_value());
  shaky.store.save_nonce(kOrigin, "key", "nonce");
  CHECK(shaky.store.load_nonce(kOrigin, "key") == "nonce");
}

TEST_CASE("postgres pending: of two at once exactly one takes it, also when an answer is lost",
          "[postgres][store][concurrency]") {
  for (int round = 0; round < 5; ++round) {
    Shaky shaky;
    REQUIRE(shaky.witness.store->save_pending(pending(), kNow));
    shaky.proxy.cut_answer_to(pending().key);
    std::atomic<int> takers = 0;
    on_threads(2, [&](int thread) {
      auto& store = thread == 0 ? shaky.store : *shaky.witness.store;
      takers += store.take_pending(pending().key, kNow).value().has_value();
    });
    CHECK(takers == 1);
  }
}
