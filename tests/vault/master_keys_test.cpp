// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.memory_keeper;
import latchkey.test.support;

// Master keys that others keep: a keychain, a command.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Place {
  TemporaryFolder root;
  std::filesystem::path vault = root.path() / "vault";
  std::shared_ptr<MemoryKeeper> keeper = std::make_shared<MemoryKeeper>();

  [[nodiscard]] Result<std::shared_ptr<FileKeyVault>> open(FileVaultOptions options = {}) const {
    return FileKeyVault::open(vault, MasterKey::keychain(keeper), std::move(options));
  }
  // Opened with a shell script that prints the key.
  [[nodiscard]] Result<std::shared_ptr<FileKeyVault>> open_by(
      const std::string& script, std::chrono::milliseconds timeout = 30s) const {
    return FileKeyVault::open(vault, MasterKey::command({"sh", "-c", script}, timeout));
  }
  [[nodiscard]] bool has_header() const { return std::filesystem::exists(vault / "vault.header"); }
};

Error locked_keychain() {
  return make_error(ErrorCode::locked, "keychain.locked", "locked");
}

constexpr std::string_view kHex =
    "00ff1080a0b0c0d0e0f000112233445566778899aabbccddeefb3e3f00010203";
constexpr std::string_view kBase64Url = "AP8QgKCwwNDg8AARIjNEVWZ3iJmqu8zd7vs-PwABAgM";
constexpr std::string_view kBase64 = "AP8QgKCwwNDg8AARIjNEVWZ3iJmqu8zd7vs+PwABAgM=";

}  // namespace

TEST_CASE("keychain master key: made with the vault under a random name, and found again",
          "[master_keys]") {
  const Place place, other;
  REQUIRE(place.open());
  const auto names = place.keeper->names();
  REQUIRE(names.size() == 1);
  CHECK(names[0].size() == 32);
  CHECK(outcome(place.open()) == "ok");
  CHECK(place.keeper->names() == names);
  CHECK(names_in(place.vault) == std::vector<std::string>{"vault.header", "vault.lock"});
  REQUIRE(FileKeyVault::open(other.vault, MasterKey::keychain(place.keeper)));
  CHECK(place.keeper->names().size() == 2);
}

TEST_CASE("keychain master key: absent, it is locked, and none is made anew", "[master_keys]") {
  const Place place;
  REQUIRE(place.open());
  const auto name = place.keeper->names().front();
  REQUIRE(place.keeper->remove(name));
  CHECK(outcome(place.open()) == "locked vault.keychain_item_missing");
  CHECK(place.keeper->names().empty());
}

TEST_CASE("keychain master key: another key under the name is a wrong key", "[master_keys]") {
  const Place place;
  REQUIRE(place.open());
  place.keeper->plant(place.keeper->names().front(), std::string(32, 'x'));
  CHECK(outcome(place.open()) == "wrong_key vault.wrong_master_key");
}

TEST_CASE("keychain master key: what the keychain says is passed on, and nothing is made",
          "[master_keys]") {
  const Place place, open_one;
  place.keeper->fail_with(locked_keychain());
  CHECK(outcome(place.open()) == "locked keychain.locked");
  CHECK_FALSE(place.has_header());
  REQUIRE(open_one.open());
  open_one.keeper->fail_with(locked_keychain());
  CHECK(outcome(open_one.open()) == "locked keychain.locked");
  open_one.keeper->fail_with(std::nullopt);
  CHECK(outcome(open_one.open()) == "ok");
}

TEST_CASE("keychain master key: one that does not read back leaves no vault", "[master_keys]") {
  for (const bool lose : {true, false}) {
    const Place place;
    place.keeper->after_keep([&](MemoryKeeper& keeper, const std::string& name) {
      if (lose) {
        static_cast<void>(keeper.remove(name));
      } else {
        keeper.plant(name, std::string(32, 'x'));
      }
    });
    CHECK(outcome(place.open()) ==
          (lose ? "locked vault.keychain_item_missing" : "corrupt vault.keychain_read_back"));
    CHECK_FALSE(place.has_header());
    place.keeper->after_keep({});
    CHECK(outcome(place.open()) == "ok");
    CHECK(place.keeper->names().size() == 1);  // what was left is gone
  }
}

TEST_CASE("keychain master key: whichever step of creation fails, trying again leaves one item",
          "[master_keys]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    const Place place;
    const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
    files->fail_nth(step, no_space());
    const auto first = place.open({.files = files});
    if (first && files->changes() < step) break;
    files->heal();
    CHECK(outcome(place.open({.files = files})) == "ok");
    CHECK(place.keeper->names().size() == 1);
  }
}

TEST_CASE("keychain master key: a power cut at any moment leaves no vault or a whole one",
          "[master_keys]") {
  const TemporaryFolder root;
  const auto keeper = std::make_shared<MemoryKeeper>();
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), root.path());
  REQUIRE(FileKeyVault::open(root.path() / "vault", MasterKey::keychain(keeper), {.files = files}));
  const auto item = keeper->names().front();
  for (const auto& state : files->crash_states()) {
    INFO("after " << state.changes << " changes, " << state.description);
    const auto disk = state.materialise();
    // The keychain is elsewhere: it has lost nothing.
    const auto again = std::make_shared<MemoryKeeper>();
    again->plant(item, std::string(as_text(keeper->find(item).value()->expose())));
    CHECK(outcome(FileKeyVault::open(disk.path() / "vault", MasterKey::keychain(again))) == "ok");
    CHECK(again->names().size() <= 2);
  }
}

TEST_CASE("command master key: 32 bytes in each of their spellings open the same vault",
          "[master_keys]") {
  const Place place;
  REQUIRE(outcome(place.open_by("printf " + std::string(kHex))) == "ok");
  for (const std::string& script :
       {"printf " + std::string(kBase64), "echo " + std::string(kBase64Url),
        "echo " + std::string(kBase64Url) + "=", "printf '\\n\\t " + std::string(kHex) + " \\r\\n'",
        "echo " + std::string(kHex) + " | tr a-f A-F"}) {
    INFO(script);
    CHECK(outcome(place.open_by(script)) == "ok");
  }
  CHECK(outcome(place.open_by("echo " + std::string(kHex) + " | tr 0 1")) ==
        "wrong_key vault.wrong_master_key");
}

TEST_CASE("command master key: anything else it prints is refused and not shown", "[master_keys]") {
  const Place place;
  const std::string key(kBase64Url);
  for (const std::string& printed :
       {std::string(), std::string(" "), std::string("marked-secret"), key.substr(1), key + "A",
        key + "==", key + "\\nmore", "-" + std::string(kHex).substr(0, 62), std::string(kHex) + "0",
        std::string(kHex).substr(2), "g" + std::string(kHex).substr(1), "!" + key.substr(1),
        key.substr(0, 20) + " " + key.substr(20), key.substr(0, 42) + "N"}) {
    INFO(printed);
    const auto opened = place.open_by("printf -- '" + printed + "'");
    REQUIRE(outcome(opened) == "invalid_key vault.command_output");
    CHECK(opened.error().message.find("marked") == std::string::npos);
  }
  CHECK(outcome(place.open_by("head -c 5000 /dev/zero")) == "invalid_key vault.command_output");
  CHECK_FALSE(place.has_header());
}

TEST_CASE("command master key: a command that fails, hangs or is not there locks the vault",
          "[master_keys]") {
  const Place place;
  REQUIRE(place.open_by("echo " + std::string(kHex)));
  CHECK(outcome(place.open_by("echo " + std::string(kHex) + "; exit 1")) ==
        "locked vault.command_failed");
  CHECK(outcome(place.open_by("kill -9 $$")) == "locked vault.command_failed");
  CHECK(outcome(place.open_by("sleep 600", 200ms)) == "locked vault.command_timeout");
  CHECK(outcome(FileKeyVault::open(place.vault, MasterKey::command({"/no/such/program"}))) ==
        "locked vault.command_failed");
}

TEST_CASE("master keys: a description without what it needs is refused before anything is made",
          "[master_keys]") {
  const Place place;
  CHECK(outcome(FileKeyVault::open(place.vault, MasterKey::keychain(nullptr))) ==
        "invalid_argument vault.no_keychain");
  for (const std::vector<std::string>& words : {std::vector<std::string>{}, {""}}) {
    CHECK(outcome(FileKeyVault::open(place.vault, MasterKey::command(words))) ==
          "invalid_argument vault.no_command");
  }
  CHECK_FALSE(place.has_header());
}

TEST_CASE("master keys: every other kind is locked, names the right one, and is never taken",
          "[master_keys]") {
  const Place place, by_command;
  REQUIRE(place.open());
  REQUIRE(by_command.open_by("echo " + std::string(kHex)));
  const auto key_file = MasterKey::key_file(place.root.path() / "vault.key");
  const auto first = FileKeyVault::open(place.vault, key_file);
  CHECK(outcome(first) == "locked vault.kind");
  CHECK(first.error().message.find("give the keychain") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(place.root.path() / "vault.key"));
  const auto second = by_command.open();
  CHECK(outcome(second) == "locked vault.kind");
  CHECK(second.error().message.find("give the command") != std::string::npos);
  CHECK(by_command.keeper->names().empty());
}

TEST_CASE("master keys: the kind of a vault is known without opening it", "[master_keys]") {
  const Place place, by_command, none;
  REQUIRE(place.open());
  REQUIRE(by_command.open_by("echo " + std::string(kHex)));
  CHECK(FileKeyVault::kind_of(place.vault).value() == MasterKey::Kind::keychain);
  CHECK(FileKeyVault::kind_of(by_command.vault).value() == MasterKey::Kind::command);
  CHECK_FALSE(FileKeyVault::kind_of(none.vault).value().has_value());
  write_text(place.vault / "vault.header", "latchkey-vault\n\x02");
  CHECK(outcome(FileKeyVault::kind_of(place.vault)) == "schema_too_new vault.version");
  write_text(place.vault / "vault.header", "");
  CHECK(outcome(FileKeyVault::kind_of(place.vault)) == "corrupt vault.header_truncated");
}
