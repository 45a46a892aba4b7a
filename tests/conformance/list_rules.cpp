// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.rules;
import latchkey.core.error;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.conformance;

namespace latchkey::test {
namespace {

constexpr int kSessions = 25;

std::string subject_of(int number) {
  return "did:plc:" + std::to_string(100 + number);
}

void fill(OAuthTokenStore& store) {
  for (int i = 0; i < kSessions; ++i) {
    need(put(store, subject_of(i), static_cast<std::uint64_t>(i + 1)), "saving");
  }
}

std::vector<ListedSession> all(OAuthTokenStore& store, std::size_t limit) {
  std::vector<ListedSession> rows;
  std::string cursor;
  do {
    auto page = need(store.list(cursor, limit), "listing");
    expect(page.sessions.size() <= limit, "a page has no more rows than asked for");
    expect(page.next.empty() || page.next != cursor, "a cursor moves on");
    for (auto& row : page.sessions) rows.push_back(std::move(row));
    cursor = page.next;
  } while (!cursor.empty());
  return rows;
}

std::vector<std::string> names(const std::vector<ListedSession>& rows) {
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(row.name);
  return out;
}

void list_is_complete(StorePlace& place) {
  const auto store = open(place);
  expect(all(*store, 10).empty(), "an empty store lists nothing");
  fill(*store);
  const auto rows = all(*store, 1000);
  expect(rows.size() == kSessions, "every session is listed");
  for (const auto& row : rows) {
    expect(row.summary.has_value() && !row.error, "a readable session has a summary");
    expect(row.name == row.summary->subject, "a row is named by its subject");
    const auto record = record_of(row.name, row.summary->revision.value);
    expect(*row.summary == record.summary, "a summary is listed in every member");
  }
}

void list_has_pages(StorePlace& place) {
  const auto store = open(place);
  fill(*store);
  const auto whole = names(all(*store, 1000));
  expect(std::set(whole.begin(), whole.end()).size() == kSessions, "no session is listed twice");
  for (const std::size_t limit : {1u, 2u, 7u, 24u, 25u, 26u}) {
    expect(names(all(*store, limit)) == whole,
           "pages of any size give the same rows in the same order");
  }
  expect(names(all(*open(place), 7)) == whole, "another instance gives the same order");
}

void list_is_stable(StorePlace& place) {
  const auto store = open(place);
  fill(*store);
  const auto before = names(all(*store, 1000));
  const auto page = need(store->list("", 10), "listing");
  need(put(*store, subject_of(3), 1003, {4}), "renewing a session while it is listed");
  need(store->remove(page.sessions[9].name, page.sessions[9].summary->revision.value == 4
                                                ? Revision{1003}
                                                : page.sessions[9].summary->revision),
       "removing the session that the cursor stands on");
  auto expected = before;
  expected.erase(expected.begin() + 9);
  expect(names(all(*store, 1000)) == expected, "a renewal or a removal changes no other's place");
  const auto rest = need(store->list(page.next, 1000), "going on");
  expect(names(rest.sessions) == std::vector<std::string>(before.begin() + 10, before.end()),
         "a cursor goes on behind a session that was removed");
}

void list_checks_arguments(StorePlace& place) {
  const auto store = open(place);
  need(put(*store, kAlice, 1), "saving");
  constexpr auto code = ErrorCode::invalid_argument;
  expect_error(error_of(store->list("", 0)), code, "a page of no rows");
  expect_error(error_of(store->list("", 1001)), code, "a page of too many rows");
  expect_error(error_of(store->list("no cursor!", 10)), code, "a cursor that is none");
}

void list_reports_unreadable(StorePlace& place) {
  const auto store = open(place);
  fill(*store);
  const auto before = names(all(*store, 1000));
  if (!place.damage(subject_of(3))) throw Skipped{"records cannot be damaged here"};
  const auto rows = all(*open(place), 4);
  expect(rows.size() == kSessions, "an unreadable record is listed too");
  const auto broken = std::count_if(rows.begin(), rows.end(), [](const ListedSession& row) {
    return row.error && !row.summary && !row.name.empty();
  });
  expect(broken == 1, "it is listed as an error, and the only one");
}

}  // namespace

std::vector<Rule> list_rules() {
  return {{"list.has_every_session", list_is_complete},
          {"list.pages_add_up", list_has_pages},
          {"list.order_is_stable", list_is_stable},
          {"list.checks_its_arguments", list_checks_arguments},
          {"list.reports_unreadable_records", list_reports_unreadable}};
}

}  // namespace latchkey::test
