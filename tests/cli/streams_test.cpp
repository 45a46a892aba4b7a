// SPDX-License-Identifier: MIT
#include <signal.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What the tool reads and writes, and what happens when it can't.

using namespace latchkey::test;
using Json = nlohmann::json;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr std::string_view kCreate = "/xrpc/com.atproto.repo.createRecord";

struct Wired {
  Services services{};
  Home home{};
  Wired() {
    home.plant(kAlice, services.origin());
    services.on(std::string(kCreate), [](const std::string&) {
      return json_http(200, R"({"uri":"at://a/b/c","cid":"bafy"})");
    });
  }
  [[nodiscard]] ToolStart create(std::string value, Input input = {}) const {
    ToolStart start =
        home.start({"record", "create", "app.bsky.feed.post", std::move(value)}, services);
    start.input = std::move(input);
    return start;
  }
  [[nodiscard]] Json sent() const {
    return Json::parse(body_of_request(services.requests_to(kCreate).back()))["record"];
  }
};

}  // namespace

TEST_CASE("record create: the record is an argument, standard input or a file", "[cli]") {
  const Wired w;
  const Json expected{{"$type", "app.bsky.feed.post"}, {"text", "hi"}};
  CHECK(run(w.create(R"({"text":"hi"})")).status == 0);
  CHECK(w.sent() == expected);
  CHECK(run(w.create("-", typed("{\"text\":\n\"hi\"}\n"))).status == 0);
  CHECK(w.sent() == expected);
  const auto file = w.home.path() / "record.json";
  write_text(file, R"({"text":"hi"})");
  const ToolRun run_of_file = run(w.create("@" + file.native()));
  CHECK(run_of_file.status == 0);
  CHECK(run_of_file.out == "at://a/b/c bafy\n");
  CHECK(run_of_file.err.empty());
  CHECK(w.sent() == expected);
  const std::string big = "{\"text\":\"" + std::string(200'000, 'x') + "\"}";
  CHECK(run(w.create("-", typed(big))).status == 0);
  CHECK(w.sent()["text"].get<std::string>().size() == 200'000);
}

TEST_CASE("record create: what can't be read is an error, and nothing is sent", "[cli]") {
  const Wired w;
  const auto fails = [&](ToolStart start, int status, std::string_view detail) {
    start.words.emplace_back("--json");
    const ToolRun failed = run(std::move(start));
    CHECK(failed.status == status);
    CHECK(failed.out.empty());
    CHECK(Json::parse(failed.err)["error"]["detail"] == detail);
  };
  fails(w.create("@" + (w.home.path() / "missing").native()), 1, "cli.input");
  fails(w.create("@" + w.home.path().native()), 1, "cli.input");
  fails(w.create("@"), 1, "cli.input");
  fails(w.create("-"), 2, "record.not_json");  // nothing in it
  fails(w.create("-", {.kind = Input::Kind::closed}), 2, "record.not_json");
  fails(w.create("-", typed("{\"text\":\"" + std::string(17 * 1024 * 1024, 'x') + "\"}")), 1,
        "cli.input");
  fails(w.create("{"), 2, "record.not_json");
  fails(w.create(R"({"$type":"app.bsky.feed.like"})"), 2, "record.type_mismatch");
  CHECK(w.services.requests_to(kCreate).empty());
}

TEST_CASE("record create: Ctrl-C ends the wait for a record that nobody types", "[cli]") {
  const Wired w;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Tool tool(w.create("-", {.kind = Input::Kind::silent}));
    tool.type(std::string(200'000, ' '));  // more than a pipe holds: it has begun to read
    tool.signal(number);
    const ToolRun ended = tool.finish();
    CHECK(ended.status == 1);
    CHECK(ended.out.empty());
    CHECK(has(ended.err, "stopped waiting for standard input"));
  }
  CHECK(w.services.requests_to(kCreate).empty());
}

TEST_CASE("latchkey: a result that can't be written is a failure", "[cli]") {
  const Home home;
  home.plant();
  for (const char* command : {"whoami", "sessions", "doctor"}) {
    CAPTURE(command);
    ToolStart start = home.start({command});
    start.out_path = "/dev/full";
    const ToolRun full = run(std::move(start));
    CHECK(full.status == 1);
    CHECK(has(full.err, "could not be written"));
  }
}

TEST_CASE("latchkey: streams that are closed do not end up in the sessions", "[cli]") {
  const Home home;
  home.plant();
  for (const std::vector<int>& closed : std::vector<std::vector<int>>{{1}, {2}, {1, 2}}) {
    for (const char* command : {"whoami", "frobnicate", "sessions"}) {
      ToolStart start = home.start({command});
      start.closed = closed;
      start.input = {.kind = Input::Kind::closed};
      static_cast<void>(run(std::move(start)));
    }
    const ToolRun after = run(home.start({"whoami"}));
    CHECK(after.status == 0);
    CHECK(after.out == "alice.test (did:plc:ewvi7nxzyoun6zhxrhs64oiz)\n");
  }
}
