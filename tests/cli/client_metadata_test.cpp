// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// A client's metadata document at the shell: made, and held against the rules.

using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

struct Desk {
  Home home;

  [[nodiscard]] std::string path(std::string_view name) const {
    return (home.path() / name).native();
  }
  [[nodiscard]] ToolRun call(Words words) const { return run(home.start(std::move(words))); }
  [[nodiscard]] ToolRun make(const Words& more) const {
    Words words{"client-metadata", "new", "--client-id", "https://app.example.com/client.json"};
    words.insert(words.end(), more.begin(), more.end());
    return call(std::move(words));
  }
  [[nodiscard]] ToolRun lint(std::string_view document) const {
    std::ofstream(path("client.json")) << document;
    return call({"--json", "client-metadata", "lint", path("client.json")});
  }
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

const Words kBackend{"--redirect-uri", "https://app.example.com/callback", "--keys"};

Words with(Words words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
  return words;
}

}  // namespace

TEST_CASE("client-metadata: what new prints has no findings", "[cli]") {
  const Desk desk;
  for (const Words& words : {Words{"--redirect-uri", "https://app.example.com/callback"},
                             Words{"--native", "--redirect-uri", "http://127.0.0.1/cb",
                                   "--redirect-uri", "com.example.app:/cb"},
                             with(kBackend, {desk.path("keys.json")})}) {
    const ToolRun made = desk.make(words);
    CHECK(made.status == 0);
    CHECK(made.err.empty());
    const ToolRun found = desk.lint(made.out);
    CHECK(found.status == 0);
    CHECK(Json::parse(found.out) == Json::array());
  }
}

TEST_CASE(
    "C1.8: client-metadata new makes a private file of keys and publishes only their public half",
    "[cli]") {
  const Desk desk;
  const std::string keys = desk.path("keys.json");
  const Json document = Json::parse(desk.make(with(kBackend, {keys})).out);
  struct stat info{};
  REQUIRE(stat(keys.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const std::string secret = Json::parse(content(keys))["keys"][0]["d"];
  CHECK(document.dump().find(secret) == std::string::npos);
  CHECK(document["token_endpoint_auth_method"] == "private_key_jwt");
  // A second run takes the same keys; --rotate puts another one in front.
  CHECK(Json::parse(desk.make(with(kBackend, {keys})).out) == document);
  const Json rotated = Json::parse(desk.make(with(kBackend, {keys, "--rotate"})).out);
  REQUIRE(rotated["jwks"]["keys"].size() == 2);
  CHECK(rotated["jwks"]["keys"][1] == document["jwks"]["keys"][0]);
}

TEST_CASE("client-metadata: new does not read keys that others can read", "[cli]") {
  const Desk desk;
  const std::string keys = desk.path("keys.json");
  REQUIRE(desk.make(with(kBackend, {keys})).status == 0);
  std::filesystem::permissions(keys, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  const ToolRun refused = desk.make(with(kBackend, {keys}));
  CHECK(refused.status == 1);
  CHECK(refused.out.empty());
}

TEST_CASE("C1.10: client-metadata new says what is wrong, and prints no such document", "[cli]") {
  const Desk desk;
  const ToolRun made = desk.make({"--redirect-uri", "http://127.0.0.1/callback"});
  CHECK(made.status == 1);
  CHECK(made.out.empty());
  CHECK(made.err.find("C1.10.loopback_not_native") != std::string::npos);
  CHECK(desk.make({"--redirect-uri", "https://app.example.com/cb", "--rotate"}).status == 2);
  CHECK(desk.make({}).status == 2);
}

TEST_CASE("C1.10: client-metadata new writes no key for a document that breaks a rule", "[cli]") {
  const Desk desk;
  const std::string keys = desk.path("keys.json");
  const Words broken{"--redirect-uri", "http://127.0.0.1/callback", "--keys", keys};
  CHECK(desk.make(broken).status == 1);
  CHECK_FALSE(std::filesystem::exists(keys));
  REQUIRE(desk.make(with(kBackend, {keys})).status == 0);
  const std::string before = content(keys);
  CHECK(desk.make(with(broken, {"--rotate"})).status == 1);
  CHECK(content(keys) == before);
}

TEST_CASE("C1.8: of several rotations at once none is lost", "[cli][concurrency]") {
  constexpr std::size_t kRotations = 6;
  const Desk desk;
  const std::string keys = desk.path("keys.json");
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kRotations; ++i) {
      threads.emplace_back(
          [&] { static_cast<void>(desk.make(with(kBackend, {keys, "--rotate"}))); });
    }
  }
  // The first made the file.
  CHECK(Json::parse(content(keys))["keys"].size() == kRotations);
  for (const auto& entry : std::filesystem::directory_iterator(desk.home.path())) {
    CHECK_FALSE(entry.path().filename().native().starts_with(".latchkey-tmp-"));
  }
}

TEST_CASE("C1.4: client-metadata lint tells findings with their ids and fails for errors",
          "[cli]") {
  const Desk desk;
  const ToolRun found = desk.lint(R"({"client_id":"https://app.example.com/"})");
  CHECK(found.status == 1);
  const Json findings = Json::parse(found.out);
  REQUIRE(findings.size() > 3);
  CHECK(findings[0]["id"] == "C1.1.no_path");
  CHECK(findings[0]["rule"] == "C1.1");
  CHECK(findings[0]["severity"] == "error");
  CHECK(desk.lint("<html>").status == 1);
  CHECK(desk.call({"client-metadata", "lint", desk.path("absent.json")}).status == 2);
  const ToolRun clear =
      desk.call({"--json", "client-metadata", "lint", "http://127.0.0.1:1/c.json"});
  CHECK(clear.status == 1);
  CHECK(Json::parse(clear.err)["error"]["detail"] == "url.not_https");
  CHECK(desk.call({"client-metadata"}).status == 2);
}

TEST_CASE("login: a client of one's own needs its document and its keys", "[cli]") {
  const Desk desk;
  const std::string keys = desk.path("keys.json"), document = desk.path("client.json");
  const ToolRun made = desk.make(with(kBackend, {keys}));
  std::ofstream(document) << made.out;
  const auto login = [&](Words more) {
    Words words{"login", "alice.test", "--client-metadata"};
    words.insert(words.end(), more.begin(), more.end());
    const ToolRun failed = desk.call(std::move(words));
    CHECK(failed.status != 0);
    return failed.err;
  };
  CHECK(login({desk.path("absent.json")}).find("no such file") != std::string::npos);
  CHECK(login({document}).find("confidential_client") != std::string::npos);
  CHECK(login({document, "--client-keys", desk.path("absent")}).find("no such file") !=
        std::string::npos);
  CHECK(login({document, "--client-keys", keys}).find("none of the client's redirects") !=
        std::string::npos);
  CHECK(desk.call({"login", "alice.test", "--client-keys", keys}).status == 2);
}
