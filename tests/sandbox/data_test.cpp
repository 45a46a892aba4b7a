// SPDX-License-Identifier: MIT
#include <SQLiteCpp/SQLiteCpp.h>
#include <signal.h>
#include <sys/resource.h>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

namespace fs = std::filesystem;
using Started = Result<std::unique_ptr<sandbox::Sandbox>>;

Started start(const fs::path& data) {
  return sandbox::Sandbox::start({.data = data});
}

/// A client, and a sandbox in a file that can be started again at the same ports.
struct KeptWorld {
  TemporaryFolder folder;
  fs::path data = folder.path() / "sandbox.db";
  SandboxWorld world;
  std::uint16_t port = 0;

  KeptWorld() {
    while (world.servers->pds() != origin()) {
      const auto free = sandbox::Sandbox::start().value()->pds();
      port = static_cast<std::uint16_t>(std::stoi(free.substr(free.rfind(':') + 1)));
      if (auto started = restarted()) world.servers = *std::move(started);
    }
    world.alice = world.servers->add_account("alice.test", "secret", true).value();
    world.client = world.client_over(world.store);
  }
  [[nodiscard]] std::string origin() const { return "http://localhost:" + std::to_string(port); }
  [[nodiscard]] Started restarted() const {
    return sandbox::Sandbox::start({.port = port, .clock = world.clock, .data = data});
  }
  void restart() {
    world.servers.reset();
    world.servers = restarted().value();
  }
};

/// No file of this process may grow, nor be written at all.
class FullDisk {
 public:
  FullDisk() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("data: a login goes on after the sandbox was stopped and started", "[sandbox]") {
  KeptWorld kept;
  SandboxWorld& world = kept.world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  const auto before = pds.create_record(kPosts, kPost).value();
  kept.restart();
  CHECK(pds.list_records(kPosts).value().records.at(0).cid == before.cid);
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
  world.expire();
  CHECK(outcome(world.client.fresh(world.alice.did)) == "ok");
  CHECK(world.servers->counts().refreshes == 1);
  CHECK(pds.list_records(kPosts).value().records.size() == 2);
}

TEST_CASE("data: accounts keep their order, DID, password, approval and where they moved",
          "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  auto first = start(data).value();
  const auto alice = first->add_account("alice.test", {}, true).value();
  REQUIRE(first->add_account("bob.test", "secret"));
  REQUIRE(first->move_account("bob.test", "https://pds.example"));
  REQUIRE(first->change_handle("alice.test", "alicia.test"));
  first.reset();
  const auto again = start(data).value()->accounts();
  REQUIRE(again.size() == 2);
  const auto& alicia = again[0];
  const auto& bob = again[1];
  CHECK(alicia.did == alice.did);
  CHECK(alicia.handle == "alicia.test");
  CHECK(alicia.password == alice.password);
  CHECK(alicia.auto_approve);
  CHECK(bob.password == "secret");
  CHECK(bob.moved_to == "https://pds.example");
}

TEST_CASE("data: a refresh token that was spent before a restart is a replay after it",
          "[sandbox]") {
  KeptWorld kept;
  SandboxWorld& world = kept.world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto copies = world.empty_store();
  auto copy = world.store->load(world.alice.did).value().value();
  copy.revision = Revision{1};
  REQUIRE(outcome(copies->save(copy, Revision{})) == "ok");
  world.expire();
  REQUIRE(outcome(world.client.fresh(world.alice.did)) == "ok");
  kept.restart();
  auto thief = world.client_over(copies);
  CHECK(outcome(thief.fresh(world.alice.did)).rfind("session_dead", 0) == 0);
  CHECK(world.servers->counts().replays == 1);
  kept.restart();
  CHECK(world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("data: a session that has ended and a record that was deleted stay so", "[sandbox]") {
  KeptWorld kept;
  SandboxWorld& world = kept.world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  REQUIRE(pds.put_record(kPosts, "one", kPost));
  REQUIRE(pds.delete_record(kPosts, "one"));
  CHECK(world.servers->end_sessions("alice.test") == 1);
  kept.restart();
  CHECK(world.servers->live_sessions("alice.test") == 0);
  CHECK(outcome(pds.list_records(kPosts)).rfind("session_dead", 0) == 0);
  REQUIRE(outcome(world.log_in()) == "ok");
  CHECK(pds.list_records(kPosts).value().records.empty());
}

TEST_CASE("data: the file is private, and must be", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  REQUIRE(start(data));
  CHECK(mode_of(data) == 0600);
  CHECK(names_in(folder.path()).size() == 1);
  fs::permissions(data, fs::perms::group_read, fs::perm_options::add);
  CHECK(outcome(start(data)) == "insecure_location location.permissions");
  fs::permissions(data, fs::perms::group_read, fs::perm_options::remove);
  fs::create_symlink(data, folder.path() / "link");
  CHECK(outcome(start(folder.path() / "link")).rfind("insecure_location", 0) == 0);
  CHECK(outcome(start(folder.path())) == "io sqlite.cannot_open");
  CHECK(outcome(start(folder.path() / "none" / "sandbox.db")).rfind("io", 0) == 0);
}

TEST_CASE("data: a file that is not a sandbox's is left alone", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  write_text(data, std::string(4096, 'x'));
  CHECK(outcome(start(data)) == "corrupt sqlite.not_a_database");
  CHECK(read_text(data).value() == std::string(4096, 'x'));
  write_text(data, "");
  SQLite::Database(data.string(), SQLite::OPEN_READWRITE).exec("CREATE TABLE theirs (a INTEGER)");
  CHECK(outcome(start(data)) == "corrupt sandbox.not_a_sandbox");
}

TEST_CASE("data: a newer schema and broken rows are refused", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  REQUIRE(start(data).value()->add_account("alice.test"));
  const auto change = [&](const char* sql) {
    SQLite::Database(data.string(), SQLite::OPEN_READWRITE).exec(sql);
  };
  change("PRAGMA user_version = 2");
  CHECK(outcome(start(data)) == "schema_too_new sandbox.data_version");
  change("PRAGMA user_version = 1");
  for (const auto& [row, detail] :
       {std::pair{"'account', 'did:plc:x', CAST('{' AS BLOB)", "corrupt account.not_json"},
        std::pair{"'account', 'did:plc:x', CAST('{}' AS BLOB)", "corrupt account.missing_member"},
        std::pair{"'session', 'x', CAST('{}' AS BLOB)", "corrupt session.number"},
        std::pair{"'session', '1', CAST('{}' AS BLOB)", "corrupt session.missing_member"},
        std::pair{"'refresh_token', 'x', CAST('9' AS BLOB)", "corrupt session.number"},
        std::pair{"'record', 'x', CAST('{\"cid\":\"c\",\"value\":\"v\"}' AS BLOB)",
                  "corrupt repository.uri"},
        std::pair{"'head', 'x', CAST('{}' AS BLOB)", "corrupt repository.missing_member"}}) {
    INFO(row);
    change(("INSERT INTO rows (kind, key, value) VALUES (" + std::string(row) + ")").c_str());
    CHECK(outcome(start(data)) == detail);
    change("DELETE FROM rows WHERE kind <> 'account' OR key = 'did:plc:x'");
  }
  CHECK(start(data).value()->accounts().size() == 1);
}

TEST_CASE("data: what the disk does not take is not confirmed, and tried again", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  auto servers = start(data).value();
  REQUIRE(servers->add_account("alice.test", {}, true));
  WireClient client(*servers);
  const auto code = client.code();
  std::string added;
  int answer = 0;
  {
    const FullDisk full;
    added = outcome(servers->add_account("bob.test"));
    answer = client.post("/oauth/token", client.code_form(code)).status;
  }
  CHECK(added.rfind("io ", 0) == 0);
  CHECK(answer == 500);
  CHECK(servers->requests().back().detail.rfind("io.", 0) == 0);
  CHECK(servers->set_auto_approve("alice.test", false));
  servers.reset();
  servers = start(data).value();
  CHECK(servers->accounts().size() == 2);
  CHECK(servers->live_sessions("alice.test") == 1);
}

TEST_CASE("data: a second sandbox may not have the same file", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  const auto first = start(data).value();
  CHECK(outcome(start(data)) == "locked sqlite.busy");
  CHECK(first->add_account("alice.test"));
}
