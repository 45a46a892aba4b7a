// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.rules;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

// Whatever a power cut may do now, this holds afterwards.
void survives(StorePlace& place, const std::function<void(OAuthTokenStore&)>& check) {
  const auto left = place.after_power_cut();
  if (left.empty()) throw Skipped{"power cuts are not simulated here"};
  for (const auto& after : left) check(*open(*after));
}

void save_survives(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  survives(place, [](auto& after) {
    expect(stored(after, kAlice) == 1, "a first save survives a power cut");
  });
  need(put(*store, kAlice, 2, {1}), "saving");
  survives(place,
           [](auto& after) { expect(stored(after, kAlice) == 2, "a save survives a power cut"); });
  const auto held = need(store->lease(kAlice, patiently(place)), "taking the lease");
  need(store->reserve_room(kAlice, 4096), "making room");
  need(put(*store, kAlice, 3, {2}), "saving into the room");
  survives(place, [](auto& after) {
    expect(stored(after, kAlice) == 3, "a save into room survives a power cut");
  });
}

void remove_survives(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(store->remove(kAlice, {1}), "removing");
  survives(place, [](auto& after) {
    expect(stored(after, kAlice) == 0, "a removal survives a power cut");
  });
}

void claim_survives(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  RefreshClaim claim{
      .subject = std::string(kAlice), .revision = {1}, .id = 5, .pid = 1, .host = "host"};
  for (std::uint64_t id = 5; id < 7; ++id) {
    claim.id = id;
    need(store->save_claim(claim), "claiming");
    survives(place, [&](auto& after) {
      const auto kept = need(after.load_claim(kAlice), "loading the claim");
      expect(kept && *kept == claim, "a claim survives a power cut");
    });
  }
}

void pending_survives(StorePlace& place) {
  const auto store = open(place);
  const TimePoint now{std::chrono::milliseconds{1'790'000'000'000}};
  const auto key = sha256_base64url("state");
  need(store->save_pending({.key = key, .expires_at = now + std::chrono::minutes(10), .box = {1}},
                           now),
       "keeping");
  survives(place, [&](auto& after) {
    expect(need(after.take_pending(key, now), "taking").has_value(),
           "a pending login survives a power cut");
  });
  expect(need(store->take_pending(key, now), "taking").has_value(), "it is there");
  survives(place, [&](auto& after) {
    expect(!need(after.take_pending(key, now), "taking again"),
           "a pending login cannot be taken again after a power cut");
  });
}

void quarantine_survives(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(store->quarantine(kAlice), "moving it aside");
  survives(place, [](auto& after) {
    expect(need(after.quarantined(), "listing").size() == 1,
           "what was moved aside lies there after a power cut");
    expect(stored(after, kAlice) == 0, "and not where it was");
  });
}

}  // namespace

std::vector<Rule> durability_rules() {
  return {{"durable.save", save_survives},
          {"durable.remove", remove_survives},
          {"durable.claim", claim_survives},
          {"durable.pending", pending_survives},
          {"durable.quarantine", quarantine_survives}};
}

}  // namespace latchkey::test
