// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.store.record;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.postgres_store_place;
import latchkey.test.rules;

// What the rules for all stores do not ask: claims under leases, the revision that decides, and
// what PostgreSQL does to texts.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

RefreshClaim claim_of(std::uint64_t revision, std::uint64_t id) {
  return {.subject = std::string(kAlice),
          .revision = {revision},
          .id = id,
          .at = TimePoint(1'790'000'000'000ms),
          .pid = 1,
          .host = "one"};
}

std::uint64_t claim_in(OAuthTokenStore& store) {
  const auto claim = store.load_claim(kAlice).value();
  return claim ? claim->id : 0;
}

// Two machines, a record of revision 1, and the first one's lease.
struct Pair {
  PostgresStorePlace place{};
  Machine a = place.machine();
  Machine b = place.machine();
  std::unique_ptr<Lease> lease;

  Pair() {
    put(*a.store, kAlice, 1).value();
    lease = take(a);
  }
  [[nodiscard]] static std::unique_ptr<Lease> take(const Machine& machine) {
    return machine.store->lease(kAlice, {.deadline = SystemClock().steady_now()}).value();
  }
  /// The second machine has the lease from now on.
  [[nodiscard]] std::unique_ptr<Lease> take_over() {
    place.expire_lease(kAlice);
    return take(b);
  }
};

}  // namespace

TEST_CASE("postgres store: options that make no sense are refused", "[postgres][store]") {
  PostgresStorePlace place;
  const auto database = place.machine().database;
  const auto opened = [&](const PostgresStoreOptions& options) {
    return outcome(PostgresOAuthTokenStore::open(database, place.vault()->sealer(), options));
  };
  CHECK(opened({.lease_time = 99ms}) == "invalid_argument postgres.lease_time");
  CHECK(opened({.lease_time = -1s}) == "invalid_argument postgres.lease_time");
  CHECK(opened({.lease_time = 100ms}) == "ok");
  CHECK(opened({.staleness = 0ms}) == "invalid_argument postgres.staleness");
  CHECK(opened({.staleness = 1ms}) == "ok");
}

// Claims
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("postgres claim: it is refused under a lost lease, and nothing is written",
          "[postgres][store]") {
  Pair pair;
  const auto theirs = pair.take_over();
  CHECK(outcome(pair.a.store->save_claim(claim_of(1, 5))) == "locked lease.lost");
  CHECK(claim_in(*pair.b.store) == 0);
  CHECK(outcome(pair.b.store->save_claim(claim_of(1, 6))) == "ok");
  CHECK(outcome(pair.a.store->save_claim(claim_of(1, 5))) == "locked lease.lost");
  CHECK(claim_in(*pair.a.store) == 6);
}

TEST_CASE("postgres claim: it is refused for a revision that is not the record's",
          "[postgres][store]") {
  Pair pair;
  REQUIRE(put(*pair.b.store, kAlice, 2, {1}));
  CHECK(outcome(pair.a.store->save_claim(claim_of(1, 5))) == "conflict store.conflict");
  CHECK(outcome(pair.b.store->save_claim(claim_of(1, 5))) == "conflict store.conflict");
  CHECK(claim_in(*pair.a.store) == 0);
  CHECK(outcome(pair.a.store->save_claim(claim_of(2, 5))) == "ok");
}

TEST_CASE("postgres claim: writing it renews the lease", "[postgres][store]") {
  Pair pair;
  pair.place.expire_lease(kAlice);
  REQUIRE(pair.a.store->save_claim(claim_of(1, 5)));
  CHECK(pair.place.lease("expires_at > clock_timestamp()", kAlice) == "t");
}

TEST_CASE("postgres claim: a lease is not held any more when its claim does not count",
          "[postgres][store]") {
  Pair pair;
  REQUIRE(pair.a.store->save_claim(claim_of(1, 5)));
  CHECK(pair.lease->still_held());
  SECTION("another has saved over the revision") {
    REQUIRE(put(*pair.b.store, kAlice, 2, {1}));
    CHECK_FALSE(pair.lease->still_held());
  }
  SECTION("the record was removed") {
    REQUIRE(pair.b.store->remove(kAlice, {1}));
    CHECK_FALSE(pair.lease->still_held());
  }
  SECTION("the claim was cleared") {
    REQUIRE(pair.b.store->clear_claim(kAlice, 5));
    CHECK_FALSE(pair.lease->still_held());
  }
  SECTION("the claim was cleared, and its holder has cleared another") {
    REQUIRE(pair.a.store->clear_claim(kAlice, 6));
    CHECK(pair.lease->still_held());
    REQUIRE(pair.b.store->clear_claim(kAlice, 5));
    CHECK_FALSE(pair.lease->still_held());
  }
  SECTION("another's claim is in its place") {
    REQUIRE(pair.b.store->save_claim(claim_of(1, 6)));
    CHECK_FALSE(pair.lease->still_held());
  }
}

TEST_CASE("postgres claim: what its holder ends himself takes nothing from the lease",
          "[postgres][store]") {
  Pair pair;
  REQUIRE(pair.a.store->save_claim(claim_of(1, 5)));
  SECTION("by a save") {
    REQUIRE(put(*pair.a.store, kAlice, 2, {1}));
  }
  SECTION("by clearing it") {
    REQUIRE(pair.a.store->clear_claim(kAlice, 5));
  }
  SECTION("by a removal") {
    REQUIRE(pair.a.store->remove(kAlice, {1}));
  }
  CHECK(pair.lease->still_held());
}

// The revision decides
// ---------------------------------------------------------------------------------------------

TEST_CASE("postgres save: a former holder saves over the revision that he read",
          "[postgres][store]") {
  Pair pair;
  REQUIRE(pair.a.store->save_claim(claim_of(1, 5)));
  const auto theirs = pair.take_over();
  CHECK(outcome(put(*pair.a.store, kAlice, 2, {1})) == "ok");
  CHECK(stored(*pair.b.store, kAlice) == 2);
  CHECK(claim_in(*pair.b.store) == 0);
}

TEST_CASE("postgres save: a former holder does not save over a newer revision",
          "[postgres][store]") {
  Pair pair;
  const auto theirs = pair.take_over();
  REQUIRE(put(*pair.b.store, kAlice, 3, {1}));
  CHECK(outcome(put(*pair.a.store, kAlice, 2, {1})) == "conflict store.conflict");
  CHECK(stored(*pair.a.store, kAlice) == 3);
}

TEST_CASE("postgres save: a conflict leaves the claim of the one who was first",
          "[postgres][store]") {
  Pair pair;
  REQUIRE(put(*pair.a.store, kAlice, 2, {1}));
  REQUIRE(pair.a.store->save_claim(claim_of(2, 7)));
  CHECK(outcome(put(*pair.b.store, kAlice, 3, {1})) == "conflict store.conflict");
  CHECK(claim_in(*pair.b.store) == 7);
}

TEST_CASE("postgres: of a removal and a save at once one succeeds, and what it did stands",
          "[postgres][store][concurrency]") {
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  for (std::uint64_t round = 1; round <= 20; ++round) {
    REQUIRE(put(*a.store, kAlice, round * 10));
    std::atomic<bool> saved = false, removed = false;
    on_threads(2, [&](int thread) {
      if (thread == 0) {
        saved = put(*a.store, kAlice, round * 10 + 1, {round * 10}).has_value();
      } else {
        removed = b.store->remove(kAlice, {round * 10}).has_value();
      }
    });
    CHECK(saved != removed);
    CHECK(stored(*b.store, kAlice) == (saved ? round * 10 + 1 : 0));
    if (saved) REQUIRE(a.store->remove(kAlice, {round * 10 + 1}));
  }
}

TEST_CASE("postgres: 64 threads on two machines renew one session, and no renewal is lost",
          "[postgres][store][concurrency]") {
  constexpr int kThreads = 64;
  PostgresStorePlace place;
  const Machine a = place.machine(), b = place.machine();
  const auto first = record_of(kAlice, 1);
  REQUIRE(a.store->save_record(first, kNone));
  std::atomic<std::uint64_t> revisions = 1;
  on_threads(kThreads, [&](int thread) {
    const auto& store = (thread % 2 == 0 ? a : b).store;
    for (bool saved = false; !saved;) {
      auto record = store->load_record(kAlice).value().value();
      const Revision read = record.summary.revision;
      record.summary.revision = {++revisions};
      record.summary.issued_at += 1ms;
      const auto done = store->save_record(record, read);
      saved = done.has_value();
      if (!saved) expect_error(&done.error(), ErrorCode::conflict, "losing a race");
    }
  });
  const auto last = a.store->load_record(kAlice).value().value();
  CHECK(last.summary.issued_at == first.summary.issued_at + kThreads * 1ms);
}

// Texts
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("postgres: a text with a NUL is refused, and nothing is saved", "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  auto record = record_of(kAlice, 1);
  record.summary.handle = std::string("a\0b", 3);
  CHECK(outcome(a.store->save_record(record, kNone)) == "invalid_argument postgres.text");
  CHECK(stored(*a.store, kAlice) == 0);
  a.store->save_nonce("https://a.example", "key", std::string_view("n\0n", 3));
  CHECK_FALSE(a.store->load_nonce("https://a.example", "key").has_value());
}

TEST_CASE("postgres: text that is no UTF-8 is refused, and nothing is saved", "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  auto record = record_of(kAlice, 1);
  record.summary.scope = "\xFF\xFE";
  CHECK(outcome(a.store->save_record(record, kNone)) == "invalid_argument postgres.text");
  CHECK(stored(*a.store, kAlice) == 0);
}

TEST_CASE("postgres: cursors that no store gives are refused", "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  for (const std::string& position : {std::string("\xFF"), std::string("a\0b", 3)}) {
    CHECK(outcome(a.store->list(base64url_encode(as_bytes(position)), 10)) ==
          "invalid_argument list.cursor");
  }
}

// Damage
// --------------------------------------------------------------------------------------------------------

TEST_CASE("postgres: a row is reported, whatever column of it is damaged", "[postgres][store]") {
  const std::vector<std::string> damages{"state = 'asleep'", "client_auth_method = 'guess'",
                                         "revision = 0",
                                         "box = decode(repeat('00', 262145), 'hex')"};
  for (const std::string& damage : damages) {
    CAPTURE(damage);
    PostgresStorePlace place;
    const Machine a = place.machine();
    for (const auto subject : {kAlice, kBob}) REQUIRE(put(*a.store, subject, 1));
    place.database().run("UPDATE latchkey_sessions SET " + damage +
                         " WHERE subject = " + quoted(kAlice));
    CHECK(outcome(a.store->load_record(kAlice)) == "corrupt postgres.column");
    std::vector<ListedSession> rows;
    for (std::string cursor;;) {
      auto page = a.store->list(cursor, 1).value();
      rows.push_back(std::move(page.sessions.at(0)));
      if (page.next.empty()) break;
      cursor = page.next;
    }
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].name == kAlice);
    REQUIRE(rows[0].error.has_value());
    CHECK(outcome(*rows[0].error) == "corrupt postgres.column");
    CHECK_FALSE(rows[1].error.has_value());
    CHECK(outcome(a.store->quarantine(kAlice)) == "ok");
    CHECK(place.database().value("SELECT count(*) FROM latchkey_quarantined") == "1");
  }
}

TEST_CASE("postgres: a time out of range counts as over, and the row can be read",
          "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  REQUIRE(put(*a.store, kAlice, 1));
  place.database().run("UPDATE latchkey_sessions SET expires_at = 9223372036854775807");
  const auto record = a.store->load_record(kAlice).value().value();
  CHECK(record.summary.expires_at == kMalformedTime);
}

TEST_CASE("postgres: a row whose subject is none has a name by which it is moved aside",
          "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  REQUIRE(put(*a.store, kAlice, 1));
  place.database().run("UPDATE latchkey_sessions SET subject = E'a\\nb'");
  const auto page = a.store->list("", 10).value();
  REQUIRE(page.sessions.size() == 1);
  CHECK(page.sessions[0].name == "row 610a62");
  CHECK(page.sessions[0].error.has_value());
  CHECK(outcome(a.store->quarantine("row 61")) == "invalid_argument store.no_such_record");
  CHECK(outcome(a.store->quarantine("row 610a62")) == "ok");
  CHECK(a.store->list("", 10).value().sessions.empty());
  CHECK(a.store->quarantined().value().at(0).name == "row 610a62");
}

TEST_CASE("postgres list: the data key of a box is told without the box", "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  OAuthSession session{
      record_of(kAlice, 7).summary, SecretString("access"), SecretString("refresh"), {}};
  REQUIRE(a.store->save(session, kNone));
  REQUIRE(put(*a.store, kBob, 1));  // whose box is none
  const auto page = a.store->list("", 10).value();
  const auto box = a.store->load_record(kAlice).value().value().box;
  CHECK(page.sessions.at(0).sealed_with == hex_encode(std::span(box).subspan(1, 8)));
  CHECK(page.sessions.at(1).sealed_with.empty());
}

// Counters, and logins
// ----------------------------------------------------------------------------------------------

TEST_CASE("postgres: a cached session is read again after the time of staleness, and not before",
          "[postgres][store]") {
  PostgresStorePlace place({.staleness = 1s});
  const auto clock = std::make_shared<ManualClock>(TimePoint(1'790'000'000'000ms));
  const Machine a = place.machine(0, {.clock = clock}), b = place.machine();
  const auto moves_within = [&](std::string_view subject, Duration time) {
    const auto before = a.store->change_count(subject);
    clock->advance(time);
    return a.store->change_count(subject) - before;
  };
  REQUIRE(put(*b.store, kAlice, 1));
  CHECK(moves_within(kAlice, 1s) == 1);
  CHECK(moves_within(kAlice, 60s) == 60);
  CHECK(moves_within(kAlice, 0ms) == 0);
  const auto before = a.store->change_count(kAlice);
  REQUIRE(put(*a.store, kAlice, 2, {1}));
  CHECK(a.store->change_count(kAlice) == before + 1);
}

TEST_CASE("postgres: cached sessions are not all read again in the same moment",
          "[postgres][store]") {
  PostgresStorePlace place({.staleness = 1s});
  const auto clock = std::make_shared<ManualClock>(TimePoint(1'790'000'000'000ms));
  const Machine a = place.machine(0, {.clock = clock});
  constexpr int kSubjects = 1000;
  std::vector<std::uint64_t> before;
  const auto count = [&](int i) { return a.store->change_count("did:plc:" + std::to_string(i)); };
  for (int i = 0; i < kSubjects; ++i) before.push_back(count(i));
  clock->advance(100ms);
  int moved = 0;
  for (int i = 0; i < kSubjects; ++i) moved += count(i) != before[static_cast<std::size_t>(i)];
  CHECK(moved > kSubjects / 20);
  CHECK(moved < kSubjects / 5);
}

TEST_CASE("postgres pending: expired ones are dropped by a later save, once a minute",
          "[postgres][store]") {
  PostgresStorePlace place;
  const auto clock = std::make_shared<ManualClock>(TimePoint(1'790'000'000'000ms));
  const Machine a = place.machine(0, {.clock = clock});
  int logins = 0;
  const auto begin = [&] {
    const auto state = "state " + std::to_string(++logins);
    const PendingRecord pending{
        .key = sha256_base64url(state), .expires_at = clock->now() + 10s, .box = {1}};
    REQUIRE(a.store->save_pending(pending, clock->now()));
  };
  const auto kept = [&] { return place.database().value("SELECT count(*) FROM latchkey_pending"); };
  begin();
  clock->advance(30s);
  begin();
  CHECK(kept() == "2");
  clock->advance(30s);
  begin();
  CHECK(kept() == "1");
}

TEST_CASE("postgres pending: one that was taken is gone, also when its row could not be deleted",
          "[postgres][store]") {
  PostgresStorePlace place;
  const Machine a = place.machine();
  const TimePoint now(1'790'000'000'000ms);
  const PendingRecord pending{
      .key = sha256_base64url("state"), .expires_at = now + 10min, .box = {1}};
  REQUIRE(a.store->save_pending(pending, now));
  place.database().run("UPDATE latchkey_pending SET taken_by = 7");
  CHECK_FALSE(a.store->take_pending(pending.key, now).value().has_value());
  CHECK(a.store->side_records().value().pending.empty());
  CHECK(outcome(a.store->save_pending(pending, now)) == "conflict pending.exists");
}
