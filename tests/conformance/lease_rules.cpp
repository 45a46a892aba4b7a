// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.rules;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

void lease_excludes(StorePlace& place) {
  const auto first = open(place);
  const auto held = need(first->lease(kAlice, patiently(place)), "taking a free lease");
  expect(held->still_held(), "a lease is held while it is held");
  expect_error(error_of(first->lease(kAlice, briefly(place))), ErrorCode::locked,
               "a second lease of the same subject");
  expect_error(error_of(open(place)->lease(kAlice, briefly(place))), ErrorCode::locked,
               "a second lease through another instance");
  const auto other =
      need(open(place)->lease(kBob, patiently(place)), "the lease of another subject");
  expect(held->still_held() && other->still_held(), "both are held");
}

void lease_excludes_threads(StorePlace& place) {
  constexpr int kThreads = 4, kRounds = 10;
  std::atomic<int> holders = 0;
  int count = 0;  // not atomic: the lease is what guards it
  on_threads(kThreads, [&](int) {
    const auto store = open(place);
    for (int i = 0; i < kRounds; ++i) {
      const auto held = need(store->lease(kAlice, patiently(place)), "waiting for a lease");
      expect(holders.fetch_add(1) == 0, "a lease has one holder at a time");
      ++count;
      holders.fetch_sub(1);
    }
  });
  expect(count == kThreads * kRounds, "every waiter got its turn");
}

void lease_is_released(StorePlace& place) {
  const auto store = open(place);
  for (int i = 0; i < 3; ++i) {
    auto held = need(store->lease(kAlice, patiently(place)), "taking a lease");
    held.reset();
    const auto again =
        need(open(place)->lease(kAlice, patiently(place)), "taking a lease that was given back");
  }
  auto outliving =
      need(open(place)->lease(kAlice, patiently(place)), "a lease whose store is dropped");
  expect_error(error_of(store->lease(kAlice, briefly(place))), ErrorCode::locked,
               "a lease whose holder dropped the store");
  outliving.reset();
  static_cast<void>(need(store->lease(kAlice, patiently(place)), "taking it after that"));
}

void lease_has_deadline(StorePlace& place) {
  const auto store = open(place);
  const auto held = need(store->lease(kAlice, patiently(place)), "taking a lease");
  const auto begun = place.clock()->steady_now();
  expect_error(error_of(store->lease(kAlice, {.deadline = begun})), ErrorCode::locked,
               "a deadline that is now");
  expect_error(error_of(store->lease(kAlice, {.deadline = begun - std::chrono::hours(1)})),
               ErrorCode::locked, "a deadline that has passed");
  const auto free = need(store->lease(kBob, {.deadline = begun - std::chrono::hours(1)}),
                         "a free lease with a deadline that has passed");
}

void lease_can_be_cancelled(StorePlace& place) {
  const auto store = open(place);
  const auto held = need(store->lease(kAlice, patiently(place)), "taking a lease");
  std::stop_source stop;
  auto wait = patiently(place);
  wait.stop = stop.get_token();
  std::atomic<bool> returned = false;
  on_threads(2, [&](int thread) {
    if (thread == 0) {
      stop.request_stop();
    } else {
      expect_error(error_of(open(place)->lease(kAlice, wait)), ErrorCode::cancelled,
                   "a wait that is stopped");
      returned = true;
    }
  });
  expect(returned, "a stopped wait returns");
}

// The counter
// ------------------------------------------------------------------------------------------------------

// Until others' changes are known here.
void let_be_known(StorePlace& place) {
  if (place.staleness() > Duration::zero()) place.clock()->sleep_for(place.staleness(), {});
}

void counter_moves(StorePlace& place) {
  const auto store = open(place);
  const bool by_clock = place.staleness() > Duration::zero();
  const auto changed_by = [&](std::string_view what, const Result<void>& done,
                              std::uint64_t before) {
    need(done, what);
    expect(store->change_count(kAlice) != before,
           std::string("the change counter moves on ") + std::string(what));
  };
  auto before = store->change_count(kAlice);
  expect(by_clock || store->change_count(kAlice) == before,
         "the change counter stands while nothing happens");
  changed_by("the first save", put(*store, kAlice, 1), before);
  before = store->change_count(kAlice);
  changed_by("a save", put(*store, kAlice, 2, {1}), before);
  before = store->change_count(kAlice);
  static_cast<void>(need(store->load_record(kAlice), "loading"));
  expect(by_clock || store->change_count(kAlice) == before,
         "the change counter stands while sessions are read");
  changed_by("a removal", store->remove(kAlice, {2}), before);
}

void counter_moves_elsewhere(StorePlace& place) {
  const auto cache = open(place);
  const auto other = open(place);
  const auto before = cache->change_count(kAlice);
  need(put(*other, kAlice, 1), "a save by another instance");
  let_be_known(place);
  const auto between = cache->change_count(kAlice);
  expect(between != before, "the change counter moves on another instance's save");
  need(other->remove(kAlice, {1}), "a removal by another instance");
  let_be_known(place);
  expect(cache->change_count(kAlice) != between,
         "the change counter moves on another instance's removal");
}

// Once a reader has seen the counter move, it must see the record that moved it.
void counter_follows_the_record(StorePlace& place) {
  constexpr std::uint64_t kSaves = 40;
  std::atomic<bool> done = false;
  const auto reader = open(place);
  need(put(*reader, kAlice, 1), "saving");
  on_threads(2, [&](int thread) {
    if (thread == 0) {
      const auto writer = open(place);
      for (std::uint64_t i = 1; i < kSaves; ++i) need(put(*writer, kAlice, i + 1, {i}), "saving");
      done = true;
      return;
    }
    auto counter = reader->change_count(kAlice);
    auto cached = stored(*reader, kAlice);
    while (!done) {
      const auto now = reader->change_count(kAlice);
      if (now == counter) continue;
      counter = now;
      cached = stored(*reader, kAlice);
    }
    let_be_known(place);
    if (reader->change_count(kAlice) != counter) cached = stored(*reader, kAlice);
    expect(cached == kSaves,
           "a cache that follows the change counter ends up with the last record");
  });
}

}  // namespace

std::vector<Rule> lease_rules() {
  return {{"lease.has_one_holder", lease_excludes},
          {"lease.has_one_holder_among_threads", lease_excludes_threads},
          {"lease.ends_with_its_object", lease_is_released},
          {"lease.wait_ends_at_the_deadline", lease_has_deadline},
          {"lease.wait_can_be_cancelled", lease_can_be_cancelled},
          {"counter.moves_on_save_and_remove", counter_moves},
          {"counter.moves_for_other_instances", counter_moves_elsewhere},
          {"counter.follows_the_record", counter_follows_the_record}};
}

}  // namespace latchkey::test
