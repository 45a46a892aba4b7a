// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Calls by their NSID, blobs, and the options of record commands that say how to write.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const std::string kRepo = "/xrpc/com.atproto.repo.";

// A terminal for standard output.
class OutTerminal {
 public:
  OutTerminal() : screen_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) {
    std::array<char, 64> name{};
    REQUIRE(screen_ >= 0);
    REQUIRE(grantpt(screen_) == 0);
    REQUIRE(unlockpt(screen_) == 0);
    REQUIRE(ptsname_r(screen_, name.data(), name.size()) == 0);
    name_ = name.data();
    held_ = open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);  // keeps what was written
  }
  OutTerminal(const OutTerminal&) = delete;
  OutTerminal& operator=(const OutTerminal&) = delete;
  ~OutTerminal() {
    close(held_);
    close(screen_);
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// So far; what fits into a terminal's buffer.
  [[nodiscard]] std::string shown() const {
    std::array<char, 4096> text{};
    const auto size = read(screen_, text.data(), text.size());
    return {text.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
  }

 private:
  int screen_, held_ = -1;
  std::string name_;
};

struct Wired {
  Services services{};
  Home home{};
  Wired() { home.plant(kAlice, services.origin()); }
  [[nodiscard]] ToolRun operator()(Words words) const {
    ToolRun done = run(home.start(std::move(words), services));
    CHECK_FALSE(has(done.out + done.err, "Marked"));
    return done;
  }
  void says(const std::string& path, int status, const std::string& body) {
    services.on(path, [=](const std::string&) { return json_http(status, body); });
  }
};

}  // namespace

TEST_CASE("query: parameters and service go out, the answer comes out as it is", "[cli]") {
  Wired w;
  const std::string path = "/xrpc/app.bsky.feed.getTimeline";
  w.says(path, 200, R"({"feed": [ ]})");
  const ToolRun done = w({"query", "app.bsky.feed.getTimeline", "limit=5", "tag=a b", "tag=c",
                          "--proxy", "did:web:api.bsky.app#bsky_appview"});
  CHECK(done.status == 0);
  CHECK(done.out == "{\"feed\": [ ]}\n");
  const std::string seen = w.services.requests_to(path)[0];
  CHECK(has(seen, "GET " + path + "?limit=5&tag=a%20b&tag=c HTTP"));
  CHECK(has(seen, "atproto-proxy:did:web:api.bsky.app#bsky_appview"));
}

TEST_CASE("query: what is no parameter, no NSID and no service is a usage error", "[cli]") {
  Wired w;
  CHECK(w({"query", "a.b.c", "limit"}).status == 2);
  CHECK(w({"query", "a.b.c", "=5"}).status == 2);
  CHECK(w({"query", "nope"}).status == 2);
  CHECK(w({"query", "a.b.c", "--proxy", "did:web:api.bsky.app"}).status == 2);
}

TEST_CASE("procedure: a body goes out as JSON", "[cli]") {
  Wired w;
  w.says("/xrpc/com.example.do", 200, "{}");
  CHECK(w({"procedure", "com.example.do", R"({"a":1})"}).status == 0);
  CHECK(body_of_request(w.services.requests_to("/xrpc/com.example.do")[0]) == R"({"a":1})");
}

TEST_CASE("blob upload: a file goes out under its type, and a reference is printed", "[cli]") {
  Wired w;
  const TemporaryFolder folder;
  const auto file = folder.path() / "picture.png";
  std::ofstream(file) << "abc";
  w.says("/xrpc/com.atproto.repo.uploadBlob", 200,
         R"({"blob":{"$type":"blob","ref":{"$link":"bafkreib"},"mimeType":"image/png","size":3}})");
  const ToolRun done = w({"blob", "upload", file.string(), "--type", "image/png"});
  CHECK(done.status == 0);
  CHECK(Json::parse(done.out)["ref"]["$link"] == "bafkreib");
  const std::string seen = w.services.requests_to(kRepo + "uploadBlob")[0];
  CHECK(has(seen, "Content-Type:image/png"));
  CHECK(body_of_request(seen) == "abc");
}

TEST_CASE("blob upload: a file that is not there, and a type that is none, are failures", "[cli]") {
  Wired w;
  CHECK(w({"blob", "upload", "/nowhere/at/all"}).status == 1);
  CHECK(w({"blob", "upload", "/dev/null"}).status == 1);
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "x") << "abc";
  CHECK(w({"blob", "upload", (folder.path() / "x").string(), "--type", "picture"}).status == 2);
}

TEST_CASE("record: validation and the last commit are conditions of a write", "[cli]") {
  Wired w;
  w.says(kRepo + "createRecord", 200, R"({"uri":"at://a/b/c","cid":"bafy1"})");
  REQUIRE(w({"record", "create", "x.y.z", "{}", "--validate", "--swap-commit", "bafyc"}).status ==
          0);
  REQUIRE(w({"record", "create", "x.y.z", "{}", "--no-validate"}).status == 0);
  CHECK(w({"record", "create", "x.y.z", "{}", "--no-validate", "--validate"}).status == 2);
  const auto seen = w.services.requests_to(kRepo + "createRecord");
  REQUIRE(seen.size() == 2);
  const Json strict = Json::parse(body_of_request(seen[0]));
  CHECK(strict["validate"] == true);
  CHECK(strict["swapCommit"] == "bafyc");
  CHECK(Json::parse(body_of_request(seen[1]))["validate"] == false);
}

TEST_CASE("record list: with --all there is one record a line, and an error at the end is one",
          "[cli]") {
  Wired w;
  w.says(kRepo + "listRecords", 200,
         R"({"cursor":"again","records":[{"uri":"at://a/b/c","value":{"n":1}}]})");
  const ToolRun list = w({"record", "list", "x.y.z", "--all"});
  CHECK(list.status == 1);  // the server goes round in circles
  CHECK(list.out == "at://a/b/c\t{\"n\":1}\n");
  CHECK(has(list.err, "cursor"));
}

TEST_CASE("record list: with --all the limit is how many come at once", "[cli]") {
  Wired w;
  w.says(kRepo + "listRecords", 200, R"({"records":[]})");
  CHECK(w({"record", "list", "x.y.z", "--all", "--limit", "2"}).status == 0);
  CHECK(w({"record", "list", "x.y.z", "--all"}).status == 0);
  CHECK(w({"record", "list", "x.y.z"}).status == 0);
  const auto seen = w.services.requests_to(kRepo + "listRecords");
  REQUIRE(seen.size() == 3);
  CHECK(has(seen[0], "limit=2 "));
  CHECK(has(seen[1], "limit=100 "));
  CHECK(has(seen[2], "limit=50 "));
}

TEST_CASE("record list: with --all nothing more is asked for when nobody takes it", "[cli]") {
  Wired w;
  w.services.on(kRepo + "listRecords", [n = 0](const std::string&) mutable {
    const std::string page = std::to_string(++n);
    const std::string cursor = n < 20 ? R"(,"cursor":")" + page + '"' : "";
    return json_http(
        200, R"({"records":[{"uri":"at://a/b/)" + page + R"(","value":{"n":1}}])" + cursor + "}");
  });
  ToolStart start = w.home.start({"record", "list", "x.y.z", "--all"}, w.services);
  start.out_path = "/dev/full";
  const ToolRun full = run(std::move(start));
  CHECK(full.status == 1);
  CHECK(has(full.err, "could not be written"));
  CHECK(w.services.requests_to(kRepo + "listRecords").size() == 1);
}

TEST_CASE("record list: a name of a record, or a cursor, moves no terminal's cursor", "[cli]") {
  Wired w;
  w.says(kRepo + "listRecords", 200,
         R"({"cursor":"c\u001b[2J","records":[{"uri":"at://a/\u001b[1A\tb","value":{"n":1}}]})");
  const ToolRun list = w({"record", "list", "x.y.z"});
  CHECK(list.out == "at://a/?[1A?b\t{\"n\":1}\n");
  CHECK(has(list.err, "--cursor c?[2J"));
  CHECK_FALSE(has(list.err, "\x1b"));
}

TEST_CASE("query: an answer is shown harmless on a terminal, and goes as it is anywhere else",
          "[cli]") {
  Wired w;
  w.services.on("/xrpc/a.b.c", [](const std::string&) {
    return json_http(200,
                     "{\"a\":\n\t\"\xC2\x9B"
                     "2J\x7f\"}");
  });
  CHECK(w({"query", "a.b.c"}).out ==
        "{\"a\":\n\t\"\xC2\x9B"
        "2J\x7f\"}\n");
  const OutTerminal terminal;
  ToolStart start = w.home.start({"query", "a.b.c"}, w.services);
  start.out_path = terminal.name();
  CHECK(run(std::move(start)).status == 0);
  const std::string shown = terminal.shown();
  CHECK(has(shown, "?2J?"));
  CHECK_FALSE(has(shown, "\x7f"));
  CHECK_FALSE(has(shown, "\xC2\x9B"));
}
