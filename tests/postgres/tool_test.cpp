// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault.master_key;
import latchkey.test.folder;
import latchkey.test.postgres_place;
import latchkey.test.tool;
import latchkey.test.tool_places;

// The tool over a database that many machines share.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrinted = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

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

// A machine and the database that it uses.
struct Machine {
  explicit Machine(std::string store) : address(std::move(store)) {}

  Home home{};
  std::string address;

  [[nodiscard]] ToolStart start(std::vector<std::string> words) const {
    ToolStart out = home.start(std::move(words));
    out.environment["LATCHKEY_STORE"] = address;
    return out;
  }
  [[nodiscard]] ToolRun operator()(std::vector<std::string> words) const {
    words.push_back("--json");
    return run(start(std::move(words)));
  }
  // Moves what lies in the machine's own files into the database.
  [[nodiscard]] std::vector<std::string> migration() const {
    return {"store",  "migrate",
            "--from", "sqlite:" + (home.data_dir() / "data" / "sessions.db").string(),
            "--to",   address};
  }
  [[nodiscard]] std::filesystem::path key() const {
    return home.data_dir() / "config" / "vault.key";
  }
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> store() const {
    const auto database = PostgresDatabase::open(SecretString(address)).value();
    return PostgresOAuthTokenStore::open(
               database, PostgresKeyVault::open(database, MasterKey::key_file(key())).value())
        .value();
  }
};

bool is_usable(OAuthTokenStore& store, std::string_view subject) {
  const auto session = store.load(subject).value();
  return session && session->state == SessionState::active;
}

}  // namespace

TEST_CASE("tool: sessions move into a database, and every command finds them there", "[tool]") {
  const PostgresPlace place;
  const Machine machine(place.address());
  machine.home.plant();
  machine.home.plant(kBob);
  const auto moved = result(machine(machine.migration()));
  CHECK(moved["moved"] == 2);
  CHECK(moved["remaining"] == 0);
  CHECK(result(machine({"sessions"})).size() == 2);
  CHECK(result(machine({"whoami", "--account", std::string(kAlice)}))["subject"] == kAlice);
  CHECK(result(machine({"status"}))["sessions"].size() == 2);
  CHECK(result(machine({"status"}))["vault"]["kind"] == "key-file");
  const auto status = result(machine({"vault", "status"}));
  CHECK(status["data_keys"][0]["keys"] == 2);
  CHECK(status["data_keys"][0]["sessions"] == 2);
  CHECK(result(machine({"vault", "rotate"}))["sessions_resealed"] == 2);
  const auto stats = result(machine({"store", "stats"}));
  CHECK(stats["store"] == "postgresql");
  CHECK(stats["active"] == 2);
  CHECK(stats["keys"] == 2);
  CHECK(stats["database"]["server"].get<std::string>().starts_with("PostgreSQL"));
  CHECK(result(machine({"store", "gc"}))["dead_sessions_removed"] == 0);
  CHECK(machine.store()->load(kAlice).value()->access_token.expose() == kAccessToken);
  CHECK(run(machine.start({"logout", "--all", "--forget"})).status == 0);
  CHECK(result(machine({"sessions"})).empty());
}

TEST_CASE("tool: sessions come back out of a database", "[tool]") {
  const PostgresPlace place;
  const Machine machine(place.address());
  machine.home.plant();
  REQUIRE(result(machine(machine.migration()))["moved"] == 1);
  const std::string own = "sqlite:" + (machine.home.data_dir() / "data" / "sessions.db").string();
  CHECK(result(machine({"store", "migrate", "--to", own}))["moved"] == 1);
  CHECK(machine.home.store()->load(kAlice).value()->refresh_token->expose() == kRefreshToken);
  CHECK(result(machine({"sessions"})).empty());
}

TEST_CASE("tool: another machine needs the master key, from wherever it is given it", "[tool]") {
  const PostgresPlace place;
  const Machine first(place.address()), second(place.address());
  first.home.plant();
  REQUIRE(result(first(first.migration()))["moved"] == 1);
  CHECK(error_of(second({"sessions"})) == "4 vault.key_file_missing");
  CHECK(error_of(second({"sessions", "--master-key", "keychain"})) == "2 vault.keychain_for_fleet");
  const auto copy = second.home.path() / "mounted-key";
  write_text(copy, read_text(first.key()).value());
  ToolStart start = second.start({"whoami", "--json"});
  start.environment["LATCHKEY_MASTER_KEY_FILE"] = copy.string();
  CHECK(result(run(std::move(start)))["subject"] == kAlice);
  CHECK(result(second({"whoami", "--master-key", "key-file:" + copy.string()}))["subject"] ==
        kAlice);
  // From a command from now on, on every machine.
  const auto program = first.home.path() / "print-key";
  write_text(program, "#!/bin/sh\necho " + std::string(kPrinted) + "\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const std::string command = "command:" + program.string();
  CHECK(result(first({"vault", "rewrap", "--to", command}))["kind"] == "command");
  CHECK(error_of(first({"whoami"})) == "4 cli.master_key_command");
  CHECK(result(second({"whoami", "--master-key", command}))["subject"] == kAlice);
}

TEST_CASE("tool: without an address everything comes from libpq's environment", "[tool]") {
  const PostgresPlace place;
  const Machine machine("postgresql:");
  const std::string port = place.address().substr(place.address().rfind(':') + 1);
  ToolStart start = machine.start({"sessions", "--json"});
  start.environment["PGHOST"] = "127.0.0.1";
  start.environment["PGPORT"] = port.substr(0, port.find('/'));
  start.environment["PGUSER"] = "postgres";
  start.environment["PGDATABASE"] = place.name();
  CHECK(result(run(start)).empty());
  const auto services = machine.home.path() / "services.conf";
  write_text(services, "[sessions]\nhost=127.0.0.1\nport=" + start.environment["PGPORT"] +
                           "\nuser=postgres\ndbname=" + place.name() + "\n");
  ToolStart service = machine.start({"sessions", "--json"});
  service.environment["LATCHKEY_STORE"] = "postgresql:service=sessions";
  service.environment["PGSERVICEFILE"] = services.string();
  CHECK(result(run(std::move(service))).empty());
}

TEST_CASE("tool: a password in an address is in nothing that anybody reads", "[tool]") {
  const PostgresPlace place;
  const std::string port = place.address().substr(place.address().rfind(':') + 1);
  const std::string host = "127.0.0.1:" + port.substr(0, port.find('/'));
  const auto trace = TemporaryFolder();
  for (const std::string& address :
       {"postgresql://postgres:Marked1@" + host + "/" + place.name(),
        "postgresql://postgres:Marked1@" + host + "/there_is_no_such_database",
        "postgresql://postgres:Marked1@" + host + "/x?no_such_option=1",
        std::string("postgresql:host=127.0.0.1 password=Marked1 port=none"),
        "postgresql: //postgres:Marked1@" + host + "/x",
        "postgresql:/postgres:Marked1@" + host + "/x",
        std::string("postgresql://postgres:Marked1@[127.0.0.1/x")}) {
    const Machine machine(address);
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"sessions"}, {"doctor"}, {"store", "stats"}, {"store", "migrate", "--to", address}}) {
      auto all = words;
      all.insert(all.end(), {"--trace", (trace.path() / "trace").string()});
      for (const bool json : {false, true}) {
        if (json) all.push_back("--json");
        const auto done = run(machine.start(all));
        CAPTURE(words.front(), done.err);
        CHECK((done.out + done.err).find("Marked1") == std::string::npos);
      }
    }
  }
  CHECK(read_text(trace.path() / "trace").value_or("").find("Marked1") == std::string::npos);
}

TEST_CASE("tool: a database is not moved into itself by another address", "[tool]") {
  PostgresPlace place;
  const Machine machine(place.address());
  machine.home.plant();
  REQUIRE(result(machine(machine.migration()))["moved"] == 1);
  const TimePoint now = SystemClock().now();
  machine.store()
      ->save_pending({.key = sha256_base64url("state"),
                      .expires_at = now + std::chrono::minutes(5),
                      .box = {1}},
                     now)
      .value();
  const std::string port = std::to_string(port_of(place.address()));
  for (const std::string& same :
       {place.address() + "?application_name=another",
        "postgresql:host=localhost user=postgres port=" + port + " dbname=" + place.name()}) {
    CHECK(error_of(machine({"store", "migrate", "--to", same})) == "2 migration.same_store");
    CHECK(error_of(machine({"store", "migrate", "--from", same, "--to", machine.address})) ==
          "2 migration.same_store");
  }
  CHECK(result(machine({"store", "stats"}))["pending"] == 1);
  CHECK(result(machine({"sessions"})).size() == 1);
}

TEST_CASE("tool: in a database that is counted, cleaned up or moved from nothing is made",
          "[tool]") {
  PostgresPlace place;
  const Machine machine(place.address());
  const std::string to = "sqlite:" + (machine.home.path() / "to").string();
  const std::vector<std::vector<std::string>> all{
      {"store", "stats"}, {"store", "gc"}, {"store", "migrate", "--to", to}};
  for (const auto& words : all) CHECK(machine(words).status != 0);
  CHECK(place.value("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE "
                    "'latchkey%'") == "0");
  REQUIRE(PostgresDatabase::open(place.secret_address()));
  for (const auto& words : all) CHECK(error_of(machine(words)) == "2 cli.no_store");
  CHECK(place.value("SELECT count(*) FROM latchkey_vault") == "0");
  CHECK_FALSE(std::filesystem::exists(machine.home.path() / "to"));
}

TEST_CASE("tool: a source whose master key must be named says with which option", "[tool]") {
  const PostgresPlace place;
  const Machine machine(place.address());
  const std::string key = (machine.home.path() / "mount" / "key").string();
  machine.home.plant();
  REQUIRE(run(machine.home.start({"vault", "rewrap", "--to", "key-file:" + key})).status == 0);
  std::filesystem::remove(machine.key());
  auto words = machine.migration();
  words.push_back("--json");
  ToolStart start = machine.start(words);
  start.environment["LATCHKEY_MASTER_KEY_FILE"] = key;
  const auto refused = run(start);
  CHECK(error_of(refused) == "4 vault.key_file_missing");
  CHECK(refused.err.find("--from-master-key") != std::string::npos);
  start.words.insert(start.words.end(), {"--from-master-key", "key-file:" + key});
  CHECK(result(run(std::move(start)))["moved"] == 1);
}

TEST_CASE("tool: the doctor looks at a database, and makes nothing in it", "[tool]") {
  PostgresPlace place;
  const Machine machine(place.address());
  const auto empty = run(machine.start({"doctor", "--json"}));
  CHECK(empty.out.find("postgres.schema") != std::string::npos);
  CHECK(place.value("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE "
                    "'latchkey%'") == "0");
  machine.home.plant();
  REQUIRE(result(machine(machine.migration()))["moved"] == 1);
  std::set<std::string> ids;
  for (const Json& finding : Json::parse(run(machine.start({"doctor", "--json"})).out)) {
    ids.insert(finding["id"]);
    if (finding["severity"] == "problem") {
      INFO(finding.dump());
      CHECK(finding["about"] == "clock");
    }
  }
  for (const char* id :
       {"database.open", "vault.master_key", "vault.unlocked", "store.open", "session.active"}) {
    CAPTURE(id);
    CHECK(ids.contains(id));
  }
}

namespace {

// So many sessions that a migration of them can be caught in the midst.
constexpr int kMany = 60;

std::string numbered(int i) {
  return "did:plc:" + std::to_string(1000 + i);
}

void plant_many(const Home& home) {
  const auto store = home.store();
  for (int i = 0; i < kMany; ++i) {
    OAuthSession session = home.session(numbered(i));
    store->save(session, Revision{}).value();
  }
}

// Waits until so many have arrived.
void wait_for_arrivals(PostgresPlace& place, int count) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < until) {
    if (place.value("SELECT count(*) FROM information_schema.tables WHERE table_name = "
                    "'latchkey_sessions'") == "1" &&
        std::stoi(place.value("SELECT count(*) FROM latchkey_sessions")) >= count)
      return;
    std::this_thread::yield();
  }
  FAIL("no session arrives");
}

void check_all_arrived(const Machine& machine) {
  const auto source = machine.home.store(), target = machine.store();
  for (int i = 0; i < kMany; ++i) {
    CHECK_FALSE(source->load(numbered(i)).value());
    CHECK(is_usable(*target, numbered(i)));
  }
}

}  // namespace

TEST_CASE("tool: a migration killed in the midst loses nothing, and the next one ends it",
          "[tool]") {
  PostgresPlace place;
  const Machine machine(place.address());
  plant_many(machine.home);
  {
    Tool migration(machine.start(machine.migration()));
    wait_for_arrivals(place, 5);
    migration.signal(SIGKILL);
    CHECK(migration.finish().status == 128 + SIGKILL);
  }
  const auto source = machine.home.store(), target = machine.store();
  for (int i = 0; i < kMany; ++i) {
    const bool here = is_usable(*source, numbered(i)), there = is_usable(*target, numbered(i));
    CHECK_FALSE((here && there));
    if (here || there) continue;
    const auto session = source->load(numbered(i)).value();
    CHECK((session && is_being_moved(*session)));  // for the next run
  }
  // The lease of who was killed runs out some time; a migration waits for that, and a test need
  // not.
  place.run("UPDATE latchkey_leases SET expires_at = clock_timestamp() - INTERVAL '1 hour'");
  const auto done = result(machine(machine.migration()));
  CHECK(done["left"] == 0);
  CHECK(done["remaining"] == 0);
  check_all_arrived(machine);
}

TEST_CASE("tool: a migration that is asked to stop ends between two sessions", "[tool]") {
  PostgresPlace place;
  const Machine machine(place.address());
  plant_many(machine.home);
  {
    Tool migration(machine.start(machine.migration()));
    wait_for_arrivals(place, 3);
    migration.signal(SIGTERM);
    const auto stopped = migration.finish();
    CHECK(stopped.err.find("run it again to go on") != std::string::npos);
  }
  const auto source = machine.home.store(), target = machine.store();
  for (int i = 0; i < kMany; ++i)
    CHECK(is_usable(*source, numbered(i)) != is_usable(*target, numbered(i)));
  CHECK(result(machine(machine.migration()))["remaining"] == 0);
  check_all_arrived(machine);
}

TEST_CASE("tool: two migrations at once move each session once", "[tool]") {
  const PostgresPlace place;
  const Machine machine(place.address());
  plant_many(machine.home);
  std::size_t moved = 0;
  {
    auto words = machine.migration();
    words.push_back("--json");
    REQUIRE(result(machine({"sessions"})).empty());  // the vault is there
    Tool one(machine.start(words)), other(machine.start(words));
    for (Tool* tool : {&one, &other}) {
      const auto done = result(tool->finish());
      moved += done["moved"].get<std::size_t>() + done["finished"].get<std::size_t>();
      CHECK(done["left"] == 0);
    }
  }
  CHECK(moved == kMany);
  check_all_arrived(machine);
}
