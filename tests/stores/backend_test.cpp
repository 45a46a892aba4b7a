// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.test.folder;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;

TEST_CASE("judge_save: an expected revision must be the stored one", "[store]") {
  constexpr Revision none{}, one{1}, two{2}, three{3};
  CHECK(judge_save(std::nullopt, none, one) == SaveVerdict::write);
  CHECK(judge_save(one, one, two) == SaveVerdict::write);
  CHECK(judge_save(std::nullopt, one, two) == SaveVerdict::conflict);
  CHECK(judge_save(one, none, two) == SaveVerdict::conflict);
  CHECK(judge_save(one, two, three) == SaveVerdict::conflict);
}

TEST_CASE("judge_save: a record that has the coming revision counts as saved", "[store]") {
  CHECK(judge_save(Revision{2}, Revision{1}, Revision{2}) == SaveVerdict::already_saved);
  CHECK(judge_save(Revision{2}, Revision{}, Revision{2}) == SaveVerdict::already_saved);
}

TEST_CASE("cursors: come back as they were, and others are refused", "[store]") {
  CHECK(read_cursor("").value().empty());
  CHECK(read_cursor(make_cursor("a name\xFF")).value() == "a name\xFF");
  CHECK(outcome(read_cursor("=")) == "invalid_argument list.cursor");
}

TEST_CASE("take_write_lock: gives up after a bounded time", "[store]") {
  const TemporaryFolder folder;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto locks = LockFile::open(folder.path() / "lock", clock).value();
  const auto held = take_write_lock(*locks, *clock, "subject");
  REQUIRE(held);
  CHECK(outcome(take_write_lock(*locks, *clock, "subject")) == "locked store.busy");
  CHECK(clock->slept() <= std::chrono::seconds(11));
  CHECK(take_write_lock(*locks, *clock, "another"));
}

TEST_CASE("take_local_lease: is still held while its end is announced", "[store]") {
  const TemporaryFolder folder;
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  const auto locks = LockFile::open(folder.path() / "lock", clock).value();
  const LockWait now{.deadline = clock->steady_now()};
  std::string seen;
  auto lease = take_local_lease(*locks, "subject", now, [&] {
    seen = outcome(locks->acquire(LockKind::lease, "subject", now));
  });
  REQUIRE(lease);
  lease.value().reset();
  CHECK(seen == "locked lock.held");
  CHECK(locks->acquire(LockKind::lease, "subject", now));
}
