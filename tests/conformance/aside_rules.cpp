// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.rules;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.test.conformance;

// Unreadable records moved aside, and what lies beside the records.

namespace latchkey::test {
namespace {

OAuthSession session_of(std::string_view subject, std::uint64_t revision) {
  return {record_of(subject, revision).summary, SecretString("access"), SecretString("refresh"),
          std::nullopt};
}

std::vector<std::string> listed(OAuthTokenStore& store) {
  std::vector<std::string> names;
  for (const auto& row : need(store.list("", 1000), "listing").sessions) names.push_back(row.name);
  std::sort(names.begin(), names.end());
  return names;
}

// One whose box is none: the tokens are lost, and only load() can tell.
void unopenable_is_moved(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(store->save(session_of(kBob, 2), kNone), "saving a good session");
  expect(!store->load(kAlice), "a box that is none cannot be opened");
  const auto before = store->change_count(kAlice);
  const auto entry = need(store->quarantine(kAlice), "moving it aside");
  expect(!entry.where.empty() && !entry.why.empty(), "it says where it lies and why");
  expect(store->change_count(kAlice) != before, "that it is gone is announced");
  expect(!need(store->load(kAlice), "loading"), "it is not there any more");
  expect(listed(*store) == std::vector{std::string(kBob)}, "others stay");
  expect(need(open(place)->quarantined(), "listing what lies aside") == std::vector{entry},
         "it is listed among what lies aside, by another instance too");
  need(store->save(session_of(kAlice, 3), kNone), "logging in again");
  expect(need(store->load(kAlice), "loading").has_value(), "the new session is there");
  expect(need(store->quarantined(), "listing").size() == 1, "and the old one still lies aside");
}

void damaged_is_moved(StorePlace& place) {
  {
    const auto store = open(place);
    need(store->save(session_of(kAlice, 1), kNone), "saving");
    need(store->save(session_of(kBob, 2), kNone), "saving");
  }
  if (!place.damage(kAlice)) throw Skipped{"records cannot be damaged here"};
  const auto store = open(place);
  expect(!store->save(session_of(kAlice, 3), kNone), "it is not overwritten by a new login");
  const auto rows = need(store->list("", 10), "listing").sessions;
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [](const ListedSession& each) { return each.error.has_value(); });
  expect(row != rows.end(), "it is listed as an error");
  need(store->quarantine(row->name), "moving it aside by the name of its row");
  need(store->save(session_of(kAlice, 3), kNone), "logging in again");
  expect(listed(*store) == std::vector{std::string(kAlice), std::string(kBob)},
         "both can be read now");
}

void readable_stays(StorePlace& place) {
  const auto store = open(place);
  need(store->save(session_of(kAlice, 1), kNone), "saving");
  const auto refused = store->quarantine(kAlice);
  expect_error(error_of(refused), ErrorCode::conflict, "moving a readable record aside");
  expect(refused.error().detail == "store.readable", "the detail is store.readable");
  expect(need(store->load(kAlice), "loading").has_value(), "it is still there");
  expect(need(store->quarantined(), "listing").empty(), "nothing lies aside");
}

void absent_is_refused(StorePlace& place) {
  const auto store = open(place);
  for (const std::string_view name :
       {kAlice, std::string_view("row 1"), std::string_view(""), std::string_view("../x"),
        std::string_view("."), std::string_view("..")}) {
    expect_error(error_of(store->quarantine(name)), ErrorCode::invalid_argument,
                 "moving a record aside that is not there");
  }
}

void several_can_lie_aside(StorePlace& place) {
  const auto store = open(place);
  for (std::uint64_t revision = 1; revision < 4; ++revision) {
    need(put(*store, kAlice, revision), "saving");
    need(store->quarantine(kAlice), "moving it aside");
  }
  const auto entries = need(store->quarantined(), "listing");
  expect(entries.size() == 3, "each is kept");
  expect(entries[0].where != entries[1].where && entries[1].where != entries[2].where,
         "each in its own place");
}

void only_one_moves_it(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  on_threads(8, [&](int) { static_cast<void>(open(place)->quarantine(kAlice).has_value()); });
  expect(need(store->quarantined(), "listing").size() == 1,
         "of several at once exactly one moves it");
}

void side_records_are_listed(StorePlace& place) {
  const auto store = open(place);
  expect(need(store->side_records(), "listing").claims.empty(), "there is nothing at first");
  const TimePoint now{std::chrono::milliseconds{1'790'000'000'000}};
  const RefreshClaim claim{.subject = std::string(kAlice),
                           .revision = {1},
                           .id = 5,
                           .at = now,
                           .pid = 1,
                           .host = "host"};
  need(store->save_claim(claim), "claiming");
  const PendingRecord pending{.key = sha256_base64url("state"),
                              .expires_at = now + std::chrono::minutes(10),
                              .box = {1, 2, 3}};
  need(store->save_pending(pending, now), "keeping a pending login");
  const auto side = need(open(place)->side_records(), "listing");
  expect(side.claims.size() == 1 && side.claims[0].claim == claim && !side.claims[0].error &&
             side.claims[0].name == kAlice,
         "a claim is listed, without a record too");
  expect(side.pending.size() == 1 && side.pending[0].pending && !side.pending[0].error,
         "a pending login is listed");
  const auto& kept = *side.pending[0].pending;
  expect(kept.key == pending.key && kept.expires_at == pending.expires_at &&
             kept.box == pending.box && side.pending[0].name == pending.key,
         "a pending login is listed in every member");
  expect(!need(store->take_pending(pending.key, pending.expires_at), "taking"),
         "taking an expired one gives nothing");
  expect(need(store->side_records(), "listing").pending.empty(), "and removes it");
}

}  // namespace

std::vector<Rule> aside_rules() {
  return {{"quarantine.moves_what_cannot_be_opened", unopenable_is_moved},
          {"quarantine.moves_what_cannot_be_read", damaged_is_moved},
          {"quarantine.refuses_readable_records", readable_stays},
          {"quarantine.refuses_absent_records", absent_is_refused},
          {"quarantine.keeps_several", several_can_lie_aside},
          {"quarantine.moves_once", only_one_moves_it},
          {"side_records.lists_claims_and_pending_logins", side_records_are_listed}};
}

}  // namespace latchkey::test
