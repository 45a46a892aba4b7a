// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.test.fleet;
import latchkey.test.key_ids;
import latchkey.test.memory_keeper;
import latchkey.test.support;

// One vault for many machines: who may open it, and what becomes of a header that is not as it was.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr Argon2Cost kCheap{.passes = 1, .memory_bytes = 8 * 1024 * 1024};

MasterKey passphrase(std::string text) {
  return MasterKey::passphrase(
      [text = std::move(text)] { return Result<SecretString>(SecretString(text)); }, kCheap);
}

// As a KMS would be asked.
MasterKey prints(std::string_view digit) {
  return MasterKey::command(
      {"/bin/sh", "-c",
       "for i in 1 2 3 4 5 6 7 8; do printf " + std::string(8, digit.front()) + "; done"});
}

}  // namespace

TEST_CASE("postgres vault: machines with the same key file share its keys and its sealing",
          "[postgres][vault]") {
  const Fleet fleet;
  const auto one = fleet.vault();
  std::filesystem::create_directory(fleet.folder.path() / "other");
  std::filesystem::copy_file(fleet.key_file(), fleet.folder.path() / "other" / "key");
  std::filesystem::permissions(fleet.folder.path() / "other" / "key",
                               std::filesystem::perms::owner_read);
  const auto other = fleet.open(MasterKey::key_file(fleet.folder.path() / "other" / "key")).value();
  REQUIRE(one->put("id", key_of("mine")));
  CHECK(text_of(*other, "id") == "mine");
  const auto box = one->sealer()->seal(as_bytes("session"), "c").value();
  CHECK(outcome(other->sealer()->open(box, "c")) == "ok");
  CHECK(outcome(other->remove("id")) == "ok");
  CHECK(text_of(*one, "id") == "absent");
}

TEST_CASE("postgres vault: a machine without the key file is told to copy it, and makes none",
          "[postgres][vault]") {
  const Fleet fleet;
  REQUIRE(fleet.open());
  const auto refused = fleet.open("elsewhere");
  CHECK(outcome(refused) == "locked vault.key_file_missing");
  CHECK(refused.error().message.find("copy it here") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(fleet.key_file("elsewhere")));
}

TEST_CASE("postgres vault: another key file is a wrong key", "[postgres][vault]") {
  const Fleet fleet;
  REQUIRE(fleet.open());
  write_text(fleet.key_file("other"), std::string(32, 'k'));
  std::filesystem::permissions(fleet.key_file("other"), std::filesystem::perms::owner_read);
  CHECK(outcome(fleet.open("other")) == "wrong_key vault.wrong_master_key");
}

TEST_CASE("postgres vault: a passphrase opens it, and another one does not", "[postgres][vault]") {
  const Fleet fleet;
  REQUIRE(fleet.open(passphrase("correct horse")).value()->put("id", key_of("mine")));
  CHECK(text_of(*fleet.open(passphrase("correct horse")).value(), "id") == "mine");
  CHECK(outcome(fleet.open(passphrase("battery"))) == "wrong_key vault.wrong_master_key");
  CHECK(outcome(fleet.open(passphrase(""))) == "invalid_argument vault.empty_passphrase");
}

TEST_CASE("postgres vault: a command's key opens it, as a KMS gives it out", "[postgres][vault]") {
  const Fleet fleet;
  REQUIRE(fleet.open(prints("a")).value()->put("id", key_of("mine")));
  CHECK(text_of(*fleet.open(prints("a")).value(), "id") == "mine");
  CHECK(outcome(fleet.open(prints("b"))) == "wrong_key vault.wrong_master_key");
  CHECK(outcome(fleet.open(MasterKey::command({"/bin/false"}))) == "locked vault.command_failed");
  CHECK(outcome(fleet.open(MasterKey::command({"/bin/echo", "short"}))) ==
        "invalid_key vault.command_output");
}

TEST_CASE("postgres vault: a keychain is refused, since it belongs to one machine",
          "[postgres][vault]") {
  const Fleet fleet;
  const auto keychain = MasterKey::keychain(std::make_shared<MemoryKeeper>());
  CHECK(outcome(fleet.open(keychain)) == "invalid_argument vault.keychain_for_fleet");
  CHECK(PostgresKeyVault::kind_of(*fleet.database()).value() == std::nullopt);
  CHECK(outcome(fleet.vault()->rewrap(keychain)) == "invalid_argument vault.keychain_for_fleet");
  CHECK(outcome(fleet.open()) == "ok");
}

TEST_CASE("postgres vault: says which kind of master key it wants before one is given",
          "[postgres][vault]") {
  Fleet fleet;
  const auto database = fleet.database();
  CHECK(PostgresKeyVault::kind_of(*database).value() == std::nullopt);
  REQUIRE(fleet.open(prints("a")));
  CHECK(PostgresKeyVault::kind_of(*database).value() == MasterKey::Kind::command);
  CHECK(outcome(fleet.open()) == "locked vault.kind");
  fleet.place.run("UPDATE latchkey_vault SET header = 'no header'");
  CHECK(outcome(PostgresKeyVault::kind_of(*database)) == "corrupt vault.header_altered");
}

TEST_CASE("postgres vault: created by many at once there is one, and all have it open",
          "[postgres][vault][concurrency]") {
  Fleet fleet;
  fleet.uses_real_time = true;
  std::vector<std::shared_ptr<PostgresKeyVault>> vaults(6);
  {
    std::vector<std::jthread> threads;
    for (auto& vault : vaults) threads.emplace_back([&] { vault = fleet.vault(); });
  }
  for (std::size_t i = 0; i < vaults.size(); ++i) {
    REQUIRE(vaults[i]->put(std::to_string(i), key_of("key")));
  }
  for (const auto& vault : vaults) {
    for (std::size_t i = 0; i < vaults.size(); ++i) {
      CHECK(text_of(*vault, std::to_string(i)) == "key");
    }
  }
}

TEST_CASE("postgres vault: created by machines with different key files, it is one machine's",
          "[postgres][vault][concurrency]") {
  Fleet fleet;
  fleet.uses_real_time = true;
  std::vector<std::string> outcomes(6);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      threads.emplace_back(
          [&, i] { outcomes[i] = outcome(fleet.open("key" + std::to_string(i))); });
    }
  }
  CHECK(std::count(outcomes.begin(), outcomes.end(), "ok") == 1);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    INFO(i << ": " << outcomes[i]);
    // A key file that the loser has just made would hide that the winner's was never copied.
    CHECK((outcomes[i] == "ok" || outcomes[i] == "locked vault.key_file_missing"));
    CHECK(std::filesystem::exists(fleet.key_file("key" + std::to_string(i))) ==
          (outcomes[i] == "ok"));
  }
}

TEST_CASE("postgres vault: a header that is not what was written is refused", "[postgres][vault]") {
  Fleet fleet;
  REQUIRE(fleet.open());
  const auto header = fleet.place.value("SELECT encode(header, 'hex') FROM latchkey_vault");
  const auto with = [&](const std::string& expression) {
    fleet.place.run("UPDATE latchkey_vault SET header = decode('" + header + "', 'hex')");
    fleet.place.run("UPDATE latchkey_vault SET header = " + expression);
    return outcome(fleet.open());
  };
  CHECK(with("header") == "ok");
  CHECK(with("substring(header from 1 for 100)") == "corrupt vault.header_truncated");
  CHECK(with("''") == "corrupt vault.header_truncated");
  CHECK(with("header || '\\x00'") == "corrupt vault.header_altered");
  CHECK(with("set_byte(header, 70, 255 - get_byte(header, 70))") == "corrupt vault.header_altered");
  CHECK(with("set_byte(header, 15, 2)") == "schema_too_new vault.version");
  CHECK(with("set_byte(header, 16, 9)") == "schema_too_new vault.kind_unknown");
  CHECK(with("set_byte(header, 16, 3)") == "corrupt vault.header_altered");
  CHECK(with("decode(repeat('00', 4097), 'hex')") == "corrupt vault.header_altered");
}

TEST_CASE("postgres vault: keys without a header are not covered by a new one",
          "[postgres][vault]") {
  Fleet fleet;
  const auto vault = fleet.vault();
  REQUIRE(vault->put("id", key_of("mine")));
  const auto box = vault->sealer()->seal(as_bytes("session"), "c").value();
  fleet.place.run("DELETE FROM latchkey_vault");
  CHECK(outcome(fleet.open()) == "corrupt vault.header_missing");
  CHECK(outcome(vault->status()) == "corrupt vault.header_missing");
  CHECK(outcome(vault->add_data_key()) == "corrupt vault.header_missing");
  // Who has it open can go on, and save what would be lost otherwise.
  CHECK(text_of(*vault, "id") == "mine");
  CHECK(outcome(vault->sealer()->open(box, "c")) == "ok");
  CHECK(fleet.place.value("SELECT count(*) FROM latchkey_vault") == "0");
}
