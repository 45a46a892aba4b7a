// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.rules;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

using std::chrono::minutes;

const TimePoint kBegun{std::chrono::milliseconds{1'790'000'000'789}};
constexpr auto kCentury = std::chrono::hours(24 * 365 * 100);

PendingRecord login_until(std::string_view state, TimePoint expires_at) {
  return {.key = sha256_base64url(state),
          .expires_at = expires_at,
          .box = Bytes(state.begin(), state.end())};
}

bool is_pending(OAuthTokenStore& store, std::string_view state) {
  const auto side = need(store.side_records(), "reading the side records");
  for (const auto& row : side.pending) {
    if (row.name == sha256_base64url(state)) return true;
  }
  return false;
}

RefreshClaim claim_of(std::string_view subject, std::uint64_t revision) {
  return {.subject = std::string(subject),
          .revision = {revision},
          .id = 7,
          .at = kBegun,
          .pid = 4711,
          .host = "host"};
}

void sweep_ends_pending(StorePlace& place) {
  const auto store = open(place);
  need(store->save_pending(login_until("early", kBegun + minutes(10)), kBegun), "keeping a login");
  need(store->save_pending(login_until("late", kBegun + minutes(30)), kBegun), "keeping another");
  expect(need(store->sweep(kBegun + minutes(10) - Duration(1)), "sweeping too early").pending == 0,
         "what has not expired is not counted as removed");
  expect(is_pending(*store, "early"), "and stays to the last moment");
  expect(need(open(place)->sweep(kBegun + minutes(10)), "sweeping").pending == 1,
         "an expired login is removed at its expiry, and counted");
  expect(!is_pending(*store, "early"), "it is gone, for all instances");
  expect(is_pending(*store, "late"), "one that has not expired stays");
  expect(need(store->take_pending(sha256_base64url("late"), kBegun), "taking it").has_value(),
         "and can be taken");
  expect(need(store->sweep(kBegun + minutes(10)), "sweeping again").pending == 0,
         "a second sweep finds nothing");
}

void sweep_keeps_sessions(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(put(*store, kBob, 2), "saving another");
  static_cast<void>(need(store->sweep(kBegun + kCentury), "sweeping a century later"));
  expect(stored(*store, kAlice) == 1 && stored(*open(place), kBob) == 2,
         "sessions stay, however old they are");
  need(put(*store, kAlice, 3, {1}), "saving after a sweep");
  need(store->remove(kBob, {2}), "removing after a sweep");
}

void sweep_ends_claims_of_nobody(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(store->save_claim(claim_of(kAlice, 1)), "claiming");
  // A store that takes no such claim has none to sweep.
  static_cast<void>(store->save_claim(claim_of(kBob, 1)).has_value());
  static_cast<void>(need(open(place)->sweep(kBegun + kCentury), "sweeping"));
  expect(need(store->load_claim(kAlice), "loading a claim") == claim_of(kAlice, 1),
         "the claim of a session that is there stays, however old it is");
  expect(!need(store->load_claim(kBob), "loading a claim"),
         "the claim of a session that is not there is removed");
  need(put(*store, kAlice, 2, {1}), "saving the refresh that was claimed");
}

void sweep_is_safe_beside_work(StorePlace& place) {
  constexpr int kRounds = 20;
  on_threads(2, [&](int thread) {
    const auto store = open(place);
    for (int round = 1; round <= kRounds; ++round) {
      if (thread == 0) {
        static_cast<void>(need(store->sweep(kBegun), "sweeping"));
        continue;
      }
      const auto revision = static_cast<std::uint64_t>(round);
      need(put(*store, kAlice, revision, {revision - 1}), "saving beside a sweep");
      const auto state = "state " + std::to_string(round);
      need(store->save_pending(login_until(state, kBegun + minutes(10)), kBegun),
           "keeping a login beside a sweep");
      expect(need(store->take_pending(sha256_base64url(state), kBegun), "taking it").has_value(),
             "a login under way survives a sweep");
    }
  });
  expect(stored(*open(place), kAlice) == kRounds, "so does the session");
}

}  // namespace

std::vector<Rule> sweep_rules() {
  return {{"sweep.removes_expired_pending", sweep_ends_pending},
          {"sweep.keeps_sessions", sweep_keeps_sessions},
          {"sweep.removes_claims_of_nobody", sweep_ends_claims_of_nobody},
          {"sweep.is_safe_beside_work", sweep_is_safe_beside_work}};
}

}  // namespace latchkey::test
