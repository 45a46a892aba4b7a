// SPDX-License-Identifier: MIT
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

// How the tool is called: options, environment, and where it keeps things.

using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Without --data-dir.
ToolStart bare(const Home& home, Words arguments, Environment more = {}) {
  ToolStart start = home.start({});
  start.words.resize(1);
  start.words.insert(start.words.end(), arguments.begin(), arguments.end());
  for (auto& [name, value] : more) start.environment[name] = std::move(value);
  return start;
}

}  // namespace

TEST_CASE("latchkey: help and version are results", "[cli]") {
  const Home home;
  const ToolRun help = run(bare(home, {"--help"}));
  CHECK(help.status == 0);
  CHECK(help.err.empty());
  for (const char* command : {"login", "sessions", "whoami", "refresh", "logout", "record",
                              "request", "dpop", "doctor"}) {
    CHECK(has(help.out, command));
  }
  const ToolRun login = run(bare(home, {"login", "--help"}));
  CHECK(login.status == 0);
  CHECK(has(login.out, "--paste"));
  const ToolRun create = run(bare(home, {"record", "create", "--help"}));
  CHECK(create.status == 0);
  CHECK(has(create.out, "--rkey"));
  const ToolRun version = run(bare(home, {"--version"}));
  CHECK(version.status == 0);
  CHECK(version.out.starts_with("latchkey "));
  CHECK(names_in(home.path()).empty());
}

TEST_CASE("latchkey: a command line that makes no sense is usage: 2, said on standard error only",
          "[cli]") {
  const Home home;
  for (const Words& words : std::vector<Words>{{},
                                               {"frobnicate"},
                                               {"login"},
                                               {"login", "a", "b"},
                                               {"login", "a.test", "--timeout", "0"},
                                               {"login", "a.test", "--timeout", "601"},
                                               {"login", "a.test", "--timeout", "soon"},
                                               {"whoami", "--no-such-option"},
                                               {"record"},
                                               {"record", "create", "app.bsky.feed.post"},
                                               {"record", "list", "x.y.z", "--limit", "101"},
                                               {"request", "GET"},
                                               {"--store"}}) {
    CAPTURE(words);
    const ToolRun text = run(bare(home, words));
    CHECK(text.status == 2);
    CHECK(text.out.empty());
    CHECK(text.err.starts_with("latchkey: "));
    Words with_json = words;
    with_json.insert(with_json.begin(), "--json");
    const ToolRun json = run(bare(home, with_json));
    CHECK(json.status == 2);
    CHECK(json.out.empty());
    CHECK(Json::parse(json.err)["error"]["code"] == "invalid_argument");
    CHECK(Json::parse(json.err)["error"]["detail"] == "cli.usage");
  }
  CHECK(names_in(home.path()).empty());
}

TEST_CASE("latchkey: global options may stand before and after the command", "[cli]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const std::string folder = home.data_dir().native();
  for (const Words& words :
       std::vector<Words>{{"--data-dir", folder, "--json", "--account", "bob.test", "whoami"},
                          {"whoami", "--data-dir", folder, "--json", "--account", "bob.test"},
                          {"--json", "whoami", "--account=bob.test", "--data-dir=" + folder}}) {
    CAPTURE(words);
    const ToolRun whoami = run(bare(home, words));
    CHECK(whoami.status == 0);
    CHECK(Json::parse(whoami.out)["subject"] == kBob);
  }
  // Below a command of a command too.
  const ToolRun list = run(bare(home, {"record", "list", "not an nsid", "--data-dir", folder,
                                       "--account", "bob.test", "--json"}));
  CHECK(list.status == 2);
  CHECK(Json::parse(list.err)["error"]["code"] == "invalid_argument");
}

TEST_CASE("latchkey: the environment speaks where the command line does not", "[cli]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const Environment environment{{"LATCHKEY_DATA_DIR", home.data_dir().native()},
                                {"LATCHKEY_ACCOUNT", "bob.test"}};
  CHECK(has(run(bare(home, {"whoami"}, environment)).out, "bob.test"));
  CHECK(has(run(bare(home, {"whoami", "--account", "alice.test"}, environment)).out, "alice.test"));
  const ToolRun elsewhere =
      run(bare(home, {"whoami", "--data-dir", (home.path() / "other").native()}, environment));
  CHECK(elsewhere.status == 3);
  Environment bad = environment;
  bad["LATCHKEY_STORE"] = "nowhere:";
  CHECK(run(bare(home, {"whoami"}, bad)).status == 2);
  CHECK(run(bare(home, {"whoami", "--store", "memory:"}, bad)).status == 3);
}

TEST_CASE("latchkey: without a data folder it goes by XDG, then HOME, then says what is missing",
          "[cli]") {
  const Home home;
  const auto at = [&](const char* name) { return (home.path() / name).native(); };
  CHECK(run(bare(home, {"sessions"},
                 {{"XDG_DATA_HOME", at("data")}, {"XDG_CONFIG_HOME", at("config")}}))
            .status == 0);
  CHECK(std::filesystem::exists(home.path() / "data/latchkey/sessions.db"));
  CHECK(std::filesystem::exists(home.path() / "data/latchkey/vault"));
  CHECK(std::filesystem::exists(home.path() / "config/latchkey/vault.key"));
  CHECK(run(bare(home, {"sessions"}, {{"XDG_DATA_HOME", "relative"}, {"XDG_CONFIG_HOME", ""}}))
            .status == 0);
  CHECK(std::filesystem::exists(home.path() / ".local/share/latchkey/sessions.db"));
  CHECK(std::filesystem::exists(home.path() / ".config/latchkey/vault.key"));
  ToolStart nowhere = bare(home, {"sessions", "--json"});
  nowhere.environment.erase("HOME");
  const ToolRun lost = run(std::move(nowhere));
  CHECK(lost.status == 2);
  CHECK(Json::parse(lost.err)["error"]["detail"] == "cli.no_home");
}

TEST_CASE("latchkey: what it makes is its owner's alone", "[cli]") {
  const Home home;
  home.plant();
  REQUIRE(run(home.start({"sessions"})).status == 0);
  CHECK(names_in(home.data_dir()) == Words{"config", "data"});
  CHECK(names_in(home.data_dir() / "config") == Words{"vault.key", "vault.key.lock"});
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home.data_dir())) {
    CAPTURE(entry.path().native());
    CHECK(mode_of(entry.path()) == (entry.is_directory() ? 0700 : 0600));
  }
}

TEST_CASE("latchkey: a store that it does not know is refused before anything is made", "[cli]") {
  const Home home;
  for (const char* store : {"x", ":", "sqlite:", "file:", "memory:x", "redis:6379", "SQLITE:x"}) {
    CAPTURE(store);
    const ToolRun sessions = run(home.start({"sessions", "--json", "--store", store}));
    CHECK(sessions.status == 2);
    CHECK(Json::parse(sessions.err)["error"]["detail"] == "cli.store");
  }
  CHECK(names_in(home.path()).empty());
}

TEST_CASE("latchkey: each kind of store can be named", "[cli]") {
  const Home home;
  const std::string file = (home.path() / "files").native(),
                    database = (home.path() / "db").native();
  CHECK(run(home.start({"sessions", "--store", "file:" + file})).status == 0);
  CHECK(mode_of(file) == 0700);
  CHECK(run(home.start({"sessions", "--store", "sqlite:" + database})).status == 0);
  CHECK(mode_of(database) == 0600);
  CHECK(run(home.start({"sessions", "--store", "memory:"})).status == 0);
  CHECK_FALSE(std::filesystem::exists(home.data_dir() / "data" / "sessions.db"));
}
