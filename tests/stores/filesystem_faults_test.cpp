// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.conformance;
import latchkey.test.disk;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.rules;

// A disk that fails at each step in turn, and a power cut after each of them.

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct FaultyStore {
  TemporaryFolder folder{};
  std::shared_ptr<FaultyFileSystem> disk = std::make_shared<FaultyFileSystem>(posix_file_system());
  Store store = FilesystemOAuthTokenStore::open(folder.path() / "store", store_sessions_unsealed(),
                                                {.files = disk})
                    .value();
  [[nodiscard]] std::size_t files() const {
    return names_in(folder.path() / "store" / "sessions").size();
  }
};

const LockWait kAtOnce{.deadline = {}};

}  // namespace

TEST_CASE(
    "file store: a save that fails at any step leaves the old or the new record, and can be tried "
    "again",
    "[store]") {
  for (const bool lasting : {false, true}) {
    for (std::size_t step = 1;; ++step) {
      INFO("step " << step << (lasting ? " and all that follow" : ""));
      FaultyStore faulty;
      put(*faulty.store, kAlice, 1).value();
      const auto before = faulty.disk->changes();
      if (lasting) {
        faulty.disk->fail_from(step, no_space());
      } else {
        faulty.disk->fail_nth(step, no_space());
      }
      const auto saved = put(*faulty.store, kAlice, 2, {1});
      const bool reached = faulty.disk->changes() - before >= step;
      faulty.disk->heal();
      const auto now = stored(*faulty.store, kAlice);
      CHECK((now == 2 || (now == 1 && !saved)));
      if (!saved) CHECK(saved.error().code == ErrorCode::io);
      REQUIRE(put(*faulty.store, kAlice, 2, {1}));
      CHECK(stored(*faulty.store, kAlice) == 2);
      CHECK(faulty.files() <= 2);
      put(*faulty.store, kAlice, 3, {2}).value();
      CHECK(faulty.files() == 1);
      if (!reached) break;
      REQUIRE(step < 20);
    }
  }
}

TEST_CASE("file store: a save that was not durable syncs the folder when it is tried again",
          "[store]") {
  FaultyStore faulty;
  put(*faulty.store, kAlice, 1).value();
  const auto before = faulty.store->change_count(kAlice);
  faulty.disk->fail_every(FileOperation::sync_folder, no_space());
  CHECK(outcome(put(*faulty.store, kAlice, 2, {1})) == "io io.folder_not_synced");
  CHECK(faulty.store->change_count(kAlice) != before);
  CHECK(outcome(put(*faulty.store, kAlice, 2, {1})) == "io io.no_space");
  faulty.disk->heal();
  CHECK(outcome(put(*faulty.store, kAlice, 2, {1})) == "ok");
}

TEST_CASE("file store: a removal that fails at any step can be tried again", "[store]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    FaultyStore faulty;
    put(*faulty.store, kAlice, 1).value();
    faulty.store->save_claim({.subject = std::string(kAlice), .revision = {1}, .id = 1, .host = {}})
        .value();
    const auto before = faulty.disk->changes();
    faulty.disk->fail_nth(step, read_only());
    const auto removed = faulty.store->remove(kAlice, {1});
    const bool reached = faulty.disk->changes() - before >= step;
    CHECK(removed.has_value() == !reached);
    faulty.disk->heal();
    REQUIRE(faulty.store->remove(kAlice, {1}));
    CHECK(stored(*faulty.store, kAlice) == 0);
    CHECK(faulty.files() == 0);
    CHECK(!faulty.store->load_claim(kAlice).value());
    if (!reached) break;
  }
}

TEST_CASE("file store: a full disk is found when room is made, not when it is used", "[store]") {
  FaultyStore faulty;
  put(*faulty.store, kAlice, 1).value();
  const auto held = faulty.store->lease(kAlice, kAtOnce).value();
  faulty.disk->fail_every(FileOperation::allocate, no_space());
  CHECK(outcome(faulty.store->reserve_room(kAlice, 4096)) == "io io.no_space");
  CHECK(faulty.files() == 1);
  faulty.disk->heal();
  REQUIRE(faulty.store->reserve_room(kAlice, 4096));
  faulty.disk->fail_every(FileOperation::create, no_space());  // nothing new is needed from here on
  faulty.disk->fail_every(FileOperation::allocate, no_space());
  CHECK(outcome(put(*faulty.store, kAlice, 2, {1})) == "ok");
  CHECK(stored(*faulty.store, kAlice) == 2);
}

TEST_CASE("file store: when the room cannot be used another file is tried", "[store]") {
  FaultyStore faulty;
  put(*faulty.store, kAlice, 1).value();
  const auto held = faulty.store->lease(kAlice, kAtOnce).value();
  REQUIRE(faulty.store->reserve_room(kAlice, 4096));
  faulty.disk->fail_nth(1, no_space());  // the write into the room
  CHECK(outcome(put(*faulty.store, kAlice, 2, {1})) == "ok");
  CHECK(faulty.files() == 1);
}

TEST_CASE("file store: a pending login whose removal is not durable is not given out", "[store]") {
  FaultyStore faulty;
  const TimePoint now{std::chrono::hours(1000)};
  const auto key = sha256_base64url("state");
  faulty.store
      ->save_pending({.key = key, .expires_at = now + std::chrono::minutes(10), .box = {1}}, now)
      .value();
  faulty.disk->fail_every(FileOperation::sync_folder, no_space());
  CHECK(outcome(faulty.store->take_pending(key, now)) == "io io.no_space");
  faulty.disk->heal();
  CHECK(!faulty.store->take_pending(key, now).value());
}

// Power cuts
// -------------------------------------------------------------------------------------------------------

namespace {

struct Expected {
  std::uint64_t revision = 0;
  std::uint64_t claim = 0;
};

struct Step {
  std::function<void(OAuthTokenStore&)> run;
  Expected after;
};

RefreshClaim claim_of(std::uint64_t id) {
  return {.subject = std::string(kAlice), .revision = {1}, .id = id, .host = {}};
}

const std::vector<Step> kSteps{
    {[](auto& store) { put(store, kAlice, 1).value(); }, {1, 0}},
    {[](auto& store) { store.save_claim(claim_of(1)).value(); }, {1, 1}},
    {[](auto& store) { store.save_claim(claim_of(2)).value(); }, {1, 2}},
    {[](auto& store) {
       const auto held = store.lease(kAlice, kAtOnce).value();
       store.reserve_room(kAlice, 4096).value();
       put(store, kAlice, 2, {1}).value();
     },
     {2, 0}},
    {[](auto& store) { put(store, kAlice, 3, {2}).value(); }, {3, 0}},
    {[](auto& store) { store.remove(kAlice, {3}).value(); }, {0, 0}},
};

}  // namespace

TEST_CASE("file store: a power cut at any moment leaves the old record or the new one", "[store]") {
  const TemporaryFolder folder;
  const auto disk = std::make_shared<RecordingFileSystem>(posix_file_system(), folder.path());
  const auto at = [](const TemporaryFolder& where) { return where.path() / "store"; };
  const auto store =
      FilesystemOAuthTokenStore::open(at(folder), store_sessions_unsealed(), {.files = disk})
          .value();
  std::vector<std::size_t> done;  // changes after which each step was complete
  const auto begun = disk->changes();
  for (const auto& step : kSteps) {
    step.run(*store);
    done.push_back(disk->changes());
  }
  std::size_t looked_at = 0;
  for (const auto& state : disk->crash_states()) {
    if (state.changes < begun) continue;
    INFO(state.description);
    const auto left = state.materialise();
    const auto after = FilesystemOAuthTokenStore::open(at(left), store_sessions_unsealed());
    REQUIRE(after);
    std::size_t step = 0;
    while (step < done.size() && done[step] <= state.changes) ++step;
    const Expected old = step == 0 ? Expected{} : kSteps[step - 1].after;
    const Expected coming = step == kSteps.size() ? old : kSteps[step].after;
    const auto revision = stored(**after, kAlice);
    CHECK((revision == old.revision || revision == coming.revision));
    const auto claim = (*after)->load_claim(kAlice);
    REQUIRE(claim);
    // A claim of an older revision may come back: it does not count.
    if (*claim && (*claim)->revision.value == revision) {
      CHECK(((*claim)->id == old.claim || (*claim)->id == coming.claim));
    } else if (revision == 1) {
      CHECK((old.claim == 0 || coming.claim == 0));
    }
    // Whatever was left does not hinder what comes.
    CHECK(put(**after, kAlice, 99, {revision}));
    ++looked_at;
  }
  CHECK(looked_at > 30);
}
