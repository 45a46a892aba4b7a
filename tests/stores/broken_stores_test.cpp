// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.broken_stores;
import latchkey.test.conformance;
import latchkey.test.places;

using namespace latchkey;
using namespace latchkey::test;

namespace {

template <class Broken, class Place = FilePlace>
RuleOutcome outcome_of(std::string_view rule) {
  return run_store_rule(rule, [] { return std::make_unique<BrokenPlace<Broken, Place>>(); })
      .outcome;
}

// Saves whatever was expected: the last writer wins, the other's rotated token is lost.
struct LosesUpdates final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision) override {
    const auto stored = inner().load_record(record.summary.subject);
    if (!stored) return stored.error();
    return inner().save_record(record, *stored ? (*stored)->summary.revision : Revision{});
  }
};

struct ForgetsOwnRevision final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    const auto stored = inner().load_record(record.summary.subject);
    if (stored && *stored && (*stored)->summary.revision != expected) {
      return make_error(ErrorCode::conflict, "store.conflict", "somebody was first");
    }
    return inner().save_record(record, expected);
  }
};

struct CallsCorruptAbsent final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    auto record = inner().load_record(subject);
    if (!record && record.error().code == ErrorCode::corrupt) return std::optional<SealedRecord>();
    return record;
  }
};

struct CallsAbsentAnError final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    auto record = inner().load_record(subject);
    if (record && !*record) return make_error(ErrorCode::corrupt, "record.missing", "no record");
    return record;
  }
};

struct DropsAMember final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    auto copy = record;
    copy.summary.state_changed_at.reset();
    return inner().save_record(copy, expected);
  }
};

struct NoLease final : Lease {
  bool still_held() override { return true; }
};
struct LeasesToEverybody final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    auto lease = inner().lease(subject, wait);
    if (lease || lease.error().code == ErrorCode::invalid_argument) return lease;
    return std::unique_ptr<Lease>(std::make_unique<NoLease>());
  }
};

struct LeasesForEver final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    auto lease = inner().lease(subject, wait);
    if (!lease) return lease;
    kept.push_back(std::move(*lease));
    return std::unique_ptr<Lease>(std::make_unique<NoLease>());
  }
  std::vector<std::unique_ptr<Lease>> kept;
};

struct SkipsUnreadable final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override {
    auto page = inner().list(cursor, limit);
    if (page)
      std::erase_if(page->sessions, [](const ListedSession& row) { return row.error.has_value(); });
    return page;
  }
};

struct ListsOnePageOnly final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override {
    auto page = inner().list(cursor, limit);
    if (page) page->next.clear();
    return page;
  }
};

struct RemovesAnyRevision final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> remove(std::string_view subject, Revision expected) override {
    const auto stored = inner().load_record(subject);
    if (!stored) return stored.error();
    return inner().remove(subject, *stored ? (*stored)->summary.revision : expected);
  }
};

struct FailsOnAbsentRemoval final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> remove(std::string_view subject, Revision expected) override {
    const auto stored = inner().load_record(subject);
    if (stored && !*stored)
      return make_error(ErrorCode::conflict, "store.conflict", "nothing there");
    return inner().remove(subject, expected);
  }
};

struct GivesPendingTwice final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    auto taken = inner().take_pending(key, now);
    if (taken && *taken) static_cast<void>(inner().save_pending(**taken, now));
    return taken;
  }
};

struct IgnoresPendingExpiry final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint) override {
    return inner().take_pending(key, TimePoint{});
  }
};

struct CounterStands final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  std::uint64_t change_count(std::string_view) const noexcept override { return 1; }
};

struct CounterOfItsOwn final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    ++count;
    return inner().save_record(record, expected);
  }
  Result<void> remove(std::string_view subject, Revision expected) override {
    ++count;
    return inner().remove(subject, expected);
  }
  std::uint64_t change_count(std::string_view) const noexcept override { return count; }
  std::uint64_t count = 0;
};

struct ClearsAnyClaim final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override {
    const auto claim = inner().load_claim(subject);
    return inner().clear_claim(subject, claim && *claim ? (*claim)->id : id);
  }
};

struct IgnoresCase final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  static std::string lower(std::string_view subject) {
    std::string out(subject);
    for (auto& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
  }
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    return inner().load_record(lower(subject));
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    auto copy = record;
    copy.summary.subject = lower(copy.summary.subject);
    return inner().save_record(copy, expected);
  }
};

struct OneNonceForAllKeys final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view) override {
    return inner().load_nonce(origin, "key");
  }
  void save_nonce(std::string_view origin, std::string_view, std::string_view nonce) override {
    inner().save_nonce(origin, "key", nonce);
  }
};

struct SweepsNothing final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<Swept> sweep(TimePoint) override { return Swept{}; }
};

// By its own clock, not by the one it is given.
struct SweepsByAnotherClock final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<Swept> sweep(TimePoint now) override {
    return inner().sweep(now + std::chrono::hours(24 * 365));
  }
};

struct SweepsEndedSessions final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<Swept> sweep(TimePoint now) override {
    const auto page = inner().list("", 100);
    if (!page) return page.error();
    for (const auto& row : page->sessions) {
      if (row.summary && row.summary->state == SessionState::dead)
        static_cast<void>(inner().remove(row.name, row.summary->revision).has_value());
    }
    return inner().sweep(now);
  }
};

struct SweepsAllClaims final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<Swept> sweep(TimePoint now) override {
    const auto side = inner().side_records();
    if (!side) return side.error();
    for (const auto& row : side->claims) {
      if (row.claim)
        static_cast<void>(inner().clear_claim(row.claim->subject, row.claim->id).has_value());
    }
    return inner().sweep(now);
  }
};

struct SweepsPendingAlone final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<Swept> sweep(TimePoint now) override {
    const auto orphans = orphaned_claims();
    auto swept = inner().sweep(now);
    for (const auto& claim : orphans) static_cast<void>(inner().save_claim(claim).has_value());
    return swept;
  }
  [[nodiscard]] std::vector<RefreshClaim> orphaned_claims() {
    std::vector<RefreshClaim> claims;
    if (const auto side = inner().side_records()) {
      for (const auto& row : side->claims) {
        const auto record = inner().load_record(row.name);
        if (row.claim && record && !*record) claims.push_back(*row.claim);
      }
    }
    return claims;
  }
};

// Waits pass at once.
struct PlaceWithoutWaiting final : MemoryPlace {
  PlaceWithoutWaiting() : MemoryPlace(std::make_shared<ManualClock>(TimePoint{})) {}
};

struct Sound final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
};

}  // namespace

TEST_CASE("conformance: a store that only forwards passes what the broken ones fail", "[store]") {
  for (const auto* rule : {"save.compares_revisions", "load.unreadable_is_an_error",
                           "lease.has_one_holder", "pending.is_single_use",
                           "counter.moves_for_other_instances", "list.reports_unreadable_records",
                           "remove.compares_revisions", "sweep.removes_expired_pending",
                           "sweep.keeps_sessions", "sweep.removes_claims_of_nobody"}) {
    INFO(rule);
    CHECK(outcome_of<Sound>(rule) == RuleOutcome::passed);
  }
}

TEST_CASE("conformance: finds a store that loses updates", "[store]") {
  CHECK(outcome_of<LosesUpdates>("save.compares_revisions") == RuleOutcome::failed);
  CHECK(outcome_of<LosesUpdates, SqlitePlace>("save.compares_revisions") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that takes its own save for a conflict", "[store]") {
  CHECK(outcome_of<ForgetsOwnRevision>("save.own_revision_counts_as_saved") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that calls a corrupt record absent", "[store]") {
  CHECK(outcome_of<CallsCorruptAbsent>("load.unreadable_is_an_error") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that calls an absent record an error", "[store]") {
  CHECK(outcome_of<CallsAbsentAnError>("load.absent_is_empty") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that loses a member of the record", "[store]") {
  CHECK(outcome_of<DropsAMember>("load.returns_every_member") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that gives a lease to two holders", "[store][concurrency]") {
  CHECK(outcome_of<LeasesToEverybody>("lease.has_one_holder") == RuleOutcome::failed);
  CHECK(outcome_of<LeasesToEverybody>("lease.wait_can_be_cancelled") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that keeps a lease when its holder is gone", "[store]") {
  CHECK(outcome_of<LeasesForEver, PlaceWithoutWaiting>("lease.ends_with_its_object") ==
        RuleOutcome::failed);
  CHECK(outcome_of<Sound, PlaceWithoutWaiting>("lease.ends_with_its_object") ==
        RuleOutcome::passed);
}

TEST_CASE("conformance: finds a list that skips unreadable records", "[store]") {
  CHECK(outcome_of<SkipsUnreadable>("list.reports_unreadable_records") == RuleOutcome::failed);
  CHECK(outcome_of<SkipsUnreadable, SqlitePlace>("list.reports_unreadable_records") ==
        RuleOutcome::failed);
}

TEST_CASE("conformance: finds a list that ends after its first page", "[store]") {
  CHECK(outcome_of<ListsOnePageOnly>("list.pages_add_up") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a removal that ignores the revision", "[store]") {
  CHECK(outcome_of<RemovesAnyRevision>("remove.compares_revisions") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a removal that fails when there is nothing", "[store]") {
  CHECK(outcome_of<FailsOnAbsentRemoval>("remove.is_idempotent") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a pending login that can be used twice", "[store]") {
  CHECK(outcome_of<GivesPendingTwice>("pending.is_single_use") == RuleOutcome::failed);
  CHECK(outcome_of<GivesPendingTwice, MemoryPlace>("pending.is_single_use") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a pending login that never expires", "[store]") {
  CHECK(outcome_of<IgnoresPendingExpiry>("pending.expires") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a change counter that never moves", "[store]") {
  CHECK(outcome_of<CounterStands>("counter.moves_on_save_and_remove") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a change counter that other instances do not see", "[store]") {
  CHECK(outcome_of<CounterOfItsOwn>("counter.moves_for_other_instances") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that clears somebody else's claim", "[store]") {
  CHECK(outcome_of<ClearsAnyClaim>("claim.is_cleared_by_its_id") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a store that ignores case in subjects", "[store]") {
  CHECK(outcome_of<IgnoresCase>("subjects.never_share_a_record") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds nonces that are not kept by key", "[store]") {
  CHECK(outcome_of<OneNonceForAllKeys>("nonce.is_kept_by_origin_and_key") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a sweep that removes too little", "[store]") {
  CHECK(outcome_of<SweepsNothing>("sweep.removes_expired_pending") == RuleOutcome::failed);
  CHECK(outcome_of<SweepsPendingAlone>("sweep.removes_claims_of_nobody") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a sweep that removes too much", "[store]") {
  CHECK(outcome_of<SweepsByAnotherClock>("sweep.removes_expired_pending") == RuleOutcome::failed);
  CHECK(outcome_of<SweepsEndedSessions, SqlitePlace>("sweep.keeps_sessions") ==
        RuleOutcome::failed);
  CHECK(outcome_of<SweepsAllClaims>("sweep.removes_claims_of_nobody") == RuleOutcome::failed);
}

TEST_CASE("conformance: finds a file store that does not sync", "[store]") {
  const auto unsynced = [] { return std::make_unique<FilePlace>(without_sync); };
  for (const auto* rule : {"durable.save", "durable.remove", "durable.claim", "durable.pending"}) {
    INFO(rule);
    CHECK(run_store_rule(rule, unsynced).outcome == RuleOutcome::failed);
  }
}
