// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.store.vault.key_names;
import latchkey.test.examined;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What the doctor mends when it is asked to, what it leaves alone, and what it keeps.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void make_older(const fs::path& path, std::chrono::hours by) {
  fs::last_write_time(path, fs::last_write_time(path) - by);
}

}  // namespace

TEST_CASE("doctor: an unreadable record stops a login, is moved aside when asked to, and is kept",
          "[cli]") {
  const FilesHome home;
  const Services services;
  write_text(home.alice, "half a rec");
  const ToolRun login = run(home.start(
      {"login", std::string(kAlice), "--no-browser", "--store", home.store_name()}, services));
  CHECK(login.status == 1);
  CHECK(has(login.err, "latchkey doctor --fix"));
  CHECK(services.requests_to("/par").empty());

  const Examined found = home.examined();
  CHECK(found.status == 1);
  CHECK(found["record.malformed"] == "problem");
  CHECK(found["session.active"] == "ok");  // Bob's
  CHECK(read_text(home.alice) == "half a rec");

  const Examined mended = home.examined({"--fix"});
  CHECK(mended.status == 0);
  CHECK(mended["record.malformed"] == "note fixed");
  CHECK(mended["quarantine.record"] == "note");
  CHECK(!fs::exists(home.alice));
  const auto aside = home.open()->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK(read_text(aside[0].where) == "half a rec");
  CHECK(has(mended.text_of("quarantine.record"), aside[0].where));
  CHECK(home.open()->save(home.session(kAlice, kNobody), Revision{}));
}

TEST_CASE("doctor: a row that was edited is moved aside in the database", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  home.plant(kBob, kNobody);
  SqliteConnection::open(home.data_dir() / "data" / "sessions.db")
      .value()
      ->execute("UPDATE sessions SET resource_server = 'https://evil.test' WHERE subject = '" +
                std::string(kAlice) + "'")
      .value();
  CHECK(examine(home)["box.altered"] == "problem");
  CHECK(examine(home, {"--fix"})["box.altered"] == "note fixed");
  const Examined after = examine(home);
  CHECK(after.status == 0);
  CHECK(after["quarantine.record"] == "note");
  CHECK(after["session.active"] == "ok");
}

TEST_CASE("doctor: a record of a newer program is a problem that names it, and stays", "[cli]") {
  const FilesHome home;
  auto text = read_text(home.alice).value();
  text.replace(text.find("\"format\":1"), 10, "\"format\":2");
  write_text(home.alice, text);
  const Examined seen = home.examined({"--fix"});
  CHECK(seen.status == 1);
  CHECK(seen["record.format"] == "problem");
  CHECK(read_text(home.alice) == text);
}

TEST_CASE("doctor: a session of a lost vault is moved aside when it is named, a good one is not",
          "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  fs::remove_all(home.data_dir() / "data" / "vault");
  home.plant(kBob, kNobody);
  const Examined found = examine(home);
  CHECK(found["box.unknown_key"] == "problem");
  CHECK(has(found.text_of("box.unknown_key"), "--quarantine '" + std::string(kAlice) + "'"));
  const Examined mended = examine(home, {"--quarantine", std::string(kAlice)});
  CHECK(mended.status == 0);
  CHECK(mended["quarantine.moved"] == "note");
  const Examined refused =
      examine(home, {"--quarantine", std::string(kBob), "--quarantine", "did:web:nobody"});
  CHECK(refused.status == 1);
  CHECK(refused["store.readable"] == "problem");
  CHECK(refused["store.no_such_record"] == "problem");
  CHECK(refused["session.active"] == "ok");
  CHECK(home.store()->save(home.session(kAlice, kNobody), Revision{}));
}

TEST_CASE("doctor: what dead writers left goes after an hour, and only then", "[cli]") {
  const FilesHome home;
  const std::vector<fs::path> left{
      home.folder / "sessions" / ".latchkey-tmp-a", home.folder / "claims" / ".latchkey-tmp-b",
      home.folder / "nonces" / ".latchkey-tmp-c", home.folder / ".latchkey-tmp-d",
      home.data_dir() / "config" / ".latchkey-tmp-e"};
  for (const auto& path : left) write_text(path, "half");
  CHECK(home.examined({"--fix"})["files.being_written"] == "note");
  for (const auto& path : left) REQUIRE(fs::exists(path));
  for (const auto& path : left) make_older(path, std::chrono::hours(2));
  const Examined found = home.examined();
  CHECK(found.status == 0);
  CHECK(found["files.leftover"] == "note");
  CHECK(home.examined({"--fix"})["files.leftover"] == "note fixed");
  for (const auto& path : left) CHECK(!fs::exists(path));
}

TEST_CASE("doctor: expired pending logins go, open ones stay", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const auto now = SystemClock().now();
  const auto store = home.store();
  REQUIRE(store->save_pending(
      {.key = sha256_base64url("old"), .expires_at = now - Duration(1000), .box = {1}},
      now - Duration(2000)));
  REQUIRE(store->save_pending(
      {.key = sha256_base64url("new"), .expires_at = now + std::chrono::minutes(9), .box = {1}},
      now - Duration(2000)));
  CHECK(examine(home)["pending.expired"] == "note");
  const Examined mended = examine(home, {"--fix"});
  CHECK(mended["pending.expired"] == "note fixed");
  CHECK(mended["pending.open"] == "note");
  CHECK(store->side_records().value().pending.size() == 1);
}

TEST_CASE("doctor: claims are notes: open, orphaned, unreadable", "[cli]") {
  const FilesHome home;
  const auto store = home.open();
  const auto claim = [&](std::string_view subject, Revision revision) {
    REQUIRE(store->save_claim({.subject = std::string(subject),
                               .revision = revision,
                               .id = 1,
                               .at = SystemClock().now(),
                               .pid = 1,
                               .host = "here"}));
  };
  claim(kAlice, store->load_record(kAlice).value()->summary.revision);
  claim(kBob, {1});
  write_text(home.folder / "claims" / session_file_name("did:web:x"), "{");
  const Examined seen = home.examined();
  CHECK(seen.status == 0);
  CHECK(seen["claim.open"] == "note");
  CHECK(seen["claim.orphaned"] == "note");
  CHECK(seen["claim.malformed"] == "note");
}

TEST_CASE("doctor: a key that no session needs goes after a day, others stay", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const auto vault = home.vault();
  const auto used = vault->list().value().at(0).id;
  for (const char* id : {"abandoned", "young"})
    REQUIRE(vault->put(id, SecretBytes(as_bytes("key"))));
  const fs::path folder = home.data_dir() / "data" / "vault";
  // A moment beyond the day, so that the test's own time does not count.
  for (const auto& id : {std::string("abandoned"), used})
    make_older(folder / key_file_name(id), std::chrono::hours(25));
  CHECK(examine(home)["vault.key_abandoned"] == "note");
  REQUIRE(vault->list().value().size() == 3);
  const Examined mended = examine(home, {"--fix"});
  CHECK(mended["vault.key_abandoned"] == "note fixed");
  CHECK(mended["session.active"] == "ok");
  CHECK(vault->list().value().size() == 2);
  CHECK(!vault->get("abandoned").value());
}

TEST_CASE("doctor: keys are kept while the vault has served another store", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  REQUIRE(run(home.start({"sessions", "--store", "file:" + (home.path() / "f").native()})).status ==
          0);
  const auto vault = home.vault();
  REQUIRE(vault->put("others", SecretBytes(as_bytes("key"))));
  make_older(home.data_dir() / "data" / "vault" / key_file_name("others"), std::chrono::hours(48));
  CHECK(examine(home, {"--fix"})["vault.key_abandoned"].empty());
  CHECK(vault->get("others").value());
}

TEST_CASE("doctor: keys are kept beside a record that can't be read", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const auto vault = home.vault();
  const auto used = vault->list().value().at(0).id;
  make_older(home.data_dir() / "data" / "vault" / key_file_name(used), std::chrono::hours(48));
  SqliteConnection::open(home.data_dir() / "data" / "sessions.db")
      .value()
      ->execute("UPDATE sessions SET state = 'asleep'")
      .value();
  CHECK(examine(home)["sqlite.column"] == "problem");
  CHECK(examine(home, {"--fix"})["sqlite.column"] == "note fixed");
  CHECK(examine(home, {"--fix"})["vault.key_abandoned"].empty());
  CHECK(vault->get(used).value());
}

TEST_CASE("doctor: a corrupt key is moved aside when asked to", "[cli]") {
  const Home home;
  home.plant(kAlice, kNobody);
  const auto id = home.vault()->list().value().at(0).id;
  write_text(home.data_dir() / "data" / "vault" / key_file_name(id), "garbage");
  const Examined found = examine(home);
  CHECK(found.status == 1);
  CHECK(found["vault.key_altered"] == "problem");
  const Examined mended = examine(home, {"--fix"});
  CHECK(mended["quarantine.keys"] == "note");
  CHECK(examine(home)["session.key_missing"] == "problem");
}
