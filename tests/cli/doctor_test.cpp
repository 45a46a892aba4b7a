// SPDX-License-Identifier: MIT
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.store.vault.key_names;
import latchkey.test.examined;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What the doctor finds.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("doctor: on an empty machine there is nothing yet, and it leaves nothing", "[cli]") {
  const Home home;
  for (const char* store : {"", "file:", "sqlite:", "memory:"}) {
    CAPTURE(store);
    std::vector<std::string> more{"--fix"};
    if (*store != '\0') {
      const bool path = std::string_view(store) != "memory:";
      more.insert(more.end(),
                  {"--store", store + (path ? (home.path() / "elsewhere").native() : "")});
    }
    const Examined seen = examine(home, more);
    CHECK(seen.status == 0);
    CHECK(seen["doctor.nothing_here"] == "note");
    CHECK(seen["loopback.port"] == "ok");
    CHECK(all_paths(home.path()).empty());
  }
}

TEST_CASE("doctor: a vault whose creation was cut off is none, and is not finished by it",
          "[cli]") {
  const Home home;
  const fs::path vault = home.data_dir() / "data" / "vault";
  fs::create_directories(vault);
  write_text(vault / "vault.lock", "");
  const auto before = all_paths(home.path());
  CHECK(examine(home, {"--fix"})["doctor.nothing_here"] == "note");
  CHECK(all_paths(home.path()) == before);
  write_text(vault / key_file_name("key"), "sealed");
  CHECK(examine(home, {"--fix"})["vault.header_missing"] == "problem");
  CHECK(!fs::exists(vault / "vault.header"));
}

TEST_CASE("doctor: a healthy home is healthy, in both forms, and stays as it is", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  home.plant(kBob, kNobody, [](OAuthSession& session) {
    session.state = SessionState::dead;
    session.state_cause = "refresh.invalid_grant";
    session.state_changed_at = session.issued_at;
  });
  home.plant("did:web:carol.test", kNobody, [](OAuthSession& session) {
    session.state = SessionState::revoking;
    session.state_cause = "logout";
    session.state_changed_at = session.issued_at;
  });
  const auto before = all_paths(home.path());
  const ToolRun text = run(doctor(home));
  CHECK(text.status == 0);
  CHECK(has(text.out, "ok\tsession.active\tsession did:plc:ewvi7nxzyoun6zhxrhs64oiz: active\n"));
  CHECK(has(text.out,
            "note\tsession.dead\tsession did:plc:z72i7hdynmk6r22z27h6tvur: ended "
            "(refresh.invalid_grant)"));
  CHECK(has(text.out, "note\tsession.revoking\tsession did:web:carol.test: logged out here"));
  CHECK(has(text.out, "note\tbrowser.none\tbrowser: "));
  CHECK(has(text.out, "--paste"));
  CHECK(has(text.out, "note\tvault.master_key\tmaster key: key-file "));
  CHECK(has(text.out, "ok\tlocks.work"));
  CHECK(has(text.out, "ok\tfiles.private"));
  CHECK(has(text.out, "note\tclock.unknown"));
  CHECK_FALSE(has(text.out, "problem"));
  CHECK_FALSE(has(text.out + text.err, "Marked"));
  const Examined json = examine(home, {"--fix"});
  CHECK(json.status == 0);
  for (const auto& row : json.rows) {
    CHECK((row.severity == "ok" || row.severity == "note"));
    CHECK_FALSE(row.id.empty());
    CHECK_FALSE(row.about.empty());
    CHECK_FALSE(row.text.empty());
    CHECK_FALSE(row.fixed);
  }
  CHECK(all_paths(home.path()) == before);
}

TEST_CASE("doctor: finds a session whose key is gone, and a command says to log in again",
          "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const auto vault = home.vault();
  const auto keys = vault->list().value();
  for (const auto& key : keys) REQUIRE(vault->remove(key.id));
  const Examined seen = examine(home, {"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["session.key_missing"] == "problem");
  CHECK(has(seen.text_of("session.key_missing"), "log in again"));
  const ToolRun dpop = run(home.start({"dpop", "GET", "https://pds.test/x", "--json"}));
  CHECK(dpop.status == 3);
  CHECK(Json::parse(dpop.err)["error"]["code"] == "key_missing");
}

TEST_CASE("doctor: what others can read is a problem, and mended when asked to", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const fs::path data = home.data_dir() / "data";
  const std::vector<fs::path> wide{data, data / "vault", data / "vault" / "vault.header",
                                   data / "sessions.db", home.data_dir() / "config" / "vault.key"};
  for (const auto& path : wide) fs::permissions(path, fs::perms(0755));
  const Examined found = examine(home);
  CHECK(found.status == 1);
  CHECK(found["location.permissions"] == "problem");
  CHECK(has(found.text_of("location.permissions"), "--fix"));
  CHECK(found["files.private"].empty());
  CHECK(found["loopback.port"] == "ok");  // and goes on looking
  for (const auto& path : wide) CHECK(mode_of(path) == 0755);
  const Examined mended = examine(home, {"--fix"});
  CHECK(mended.status == 0);
  CHECK(mended["location.permissions"] == "note fixed");
  CHECK(mended["session.active"] == "ok");
  for (const auto& path : wide) CHECK((mode_of(path) & 0077) == 0);
  CHECK(examine(home)["files.private"] == "ok");
}

TEST_CASE("doctor: a link in the place of a file is a problem that stays for its owner", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const fs::path key = home.data_dir() / "config" / "vault.key";
  fs::rename(key, home.path() / "moved");
  fs::create_symlink(home.path() / "moved", key);
  const Examined seen = examine(home, {"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["location.symlink"] == "problem");
  CHECK(fs::is_symlink(key));
}

TEST_CASE("doctor: with a vault that can't be opened it still lists the sessions", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const fs::path key = home.data_dir() / "config" / "vault.key";
  write_text(key, std::string(32, 'x'));
  Examined seen = examine(home, {"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["vault.wrong_master_key"] == "problem");
  CHECK(seen["session.active"] == "ok");
  CHECK(seen["vault.master_key"] == "note");
  fs::remove(key);
  seen = examine(home, {"--fix"});
  CHECK(seen["vault.key_file_missing"] == "problem");
  CHECK(seen["session.active"] == "ok");
  CHECK(!fs::exists(key));
  write_text(home.data_dir() / "data" / "vault" / "vault.header", "");
  CHECK(examine(home)["vault.header_truncated"] == "problem");
}

TEST_CASE("doctor: sessions of another vault are problems, and never moved aside", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  fs::remove_all(home.data_dir() / "data" / "vault");
  static_cast<void>(home.vault());
  const Examined seen = examine(home, {"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["box.unknown_key"] == "problem");
  CHECK(seen["quarantine.record"].empty());
}

TEST_CASE("doctor: a database that can't be used is a problem with its own name", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const fs::path database = home.data_dir() / "data" / "sessions.db";
  const auto sql = [&](const std::string& text) {
    SqliteConnection::open(database).value()->execute(text).value();
  };
  sql("PRAGMA user_version = 99");
  CHECK(examine(home)["sqlite.schema_version"] == "problem");
  sql("PRAGMA application_id = 1");
  CHECK(examine(home)["sqlite.not_a_latchkey_database"] == "problem");
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(database.native() + suffix);
  write_text(database, std::string(5000, 'x'));
  const Examined seen = examine(home, {"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["sqlite.not_a_database"] == "problem");
  CHECK(seen["vault.unlocked"] == "ok");
  CHECK(read_text(database) == std::string(5000, 'x'));
  write_text(database, "");
  CHECK(examine(home)["sqlite.empty"] == "problem");
}

TEST_CASE("doctor: a server's clock is compared, whatever it answers", "[cli]") {
  const Home home;
  Services services;
  const auto says = [&](std::chrono::seconds ahead) {
    const auto time = std::chrono::floor<std::chrono::seconds>(SystemClock().now() + ahead);
    const std::time_t number = std::chrono::system_clock::to_time_t(time);
    std::array<char, 64> text{};
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&number));
    services.on("/", [date = std::string(text.data())](const std::string&) {
      return "HTTP/1.1 405 x\r\nDate: " + date + "\r\nContent-Length: 0\r\n\r\n";
    });
    ToolStart start = doctor(home);
    start.environment["LATCHKEY_PLC_URL"] = services.origin();
    return examine(std::move(start));
  };
  CHECK(says(std::chrono::seconds(0))["clock.agrees"] == "ok");
  CHECK(says(std::chrono::seconds(60))["clock.skew"] == "note");
  for (const auto jump : {std::chrono::hours(3), std::chrono::hours(-3)}) {
    const Examined seen = says(jump);
    CHECK(seen.status == 1);
    CHECK(seen["clock.skew"] == "problem");
    CHECK(has(seen.text_of("clock.skew"), jump.count() > 0 ? "behind" : "ahead"));
  }
  services.on("/", [](const std::string&) {
    return std::string("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
  });
  ToolStart start = doctor(home);
  start.environment["LATCHKEY_PLC_URL"] = services.origin();
  CHECK(examine(std::move(start))["clock.unknown"] == "note");
}

TEST_CASE("doctor: names the browser that would be started", "[cli]") {
  const Home home;
  ToolStart start = doctor(home);
  start.environment["BROWSER"] = "/bin/true";
  CHECK(has(run(std::move(start)).out, "ok\tbrowser.found\tbrowser: /bin/true"));
  start = doctor(home);
  start.environment["BROWSER"] = "no-such-browser";
  CHECK(has(run(std::move(start)).out, "note\tbrowser.none"));
}
