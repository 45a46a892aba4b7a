// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <iterator>
#include <memory>
#include <ranges>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

import latchkey.atproto.identifier;
import latchkey.atproto.pagination;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Lists that a server gives page by page.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Range = PagedRange<int>;
static_assert(std::input_iterator<Range::Iterator>);
static_assert(std::ranges::input_range<Range>);

/// All items as text, "!" with the detail for an error.
std::string walk(Range::Fetch fetch) {
  std::string out;
  Range range(std::move(fetch));
  for (const Result<int>& item : range) {
    out += (out.empty() ? "" : " ") + (item ? std::to_string(*item) : "!" + item.error().detail);
  }
  return out;
}

/// Gives the pages one after the other.
Range::Fetch pages(std::vector<Page<int>> list, std::vector<std::string>* asked = nullptr) {
  return [list = std::move(list), asked,
          n = std::size_t{0}](const std::string& cursor) mutable -> Result<Page<int>> {
    if (asked != nullptr) asked->push_back(cursor);
    if (n == list.size()) return make_error(ErrorCode::io, "test.beyond", "no such page");
    return list[n++];
  };
}

}  // namespace

TEST_CASE("PagedRange: gives every item once, and asks for each page with the cursor before it",
          "[pds]") {
  std::vector<std::string> asked;
  CHECK(walk(pages({{{1, 2}, "a"}, {{}, "b"}, {{3}, ""}}, &asked)) == "1 2 3");
  CHECK(asked == std::vector<std::string>{"", "a", "b"});
  CHECK(walk(pages({{{}, ""}})).empty());
}

TEST_CASE("PagedRange: an error is the last item, after all that came before it", "[pds]") {
  CHECK(walk(pages({})) == "!test.beyond");
  CHECK(walk(pages({{{1, 2}, "a"}})) == "1 2 !test.beyond");
}

TEST_CASE("PagedRange: a page is asked for only when its first item is wanted", "[pds]") {
  std::vector<std::string> asked;
  Range range(pages({{{1, 2}, "a"}, {{3}, ""}}, &asked));
  CHECK(asked.empty());
  auto it = range.begin();
  CHECK(**it == 1);
  ++it;
  CHECK(asked.size() == 1);
  ++it;
  CHECK(**it == 3);
  CHECK(asked.size() == 2);
  it++;
  CHECK(it == range.end());
}

TEST_CASE("PagedRange: a server that goes round in circles is found out", "[pds]") {
  CHECK(walk(pages({{{1}, "a"}, {{2}, "a"}})) == "1 !page.cursor_again");
  CHECK(walk(pages({{{1}, "a"}, {{2}, "b"}, {{3}, "a"}})) == "1 2 !page.cursor_again");
  int n = 0;
  CHECK(walk([&](const std::string&) -> Result<Page<int>> {
          return Page<int>{{}, std::to_string(++n)};
        }) == "!page.empty_pages");
  CHECK(n == 101);
}

TEST_CASE("PagedRange: a cursor that is too long for a request is an error", "[pds]") {
  CHECK(walk(pages({{{1}, std::string(8192, 'x')}, {{2}, ""}})) == "1 2");
  CHECK(walk(pages({{{1}, std::string(8193, 'x')}, {{2}, ""}})) == "!page.cursor_long");
}

TEST_CASE("PagedRange: an item can be moved out", "[pds]") {
  PagedRange<std::unique_ptr<int>> range(
      [](const std::string&) -> Result<Page<std::unique_ptr<int>>> {
        Page<std::unique_ptr<int>> page;
        page.items.push_back(std::make_unique<int>(7));
        return page;
      });
  std::vector<int> seen;
  for (auto& item : range) seen.push_back(*std::unique_ptr<int>(*std::move(item)));
  CHECK(seen == std::vector<int>{7});
}

TEST_CASE("list_all_records: walks through the pages of a repository", "[pds]") {
  ResourceWorld w;
  const auto page = [](std::string_view uri, std::string_view cursor) {
    return json_answer(200, R"({"records":[{"uri":")" + std::string(uri) +
                                R"(","cid":"c","value":{}}],"cursor":)" + std::string(cursor) +
                                "}");
  };
  w.pds->push(page("at://1", R"("c1")"));
  w.pds->push(page("at://2", R"("c2")"));
  w.pds->push(json_answer(500, "{}"));
  const PdsClient client(w.keeper, std::make_shared<TidSource>(*w.world.clock, *w.world.random),
                         std::string(kSubject));
  std::vector<std::string> seen;
  auto records = client.list_all_records("a.b.c", {.repo = "bob.test", .limit = 1, .cursor = "c0"});
  for (const auto& record : records) seen.push_back(record ? record->uri : record.error().detail);
  CHECK(seen == std::vector<std::string>{"at://1", "at://2", "xrpc.status"});
  CHECK(w.requests()[0].url.target().ends_with("limit=1&cursor=c0"));
  CHECK(w.requests()[2].url.target().ends_with("limit=1&cursor=c2"));
}

TEST_CASE("list_all_records: a request to stop ends the walk with it", "[pds]") {
  ResourceWorld w;
  std::stop_source stop;
  w.pds->push([&](const HttpRequest&, const SendOptions& options) -> Result<HttpResponse> {
    stop.request_stop();
    CHECK(options.stop.stop_requested());
    return make_error(ErrorCode::cancelled, "http.cancelled", "stopped");
  });
  const PdsClient client(w.keeper, std::make_shared<TidSource>(*w.world.clock, *w.world.random),
                         std::string(kSubject));
  auto records = client.list_all_records("a.b.c", {.stop = stop.get_token()});
  std::vector<std::string> seen;
  for (const auto& record : records) seen.push_back(record ? record->uri : record.error().detail);
  CHECK(seen == std::vector<std::string>{"http.cancelled"});
}
