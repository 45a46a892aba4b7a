// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.cli.census;
import latchkey.cli.options;
import latchkey.cli.store_name;
import latchkey.core;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Stores as a whole, at a shell.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Json = nlohmann::json;
using latchkey::cli::parse_store_name;
using latchkey::cli::without_passwords;
using Kind = latchkey::cli::StoreName::Kind;

ToolRun tool(const Home& home, std::vector<std::string> words) {
  words.push_back("--json");
  return run(home.start(std::move(words)));
}

Json result(const ToolRun& run) {
  INFO(run.err);
  REQUIRE(run.status == 0);
  return Json::parse(run.out);
}

std::string error_of(const ToolRun& run) {
  const auto line = run.err.rfind("{\"error\"");
  INFO(run.err);
  REQUIRE(line != std::string::npos);
  return std::to_string(run.status) + " " +
         Json::parse(run.err.substr(line))["error"]["detail"].get<std::string>();
}

void end_on(OAuthSession& session, std::chrono::hours ago) {
  session.state = SessionState::dead;
  session.state_cause = "token.revoked";
  session.state_changed_at = SystemClock().now() - ago;
  session.refresh_token.reset();
}

std::string address_of(const std::string& text) {
  const auto name = parse_store_name(text, {});
  if (!name) return name.error().detail;
  return name->kind == Kind::postgres ? std::string(name->address->expose()) : "another kind";
}

std::string lasting_name_of(const std::string& text) {
  return latchkey::cli::lasting_name(parse_store_name(text, {}).value()).value();
}

void plant_login(const Home& home) {
  const TimePoint now = SystemClock().now();
  home.store()
      ->save_pending({.key = sha256_base64url("state"),
                      .expires_at = now + std::chrono::minutes{5},
                      .box = {1}},
                     now)
      .value();
}

}  // namespace

TEST_CASE("store name: an address goes to libpq as it is, keywords without their prefix",
          "[store]") {
  CHECK(address_of("postgresql://h/db") == "postgresql://h/db");
  CHECK(address_of("postgres://h/db?sslmode=verify-full") == "postgres://h/db?sslmode=verify-full");
  CHECK(address_of("postgresql:service=sessions") == "service=sessions");
  CHECK(address_of("postgresql:").empty());
  CHECK(address_of("postgres:") == "cli.store");
  CHECK(address_of("postgres:service=x") == "cli.store");
  CHECK(address_of("POSTGRESQL://h") == "cli.store");
  CHECK(address_of("file:postgresql") == "another kind");
}

TEST_CASE("store name: no password of an address is repeated", "[store]") {
  CHECK(without_passwords("postgresql://me:secret@h/db") == "postgresql://me:***@h/db");
  CHECK(without_passwords("a postgres://me:se@cret@h:5432/db b") ==
        "a postgres://me:***@h:5432/db b");
  CHECK(without_passwords("postgresql://me@h:5432/db") == "postgresql://me@h:5432/db");
  CHECK(without_passwords("postgresql://h/db?password=secret&user=me") ==
        "postgresql://h/db?password=***&user=me");
  CHECK(without_passwords("postgresql:host=h password = 'se cret' user=me") ==
        "postgresql:host=h password = *** user=me");
  CHECK(without_passwords("password='not closed") == "password=***");
  CHECK(without_passwords("PASSWORD=secret PASSWORD=secret2") == "PASSWORD=*** PASSWORD=***");
  CHECK(without_passwords("no password here") == "no password here");
  CHECK(without_passwords("postgres:/me:secret@h/db") == "postgres:/me:***@h/db");
  CHECK(without_passwords("not: postgresl:secret@h here") == "not: postgresl:***@h here");
  CHECK(without_passwords("postgresl:me:se:cr@et@h") == "postgresl:me:***@h");
  CHECK(without_passwords("did:plc:alice and @alice") == "did:plc:alice and @alice");
  CHECK(without_passwords("").empty());
}

TEST_CASE("store: a mistyped address is refused without its password", "[store]") {
  const Home home;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"sessions", "--store", "postgresq://me:Marked1@h/db"},
           {"sessions", "--store", "psql:host=h password=Marked1"},
           {"sessions", "--store", "postgres:/me:Marked1@h/db"},
           {"sessions", "--store", "postgresl:me:Marked1@h"},
           {"sessions", "--store", "postgres: //me:Mar ked1 Marked1@h/db"},
           {"sessions", "--store", "host=h passwd=Marked1"},
           {"sessions", "--store", "me@Marked1"},
           {"sessions", "postgres:/me:Marked1@h/db"},
           {"store", "stats", "--store", "postgresql: //me:Marked1@h/db"},
           {"sessions", "postgresql://me:Marked1@h/db"},
           {"store", "migrate", "--to", "psql://me:Marked1@h/db"},
           {"store", "migrate", "postgresql://me:Marked1@h/db"}}) {
    for (const bool json : {false, true}) {
      auto all = words;
      if (json) all.push_back("--json");
      const auto refused = run(home.start(all));
      CHECK(refused.status == 2);
      CHECK((refused.out + refused.err).find("Marked1") == std::string::npos);
    }
  }
}

TEST_CASE("store migrate: from one kind to another and back", "[store]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const std::string folder = "file:" + (home.path() / "files").string();
  const auto there = tool(home, {"store", "migrate", "--to", folder});
  const auto moved = result(there);
  CHECK(moved["sessions"] == 2);
  CHECK(moved["moved"] == 2);
  CHECK(moved["left"] == 0);
  CHECK(moved["remaining"] == 0);
  CHECK(there.err.find("sessions moved: 2 of 2") != std::string::npos);
  CHECK(result(tool(home, {"sessions"})).empty());
  CHECK(result(tool(home, {"sessions", "--store", folder})).size() == 2);
  const auto back =
      run(home.start({"store", "migrate", "--from", folder, "--to",
                      "sqlite:" + (home.data_dir() / "data" / "sessions.db").string()}));
  INFO(back.err);
  CHECK(back.status == 0);
  CHECK(back.out.find("moved\t2 of 2 sessions, 0 logins under way") != std::string::npos);
  CHECK(home.store()->load(kAlice).value()->access_token.expose() == kAccessToken);
  CHECK((back.out + back.err + there.out + there.err).find("Marked") == std::string::npos);
}

TEST_CASE("store migrate: a dry run moves nothing", "[store]") {
  const Home home;
  home.plant();
  const std::string folder = "file:" + (home.path() / "files").string();
  const auto foreseen = result(tool(home, {"store", "migrate", "--to", folder, "--dry-run"}));
  CHECK(foreseen["dry_run"] == true);
  CHECK(foreseen["moved"] == 1);
  CHECK(foreseen["remaining"] == 1);
  CHECK(result(tool(home, {"sessions", "--store", folder})).empty());
  CHECK(result(tool(home, {"sessions"})).size() == 1);
}

TEST_CASE("store migrate: what is left is told, with the exit code of its error", "[store]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const auto store = home.store();
  const auto lease =
      store->lease(kAlice, {.deadline = SystemClock().steady_now() + std::chrono::seconds{5}})
          .value();
  const std::string folder = "file:" + (home.path() / "files").string();
  const auto done = tool(home, {"store", "migrate", "--to", folder});
  CHECK(done.status == 4);
  CHECK(Json::parse(done.out)["moved"] == 1);
  CHECK(Json::parse(done.out)["left"] == 1);
  CHECK(error_of(done) == "4 lease.timeout");
  CHECK(store->load(kAlice).value()->access_token.expose() == kAccessToken);
}

TEST_CASE("store migrate: a session on its way is told as such, and not as one to log in again",
          "[store]") {
  const Home home;
  const std::string folder = "file:" + (home.path() / "files").string();
  home.plant(kAlice, "https://pds.test", [&](OAuthSession& session) {
    SystemRandom random;
    session = as_moving(session, SystemClock().now(), random, lasting_name_of(folder));
  });
  CHECK(error_of(tool(home, {"refresh"})) == "4 session.moving");
  CHECK(error_of(tool(home, {"logout"})) == "4 session.moving");
  CHECK(tool(home, {"whoami"}).status == 4);
  const auto status = tool(home, {"status"});
  CHECK(status.status == 4);
  CHECK(Json::parse(status.out)["sessions"][0]["state"] == "moving");
  CHECK(run(home.start({"sessions"})).out.find("on its way to another store") != std::string::npos);
  CHECK(run(home.start({"doctor"})).out.find("note\tsession.moving") != std::string::npos);
  CHECK(result(tool(home, {"store", "stats"}))["moving"] == 1);
  CHECK(result(tool(home, {"store", "gc", "--dead-after", "0"}))["dead_sessions_removed"] == 0);
  const std::string other = "file:" + (home.path() / "other").string();
  CHECK(error_of(tool(home, {"store", "migrate", "--to", other})) == "4 migration.other_target");
  CHECK(result(tool(home, {"store", "migrate", "--to", folder}))["moved"] == 1);
  CHECK(result(tool(home, {"whoami", "--store", folder}))["state"] == "active");
}

TEST_CASE("store migrate: ends that cannot be are usage errors", "[store]") {
  const Home home;
  home.plant();
  const std::string own = "sqlite:" + (home.data_dir() / "data" / "sessions.db").string();
  CHECK(error_of(tool(home, {"store", "migrate", "--to", own})) == "2 migration.same_store");
  CHECK(error_of(tool(home, {"store", "migrate", "--to", "memory:"})) == "2 cli.store");
  CHECK(error_of(tool(home, {"store", "migrate", "--from", "memory:", "--to", own})) ==
        "2 cli.store");
  CHECK(error_of(tool(home, {"store", "migrate"})) == "2 cli.usage");
  CHECK(error_of(tool(home, {"store"})) == "2 cli.usage");
  CHECK(result(tool(home, {"sessions"})).size() == 1);
}

TEST_CASE("store name: what lasts of an address is host, port and database", "[store]") {
  CHECK(lasting_name_of("postgresql://me:secret@h/db?sslmode=require") == "postgresql://h:5432/db");
  CHECK(lasting_name_of("postgres://h:5432/db") == "postgresql://h:5432/db");
  CHECK(lasting_name_of("postgresql:host=h dbname=db password='se cret' user=you") ==
        "postgresql://h:5432/db");
  CHECK(lasting_name_of("postgresql://h:5433/db") == "postgresql://h:5433/db");
  CHECK(lasting_name_of("postgresql://h/db?password=secret&host=i") == "postgresql://i:5432/db");
  CHECK_FALSE(latchkey::cli::lasting_name(parse_store_name("postgresql://[h/db", {}).value()));
}

TEST_CASE("store migrate: a store is not moved into itself by another name", "[store]") {
  const Home home;
  home.plant();
  plant_login(home);
  const auto data = home.data_dir() / "data";
  std::filesystem::create_symlink(data / "sessions.db", home.path() / "link");
  std::filesystem::create_directory_symlink(data, home.path() / "folder");
  for (const auto& path : {home.path() / "link", home.path() / "folder" / "sessions.db",
                           data / ".." / "data" / "sessions.db"}) {
    const std::string same = "sqlite:" + path.string();
    CHECK(error_of(tool(home, {"store", "migrate", "--to", same})) == "2 migration.same_store");
    CHECK(error_of(tool(home, {"store", "migrate", "--from", same, "--to",
                               "sqlite:" + (data / "sessions.db").string()})) ==
          "2 migration.same_store");
  }
  CHECK(result(tool(home, {"sessions"})).size() == 1);
  CHECK(result(tool(home, {"store", "stats"}))["pending"] == 1);
}

TEST_CASE("store: what is counted, cleaned up or moved from is never made", "[store]") {
  const Home home;
  const auto file = home.path() / "mistyped", to = home.path() / "to";
  const std::string target = "sqlite:" + to.string();
  for (const std::string& name : {"sqlite:" + file.string(), "file:" + file.string()}) {
    for (const auto& words : std::vector<std::vector<std::string>>{
             {"store", "migrate", "--from", name, "--to", target},
             {"store", "migrate", "--dry-run", "--from", name, "--to", target},
             {"store", "stats", "--store", name},
             {"store", "gc", "--store", name}}) {
      CAPTURE(words[1], name);
      CHECK(error_of(tool(home, words)) == "2 cli.no_store");
    }
  }
  CHECK(error_of(tool(home, {"store", "stats"})) == "2 cli.no_store");
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK_FALSE(std::filesystem::exists(to));
  CHECK_FALSE(std::filesystem::exists(home.data_dir() / "data" / "sessions.db"));
  write_text(file, "there, but no vault");
  CHECK(error_of(tool(home, {"store", "stats", "--store", "sqlite:" + file.string()})) ==
        "2 cli.no_store");
  CHECK(read_text(file) == "there, but no vault");
}

TEST_CASE("store stats: counts sessions by state, issuer and client, and what lies beside",
          "[store]") {
  const Home home;
  home.plant();
  home.plant(kBob, "https://other.test",
             [](OAuthSession& session) { end_on(session, std::chrono::hours{1}); });
  home.plant("did:plc:carol", "https://pds.test", [](OAuthSession& session) {
    session.expires_at = session.issued_at - std::chrono::hours{1};
  });
  const auto stats = result(tool(home, {"store", "stats"}));
  CHECK(stats["sessions"] == 3);
  CHECK(stats["active"] == 2);
  CHECK(stats["dead"] == 1);
  CHECK(stats["expired"] == 1);
  CHECK(stats["keys"] == 3);
  CHECK(stats["pending"] == 0);
  CHECK(stats["quarantined"] == 0);
  REQUIRE(stats["issuers"].size() == 2);
  CHECK(stats["issuers"][0]["name"] == "https://pds.test");
  CHECK(stats["issuers"][0]["sessions"] == 2);
  CHECK(stats["clients"].size() == 1);
  CHECK_FALSE(stats.contains("database"));
  const auto text = run(home.start({"store", "stats"}));
  CHECK(text.status == 0);
  CHECK(text.out.find("issuer\t2\thttps://pds.test") != std::string::npos);
}

TEST_CASE("census: names beyond the limit are counted together", "[store]") {
  cli::NameCounts names;
  for (std::size_t i = 0; i < cli::NameCounts::kMaxNames; ++i) names.add(std::to_string(i));
  names.add("7");
  names.add("one more");
  names.add("and one more");
  CHECK(names.others() == 2);
  const auto top = names.top(2);
  REQUIRE(top.size() == 2);
  CHECK(top[0] == std::pair<std::string, std::size_t>("7", 2));
  CHECK(top[1] == std::pair<std::string, std::size_t>("0", 1));
}

TEST_CASE("store gc: removes sessions that ended long ago and expired logins, and nothing else",
          "[store]") {
  const Home home;
  home.plant();
  home.plant(kBob, "https://pds.test",
             [](OAuthSession& session) { end_on(session, std::chrono::hours{24 * 31}); });
  home.plant("did:plc:carol", "https://pds.test",
             [](OAuthSession& session) { end_on(session, std::chrono::hours{24 * 29}); });
  const TimePoint past = SystemClock().now() - std::chrono::hours{1};
  REQUIRE(
      home.store()->save_pending({.key = sha256_base64url("state"), .expires_at = past, .box = {1}},
                                 past - std::chrono::minutes{10}));
  const auto foreseen = result(tool(home, {"store", "gc", "--dry-run"}));
  CHECK(foreseen["dead_sessions_removed"] == 1);
  CHECK(foreseen["logins_removed"] == 1);
  CHECK(result(tool(home, {"sessions"})).size() == 3);
  const auto done = result(tool(home, {"store", "gc"}));
  CHECK(done["sessions"] == 3);
  CHECK(done["dead_sessions_removed"] == 1);
  CHECK(done["logins_removed"] == 1);
  CHECK(done["left"] == 0);
  CHECK(result(tool(home, {"sessions"})).size() == 2);
  CHECK(result(tool(home, {"store", "gc", "--dead-after", "28"}))["dead_sessions_removed"] == 1);
  CHECK(home.store()->load(kAlice).value()->access_token.expose() == kAccessToken);
  CHECK(error_of(tool(home, {"store", "gc", "--dead-after", "-1"})) == "2 cli.usage");
}

TEST_CASE("vault: the key file can lie anywhere", "[vault]") {
  const Home home;
  const std::string file = (home.path() / "mount" / "key").string();
  CHECK(result(tool(home, {"vault", "status", "--master-key", "key-file:" + file}))["place"] ==
        file);
  CHECK(read_text(file).has_value());
  CHECK(error_of(tool(home, {"sessions"})) != "0 ");
  ToolStart start = home.start({"sessions"});
  start.environment["LATCHKEY_MASTER_KEY_FILE"] = file;
  CHECK(run(std::move(start)).status == 0);
  CHECK(error_of(tool(home, {"sessions", "--master-key", "key-file:"})) == "2 cli.master_key");
  const std::string other = (home.path() / "mount" / "other").string();
  CHECK(result(tool(home, {"vault", "rewrap", "--master-key", "key-file:" + file, "--to",
                           "key-file:" + other}))["kind"] == "key-file");
  CHECK(result(tool(home, {"sessions", "--master-key", "key-file:" + other})).empty());
}

TEST_CASE("vault: a key file by another name is the same, and none is called needless", "[vault]") {
  const Home home;
  home.plant();
  const auto key = home.data_dir() / "config" / "vault.key", link = home.path() / "link";
  std::filesystem::create_directory_symlink(key.parent_path(), link);
  CHECK(error_of(
            tool(home, {"vault", "rewrap", "--to", "key-file:" + (link / "vault.key").string()})) ==
        "2 cli.same_key_file");
  CHECK(error_of(tool(
            home, {"vault", "rewrap", "--to",
                   "key-file:" + (key.parent_path() / ".." / "config" / "vault.key").string()})) ==
        "2 cli.same_key_file");
  const auto moved = run(home.start(
      {"vault", "rewrap", "--to", "key-file:" + (home.path() / "mount" / "key").string()}));
  INFO(moved.err);
  CHECK(moved.status == 0);
  CHECK(moved.err.find("other vaults may") != std::string::npos);
  CHECK(moved.err.find("remove") == std::string::npos);
}
