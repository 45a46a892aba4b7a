// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.memory_keeper;
import latchkey.test.support;

// Putting a vault under another master key: the old one or the new one works at every moment.

using namespace latchkey;
using namespace latchkey::test;

namespace {

SecretBytes key(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

MasterKey passphrase(std::string_view text) {
  return MasterKey::passphrase(
      [text = std::string(text)]() -> Result<SecretString> { return SecretString(text); },
      {.passes = 1, .memory_bytes = 8 * 1024 * 1024});
}

MasterKey key_file_below(const std::filesystem::path& root, std::string_view name = "vault.key") {
  return MasterKey::key_file(root / "config" / name);
}

std::shared_ptr<FileKeyVault> open_below(const std::filesystem::path& root, const MasterKey& master,
                                         std::shared_ptr<FileSystem> files = nullptr) {
  return FileKeyVault::open(root / "vault", master, {.files = std::move(files)}).value();
}

std::string opened(const std::filesystem::path& root, const MasterKey& master) {
  return outcome(FileKeyVault::open(root / "vault", master));
}

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

}  // namespace

TEST_CASE("rewrap: the new master key opens all there was, the old one no more", "[rewrap]") {
  const TemporaryFolder root;
  const auto old = key_file_below(root.path());
  const auto vault = open_below(root.path(), old);
  REQUIRE(vault->put("id", key("mine")));
  const auto box = vault->sealer()->seal(as_bytes("session"), "").value();
  REQUIRE(outcome(vault->rewrap(passphrase("new"))) == "ok");
  CHECK(opened(root.path(), old) == "locked vault.kind");
  CHECK(opened(root.path(), passphrase("other")) == "wrong_key vault.wrong_master_key");
  const auto again = open_below(root.path(), passphrase("new"));
  CHECK(text_of(*again, "id") == "mine");
  CHECK(outcome(again->sealer()->open(box, "")) == "ok");
  CHECK(again->status().value().kind == MasterKey::Kind::passphrase);
  CHECK(again->status().value().data_keys.size() == 1);
}

TEST_CASE("rewrap: from every kind to every kind", "[rewrap]") {
  const TemporaryFolder root;
  const auto keeper = std::make_shared<MemoryKeeper>();
  const std::string printed(43, 'A');
  const MasterKey kinds[] = {key_file_below(root.path()), passphrase("one"),
                             MasterKey::keychain(keeper), MasterKey::command({"echo", printed})};
  for (const auto& from : kinds) {
    for (const auto& to : kinds) {
      INFO(to_string(from.kind()) << " to " << to_string(to.kind()));
      std::filesystem::remove_all(root.path() / "vault");
      const auto vault = open_below(root.path(), from);
      REQUIRE(vault->put("id", key("mine")));
      REQUIRE(outcome(vault->rewrap(to)) == "ok");
      CHECK(text_of(*open_below(root.path(), to), "id") == "mine");
      CHECK(vault->status().value().kind == to.kind());
    }
  }
}

TEST_CASE("rewrap: a passphrase to another passphrase", "[rewrap]") {
  const TemporaryFolder root;
  const auto vault = open_below(root.path(), passphrase("one"));
  REQUIRE(vault->rewrap(passphrase("two")));
  REQUIRE(vault->rewrap(passphrase("three")));
  CHECK(opened(root.path(), passphrase("one")) == "wrong_key vault.wrong_master_key");
  CHECK(opened(root.path(), passphrase("two")) == "wrong_key vault.wrong_master_key");
  CHECK(opened(root.path(), passphrase("three")) == "ok");
}

TEST_CASE("rewrap: a master key that cannot be had changes nothing", "[rewrap]") {
  const TemporaryFolder root;
  const auto old = key_file_below(root.path());
  const auto vault = open_below(root.path(), old);
  const auto header = read_text(root.path() / "vault" / "vault.header");
  const auto keeper = std::make_shared<MemoryKeeper>();
  keeper->fail_with(make_error(ErrorCode::locked, "keychain.locked", "locked"));
  CHECK(outcome(vault->rewrap(MasterKey::keychain(keeper))) == "locked keychain.locked");
  CHECK(outcome(vault->rewrap(passphrase(""))) == "invalid_argument vault.empty_passphrase");
  CHECK(outcome(vault->rewrap(MasterKey::command({"false"}))) == "locked vault.command_failed");
  CHECK(outcome(vault->rewrap(MasterKey::key_file(root.path() / "vault" / "k"))) ==
        "insecure_location vault.key_file_beside_vault");
  CHECK(outcome(vault->rewrap(MasterKey::keychain(nullptr))) ==
        "invalid_argument vault.no_keychain");
  CHECK(read_text(root.path() / "vault" / "vault.header") == header);
  CHECK(opened(root.path(), old) == "ok");
}

TEST_CASE("rewrap: a power cut at any moment leaves the old or the new master key working",
          "[rewrap]") {
  const TemporaryFolder root;
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), root.path());
  const auto old = key_file_below(root.path());
  const auto vault = open_below(root.path(), old, files);
  REQUIRE(vault->put("id", key("mine")));
  const auto before = files->changes();
  REQUIRE(vault->rewrap(key_file_below(root.path(), "other.key")));
  const auto after = files->changes();
  std::size_t by_old = 0, by_new = 0;
  for (const auto& state : files->crash_states()) {
    if (state.changes < before) continue;
    INFO("after " << state.changes << " changes, " << state.description);
    const auto disk = state.materialise();
    const auto first = FileKeyVault::open(disk.path() / "vault", key_file_below(disk.path()));
    const auto second =
        FileKeyVault::open(disk.path() / "vault", key_file_below(disk.path(), "other.key"));
    REQUIRE(first.has_value() != second.has_value());
    if (state.changes >= after) CHECK(second);
    ++(first ? by_old : by_new);
    CHECK(text_of(first ? **first : **second, "id") == "mine");
  }
  CHECK(by_old > 0);
  CHECK(by_new > 0);
}

TEST_CASE("rewrap: whichever step fails, an open vault goes on and a second try works",
          "[rewrap]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    const TemporaryFolder root;
    const auto keeper = std::make_shared<MemoryKeeper>();
    const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
    const auto old = key_file_below(root.path());
    const auto vault = open_below(root.path(), old, files);
    REQUIRE(vault->put("id", key("mine")));
    const auto before = files->changes();
    files->fail_nth(step, no_space());
    const auto done = vault->rewrap(MasterKey::keychain(keeper));
    if (files->changes() - before < step) break;
    files->heal();
    CHECK(text_of(*vault, "id") == "mine");
    CHECK((opened(root.path(), old) == "ok" ||
           opened(root.path(), MasterKey::keychain(keeper)) == "ok"));
    CHECK(outcome(vault->rewrap(MasterKey::keychain(keeper))) == "ok");
    CHECK(opened(root.path(), MasterKey::keychain(keeper)) == "ok");
    CHECK(keeper->names().size() == 1);
  }
}

TEST_CASE("rewrap: another object of the same vault goes on reading, writing and sealing",
          "[rewrap]") {
  const TemporaryFolder root;
  const auto old = key_file_below(root.path());
  const auto one = open_below(root.path(), old), other = open_below(root.path(), old);
  REQUIRE(one->put("id", key("mine")));
  REQUIRE(one->rewrap(passphrase("new")));
  CHECK(text_of(*other, "id") == "mine");
  REQUIRE(other->put("two", key("more")));
  CHECK(text_of(*one, "two") == "more");
  const auto box = other->sealer()->seal(as_bytes("session"), "").value();
  CHECK(outcome(one->sealer()->open(box, "")) == "ok");
  // It does not know the new master key, so that is all it can do.
  CHECK(outcome(other->rewrap(passphrase("third"))) == "locked vault.rewrapped");
  CHECK(outcome(other->status()) == "locked vault.rewrapped");
  CHECK(outcome(other->add_data_key()) == "locked vault.rewrapped");
}
