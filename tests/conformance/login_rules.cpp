// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
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

const TimePoint kNow{std::chrono::milliseconds{1'790'000'000'789}};

PendingRecord pending_of(std::string_view state) {
  return {.key = sha256_base64url(state),
          .expires_at = kNow + minutes(10),
          .box = Bytes(state.begin(), state.end())};
}

std::optional<PendingRecord> take(OAuthTokenStore& store, std::string_view state, TimePoint now) {
  return need(store.take_pending(sha256_base64url(state), now), "taking a pending login");
}

void pending_is_single_use(StorePlace& place) {
  const auto store = open(place);
  expect(!take(*store, "one", kNow), "there is no pending login at first");
  need(store->save_pending(pending_of("one"), kNow), "keeping a pending login");
  need(store->save_pending(pending_of("two"), kNow), "keeping another");
  const auto taken = take(*open(place), "one", kNow);
  expect(taken.has_value(), "it is there, also for another instance");
  const auto wanted = pending_of("one");
  expect(taken->key == wanted.key && taken->expires_at == wanted.expires_at &&
             taken->box == wanted.box,
         "it comes back in every member");
  expect(!take(*store, "one", kNow), "it can be taken only once");
  expect(take(*store, "two", kNow).has_value(), "the other is still there");
}

void pending_has_one_taker(StorePlace& place) {
  const auto store = open(place);
  for (int round = 0; round < 5; ++round) {
    const auto state = "state " + std::to_string(round);
    need(store->save_pending(pending_of(state), kNow), "keeping a pending login");
    std::atomic<int> takers = 0;
    on_threads(4, [&](int) { takers += take(*open(place), state, kNow).has_value(); });
    expect(takers == 1, "of several callers at once exactly one gets it");
  }
}

void pending_expires(StorePlace& place) {
  const auto store = open(place);
  need(store->save_pending(pending_of("early"), kNow), "keeping a pending login");
  need(store->save_pending(pending_of("late"), kNow), "keeping another");
  expect(take(*store, "early", kNow + minutes(10) - Duration(1)).has_value(),
         "it is valid to the last moment");
  expect(!take(*store, "late", kNow + minutes(10)), "it has expired at its expiry");
  expect(!take(*store, "late", kNow), "and cannot be had by turning back the clock");
  need(store->save_pending(pending_of("old"), kNow), "keeping one");
  need(store->save_pending(pending_of("new"), kNow + minutes(5)), "keeping one later");
  auto much_later = pending_of("old");
  much_later.expires_at = kNow + minutes(30);
  need(store->save_pending(much_later, kNow + minutes(15)),
       "an expired one is dropped and its key free");
  expect(take(*store, "old", kNow + minutes(16)).has_value(), "it is the later one");
}

void pending_is_create_only(StorePlace& place) {
  const auto store = open(place);
  need(store->save_pending(pending_of("one"), kNow), "keeping a pending login");
  auto other = pending_of("one");
  other.box = {1, 2, 3};
  other.expires_at += minutes(1);
  expect_error(error_of(open(place)->save_pending(other, kNow)), ErrorCode::conflict,
               "a second one of the same key");
  const auto taken = take(*store, "one", kNow);
  expect(taken && taken->box == pending_of("one").box, "the first one stays");
}

void pending_key_is_checked(StorePlace& place) {
  const auto store = open(place);
  for (const auto* key : {"", "short", "../../../../../../../../etc/passwd1234567", "!"}) {
    auto pending = pending_of("one");
    pending.key = key;
    expect_error(error_of(store->save_pending(pending, kNow)), ErrorCode::invalid_argument,
                 "a key that is no SHA-256");
    expect(!need(store->take_pending(key, kNow), "taking such a key"), "there is nothing under it");
  }
}

void expired_are_swept(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, "did:plc:alice", 1), "saving a session");
  auto later = pending_of("later");
  later.expires_at += minutes(1);
  need(store->save_pending(pending_of("early"), kNow), "keeping a pending login");
  need(store->save_pending(later, kNow), "keeping one that is valid for longer");
  expect(need(store->sweep(kNow), "sweeping").pending == 0, "nothing has expired yet");
  expect(need(open(place)->sweep(kNow + minutes(10)), "sweeping").pending == 1,
         "an expired one is swept at its expiry, by another instance too");
  expect(need(store->sweep(kNow + minutes(10)), "sweeping").pending == 0, "once");
  expect(need(store->side_records(), "listing").pending.size() == 1, "the other stays");
  static_cast<void>(
      need(store->sweep(kNow + std::chrono::hours(24 * 365 * 10)), "sweeping ten years later"));
  expect(stored(*store, "did:plc:alice") == 1, "a session is never swept");
}

void nonces_are_kept(StorePlace& place) {
  const auto store = open(place);
  const auto at = [&](OAuthTokenStore& from, std::string_view origin, std::string_view key) {
    return from.load_nonce(origin, key).value_or("none");
  };
  expect(at(*store, "https://a.example", "key1") == "none", "there is no nonce at first");
  store->save_nonce("https://a.example", "key1", "nonce-1");
  store->save_nonce("https://b.example", "key1", "nonce-2");
  store->save_nonce("https://a.example", "key2", "nonce-3");
  expect(at(*store, "https://a.example", "key1") == "nonce-1", "a nonce is kept");
  expect(at(*store, "https://b.example", "key1") == "nonce-2", "by origin");
  expect(at(*store, "https://a.example", "key2") == "nonce-3", "and by key");
  expect(at(*store, "https://a.example", "key3") == "none", "another key has none");
  expect(at(*store, "https://a.exampl", "ekey1") == "none",
         "origin and key do not run into each other");
  store->save_nonce("https://a.example", "key1", "nonce-4");
  expect(at(*open(place), "https://a.example", "key1") == "nonce-4",
         "the last one counts, for all instances");
}

}  // namespace

std::vector<Rule> login_rules() {
  return {{"pending.is_single_use", pending_is_single_use},
          {"pending.has_one_taker", pending_has_one_taker},
          {"pending.expires", pending_expires},
          {"pending.is_create_only", pending_is_create_only},
          {"pending.key_is_checked", pending_key_is_checked},
          {"sweep.removes_expired_logins_only", expired_are_swept},
          {"nonce.is_kept_by_origin_and_key", nonces_are_kept}};
}

}  // namespace latchkey::test
