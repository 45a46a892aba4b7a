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
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

RefreshClaim claim_of(std::string_view subject, std::uint64_t revision, std::uint64_t id) {
  return {.subject = std::string(subject),
          .revision = {revision},
          .id = id,
          .at = TimePoint{std::chrono::milliseconds{1'790'000'000'456}},
          .pid = 4711,
          .host = "host \"one\""};
}

std::optional<RefreshClaim> claim_in(OAuthTokenStore& store, std::string_view subject) {
  return need(store.load_claim(subject), "loading a claim");
}

void claim_is_kept(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  expect(!claim_in(*store, kAlice), "there is no claim at first");
  const auto first = claim_of(kAlice, 1, 0xFFFF'FFFF'FFFF'FFFF);
  need(store->save_claim(first), "claiming");
  expect(claim_in(*open(place), kAlice) == first, "a claim comes back in every member");
  const auto second = claim_of(kAlice, 1, 2);
  need(store->save_claim(second), "claiming again");
  expect(claim_in(*store, kAlice) == second, "a claim replaces the one before");
  expect(!claim_in(*store, kBob), "another subject has none");
  expect(stored(*store, kAlice) == 1, "a claim does not touch the record");
}

void claim_is_cleared_by_id(StorePlace& place) {
  const auto store = open(place);
  need(store->clear_claim(kAlice, 1), "clearing a claim that is not there");
  need(store->save_claim(claim_of(kAlice, 1, 1)), "claiming");
  need(store->save_claim(claim_of(kBob, 1, 1)), "claiming for another subject");
  need(store->clear_claim(kAlice, 2), "clearing with another id");
  expect(claim_in(*store, kAlice).has_value(), "somebody else's claim stays");
  need(open(place)->clear_claim(kAlice, 1), "clearing");
  expect(!claim_in(*store, kAlice), "a cleared claim is gone");
  expect(claim_in(*store, kBob).has_value(), "another subject's claim stays");
  need(store->clear_claim(kAlice, 1), "clearing again");
}

void claim_ends_with_its_revision(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(store->save_claim(claim_of(kAlice, 1, 1)), "claiming");
  expect_error(error_of(put(*store, kAlice, 2, {9})), ErrorCode::conflict, "a save that fails");
  expect(claim_in(*store, kAlice) == claim_of(kAlice, 1, 1), "a save that failed leaves the claim");
  need(put(*store, kAlice, 2, {1}), "saving the next revision");
  const auto claim = claim_in(*store, kAlice);
  expect(!claim || claim->revision != Revision{2}, "no claim counts for the new revision");
  need(store->remove(kAlice, {2}), "removing");
  expect(!claim_in(*store, kAlice), "no claim is left behind by a removal");
}

void room_is_used(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  const auto held = need(store->lease(kAlice, patiently(place)), "taking the lease");
  need(store->reserve_room(kAlice, 4096), "making room");
  expect(stored(*store, kAlice) == 1, "room does not touch the record");
  need(store->save_claim(claim_of(kAlice, 1, 1)), "claiming");
  need(put(*store, kAlice, 2, {1}), "saving into the room");
  expect(stored(*open(place), kAlice) == 2, "what was saved into the room is there");
  need(put(*store, kAlice, 3, {2}), "saving when the room is used up");
  need(store->reserve_room(kAlice, 16), "making little room");
  need(put(*store, kAlice, 4, {3}), "saving more than there is room");
  need(store->reserve_room(kAlice, 4096), "making room");
  need(store->reserve_room(kAlice, 8192), "making more room");
  expect_error(error_of(put(*store, kAlice, 5, {1})), ErrorCode::conflict,
               "a conflict with room at hand");
  need(put(*store, kAlice, 5, {4}), "saving after the conflict");
  const auto rows = need(store->list("", 10), "listing");
  expect(rows.sessions.size() == 1 && !rows.sessions[0].error, "room is not listed");
}

void room_is_released(StorePlace& place) {
  const auto store = open(place);
  {
    const auto held = need(store->lease(kAlice, patiently(place)), "taking the lease");
    store->release_room(kAlice);
    need(store->reserve_room(kAlice, 4096), "making room");
    store->release_room(kAlice);
    need(store->reserve_room(kAlice, 4096), "making room again");
  }
  // Whoever comes next is not in the way of what was left, and what was left is not in his.
  const auto other = open(place);
  const auto held = need(other->lease(kAlice, patiently(place)), "taking the lease");
  need(other->reserve_room(kAlice, 4096), "making room after somebody who kept his");
  store->release_room(kAlice);
  need(put(*other, kAlice, 1), "saving");
  expect(stored(*store, kAlice) == 1, "it is there");
}

}  // namespace

std::vector<Rule> refresh_rules() {
  return {{"claim.is_kept_and_replaced", claim_is_kept},
          {"claim.is_cleared_by_its_id", claim_is_cleared_by_id},
          {"claim.ends_with_its_revision", claim_ends_with_its_revision},
          {"room.is_used_by_the_next_save", room_is_used},
          {"room.can_be_released", room_is_released}};
}

}  // namespace latchkey::test
