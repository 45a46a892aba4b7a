// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

void load_absent(StorePlace& place) {
  const auto store = open(place);
  expect(!need(store->load_record(kAlice), "loading from an empty store"),
         "an empty store has no record");
  expect(!need(store->load(kAlice), "loading a session from an empty store"),
         "an empty store has no session");
  need(put(*store, kBob, 1), "saving another subject");
  expect(stored(*store, kAlice) == 0, "another subject's record is not this one's");
}

void load_returns_all(StorePlace& place) {
  const auto store = open(place);
  auto record = record_of(kAlice, 0xFEDC'BA98'7654'3210);
  need(store->save_record(record, kNone), "saving");
  auto loaded = need(store->load_record(kAlice), "loading");
  expect(loaded.has_value(), "what was saved is there");
  expect(*loaded == record, "what was saved comes back in every member");
  record.summary.revision = {2};
  record.summary.expires_at.reset();
  record.summary.state_changed_at.reset();
  record.summary.refresh_expires_at = record.summary.issued_at;
  record.summary.handle.clear();
  record.box.assign(200'000, 0x22);
  need(store->save_record(record, {0xFEDC'BA98'7654'3210}), "saving a larger record");
  loaded = need(store->load_record(kAlice), "loading it");
  expect(loaded && *loaded == record, "an absent time stays absent, and a large box whole");
}

void load_session(StorePlace& place) {
  OAuthSession session{
      record_of(kAlice, 7).summary, SecretString("access"), SecretString("refresh"), {}};
  need(open(place)->save(session, kNone), "saving a session");
  const auto loaded = need(open(place)->load(kAlice), "loading the session");
  expect(loaded.has_value(), "the session is there");
  expect(static_cast<const SessionSummary&>(*loaded) == session, "its clear part is the same");
  expect(loaded->access_token == session.access_token && loaded->refresh_token &&
             *loaded->refresh_token == *session.refresh_token && !loaded->id_token,
         "its tokens are the same");
}

void load_damaged(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(put(*store, kBob, 2), "saving another");
  if (!place.damage(kAlice)) throw Skipped{"records cannot be damaged here"};
  const auto loaded = open(place)->load_record(kAlice);
  expect(!loaded, "an unreadable record is an error and not absent");
  expect(loaded.error().code != ErrorCode::locked, "an unreadable record is not locked");
  expect(!put(*store, kAlice, 3), "an unreadable record is not overwritten by a first save");
  expect(!put(*store, kAlice, 3, {7}), "nor by one with another revision");
  expect(!open(place)->load_record(kAlice), "and is still unreadable after that");
  expect(stored(*store, kBob) == 2, "other subjects are not concerned");
}

void save_compares(StorePlace& place) {
  const auto store = open(place);
  expect_error(error_of(put(*store, kAlice, 1, {9})), ErrorCode::conflict,
               "saving over a revision when there is no record");
  expect(stored(*store, kAlice) == 0, "a conflict saves nothing");
  need(put(*store, kAlice, 1), "the first save");
  expect_error(error_of(put(*store, kAlice, 2)), ErrorCode::conflict,
               "a first save when there is a record");
  expect_error(error_of(put(*store, kAlice, 2, {9})), ErrorCode::conflict,
               "saving over another revision");
  expect(stored(*store, kAlice) == 1, "a conflict changes nothing");
  need(put(*store, kAlice, 2, {1}), "saving over the stored revision");
  expect(stored(*store, kAlice) == 2, "a save replaces the record");
  expect_error(error_of(put(*store, kAlice, 3, {1})), ErrorCode::conflict,
               "saving over a revision that was replaced");
}

void save_own_revision(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(put(*store, kAlice, 1), "the same first save again");
  need(put(*store, kAlice, 2, {1}), "saving the next");
  need(put(*open(place), kAlice, 2, {1}), "the same save again");
  expect(stored(*store, kAlice) == 2, "it is still the one that was saved");
}

void save_one_winner(StorePlace& place) {
  constexpr int kThreads = 4, kRounds = 8;
  const auto first = open(place);
  need(put(*first, kAlice, 1000), "saving");
  std::uint64_t current = 1000;
  for (int round = 1; round <= kRounds; ++round) {
    std::atomic<int> winners = 0;
    std::atomic<std::uint64_t> winner = 0;
    on_threads(kThreads, [&](int thread) {
      const auto mine = static_cast<std::uint64_t>(2000 + round * 100 + thread);
      const auto done = put(*open(place), kAlice, mine, {current});
      if (!done) return expect_error(&done.error(), ErrorCode::conflict, "losing a race");
      ++winners;
      winner = mine;
    });
    expect(winners == 1, "of several saves over one revision exactly one succeeds");
    current = stored(*first, kAlice);
    expect(current == winner, "the record is the winner's");
  }
}

void save_bounds(StorePlace& place) {
  const auto store = open(place);
  auto record = record_of(kAlice, 0);
  expect_error(error_of(store->save_record(record, kNone)), ErrorCode::invalid_argument,
               "saving without a revision");
  record.summary.revision = {1};
  record.box.resize(kMaxBoxSize + 1);
  expect_error(error_of(store->save_record(record, kNone)), ErrorCode::invalid_argument,
               "saving a box over the limit");
  record.box.resize(kMaxBoxSize);
  need(store->save_record(record, kNone), "saving a box at the limit");
  const auto loaded = need(store->load_record(kAlice), "loading it");
  expect(loaded && *loaded == record, "a box at the limit comes back whole");
}

void remove_is_idempotent(StorePlace& place) {
  const auto store = open(place);
  need(store->remove(kAlice, {5}), "removing what is not there");
  need(put(*store, kAlice, 1), "saving");
  need(put(*store, kBob, 2), "saving another");
  need(store->remove(kAlice, {1}), "removing");
  expect(stored(*store, kAlice) == 0, "what was removed is absent");
  expect(stored(*open(place), kAlice) == 0, "also for another instance");
  need(store->remove(kAlice, {1}), "removing it again");
  expect(stored(*store, kBob) == 2, "the other subject stays");
  need(put(*store, kAlice, 3), "a first save after a removal");
}

void remove_compares(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  need(put(*open(place), kAlice, 2, {1}), "renewing");
  expect_error(error_of(store->remove(kAlice, {1})), ErrorCode::conflict,
               "removing a record that was renewed");
  expect_error(error_of(store->remove(kAlice, kNone)), ErrorCode::conflict,
               "removing without a revision");
  expect(stored(*store, kAlice) == 2, "the renewed record stays");
}

std::vector<std::string> tricky_subjects() {
  std::vector<std::string> subjects{"a",
                                    "A",
                                    "did:web:a:b",
                                    "did:web:a_b",
                                    "did:web:a%3Ab",
                                    "did:web:A:b",
                                    "../../etc/passwd",
                                    "..",
                                    ".",
                                    "/",
                                    "a/b",
                                    "a\\b",
                                    "a.json",
                                    " a",
                                    "a ",
                                    "\"'; DROP TABLE sessions; --",
                                    "\xC3\xA4",
                                    "a\xCC\x88",
                                    "\xF0\x9F\x94\x91",
                                    "%",
                                    "%61",
                                    "*",
                                    "https://issuer.example|subject"};
  subjects.push_back(std::string(2048, 'x'));
  subjects.push_back(std::string(2047, 'x') + 'y');
  subjects.push_back(std::string(2047, 'x'));
  subjects.push_back(std::string(2047, 'x') + 'X');
  return subjects;
}

void subjects_are_distinct(StorePlace& place) {
  const auto store = open(place);
  const auto subjects = tricky_subjects();
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    need(put(*store, subjects[i], i + 1), "the first save of a tricky subject");
  }
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const auto record = need(store->load_record(subjects[i]), "loading a tricky subject");
    expect(record && *record == record_of(subjects[i], i + 1), "each subject has its own record");
  }
  need(store->remove(subjects[0], {1}), "removing one of them");
  expect(stored(*store, subjects[1]) == 2, "another in spelling or case stays");
}

void subjects_are_checked(StorePlace& place) {
  const auto store = open(place);
  for (const auto& subject : {std::string(), std::string(2049, 'x'), std::string("a\nb"),
                              std::string("a\0b", 3), std::string("\xFF")}) {
    constexpr auto code = ErrorCode::invalid_argument;
    expect_error(error_of(store->load_record(subject)), code, "loading a bad subject");
    expect_error(error_of(put(*store, subject, 1)), code, "saving a bad subject");
    expect_error(error_of(store->remove(subject, {1})), code, "removing a bad subject");
    expect_error(error_of(store->lease(subject, briefly(place))), code, "leasing a bad subject");
    expect_error(error_of(store->reserve_room(subject, 1)), code, "reserving for a bad subject");
    expect_error(error_of(store->load_claim(subject)), code, "the claim of a bad subject");
  }
}

void instances_share(StorePlace& place) {
  const auto first = open(place);
  const auto second = open(place);
  need(put(*first, kAlice, 1), "saving through one instance");
  expect(stored(*second, kAlice) == 1, "the other instance sees it");
  need(put(*second, kAlice, 2, {1}), "saving through the other");
  expect(stored(*first, kAlice) == 2, "the first instance sees that");
  need(first->remove(kAlice, {2}), "removing through the first");
  expect(stored(*second, kAlice) == 0, "the other sees that too");
}

}  // namespace

std::vector<Rule> record_rules() {
  return {{"load.absent_is_empty", load_absent},
          {"load.returns_every_member", load_returns_all},
          {"load.unseals_what_was_sealed", load_session},
          {"load.unreadable_is_an_error", load_damaged},
          {"save.compares_revisions", save_compares},
          {"save.own_revision_counts_as_saved", save_own_revision},
          {"save.has_one_winner", save_one_winner},
          {"save.has_bounds", save_bounds},
          {"remove.is_idempotent", remove_is_idempotent},
          {"remove.compares_revisions", remove_compares},
          {"subjects.never_share_a_record", subjects_are_distinct},
          {"subjects.are_checked", subjects_are_checked},
          {"instances.see_each_other", instances_share}};
}

}  // namespace latchkey::test
