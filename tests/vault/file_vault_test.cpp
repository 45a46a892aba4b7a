// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.key_names;
import latchkey.test.key_ids;
import latchkey.test.support;

// Opening and creating a vault: with the right key, the wrong key, no key, in bad places, at once.

using namespace latchkey;
using test::outcome;

namespace {

constexpr Argon2Cost kCheap{.passes = 1, .memory_bytes = 8 * 1024 * 1024};

struct Place {
  test::TemporaryFolder root;
  std::filesystem::path vault = root.path() / "vault";
  std::filesystem::path key_file = root.path() / "config" / "vault.key";

  [[nodiscard]] Result<std::shared_ptr<FileKeyVault>> open() const {
    return FileKeyVault::open(vault, MasterKey::key_file(key_file));
  }
  [[nodiscard]] Result<std::shared_ptr<FileKeyVault>> open_with(std::string_view passphrase,
                                                                Argon2Cost cost = kCheap) const {
    return FileKeyVault::open(
        vault, MasterKey::passphrase([text = std::string(passphrase)]()
                                         -> Result<SecretString> { return SecretString(text); },
                                     cost));
  }
};

SecretBytes key(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

}  // namespace

TEST_CASE("file vault: keys and boxes survive closing and opening", "[file_vault]") {
  const Place place;
  Bytes box;
  {
    const auto vault = place.open().value();
    REQUIRE(vault->put("id", key("mine")));
    box = vault->sealer()->seal(as_bytes("session"), "c").value();
  }
  const auto vault = place.open().value();
  CHECK(text_of(*vault, "id") == "mine");
  CHECK(as_text(vault->sealer()->open(box, "c").value().expose()) == "session");
  CHECK(test::key_ids(*vault) == std::vector<std::string>{"id"});
}

TEST_CASE("file vault: with a passphrase, keys survive closing and opening", "[file_vault]") {
  const Place place;
  REQUIRE(place.open_with("correct horse").value()->put("id", key("mine")));
  // The cost is the header's, not the one named at opening.
  CHECK(text_of(*place.open_with("correct horse", Argon2Cost{}).value(), "id") == "mine");
}

TEST_CASE("file vault: everything it makes is private from the start", "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("mine")));
  CHECK(test::mode_of(place.vault) == 0700);
  CHECK(test::mode_of(place.key_file.parent_path()) == 0700);
  CHECK(test::mode_of(place.key_file) == 0600);
  for (const auto& name : test::names_in(place.vault)) {
    INFO(name);
    CHECK(test::mode_of(place.vault / name) == 0600);
  }
  CHECK(test::names_in(place.vault) ==
        std::vector<std::string>{key_file_name("id"), "vault.header", "vault.lock"});
}

TEST_CASE("C6.12: file vault: no key lies in clear in any file", "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("a-marker-to-look-for")));
  const auto master = test::read_text(place.key_file).value();
  for (const auto& name : test::names_in(place.vault)) {
    const auto text = test::read_text(place.vault / name).value();
    CHECK(text.find("a-marker-to-look-for") == std::string::npos);
    CHECK(text.find(master) == std::string::npos);
  }
}

TEST_CASE("file vault: the wrong key file is a wrong key", "[file_vault]") {
  const Place place;
  REQUIRE(place.open());
  test::write_text(place.key_file, std::string(32, 'x'));
  CHECK(outcome(place.open()) == "wrong_key vault.wrong_master_key");
}

TEST_CASE("file vault: the wrong passphrase is a wrong key", "[file_vault]") {
  const Place place;
  REQUIRE(place.open_with("correct horse"));
  for (const std::string_view wrong : {"correct hors", "correct horse ", "Correct horse"}) {
    CHECK(outcome(place.open_with(wrong)) == "wrong_key vault.wrong_master_key");
  }
  CHECK(outcome(place.open_with("correct horse")) == "ok");
}

TEST_CASE("file vault: an empty passphrase is refused before anything is made", "[file_vault]") {
  const Place place;
  CHECK(outcome(place.open_with("")) == "invalid_argument vault.empty_passphrase");
  CHECK(outcome(FileKeyVault::open(place.vault, MasterKey::passphrase({}, kCheap))) ==
        "invalid_argument vault.no_passphrase");
  CHECK_FALSE(std::filesystem::exists(place.vault / "vault.header"));
}

TEST_CASE("file vault: who cannot be asked for a passphrase gives the error", "[file_vault]") {
  const Place place;
  const auto refuse = []() -> Result<SecretString> {
    return make_error(ErrorCode::locked, "test.no_terminal", "no terminal");
  };
  CHECK(outcome(FileKeyVault::open(place.vault, MasterKey::passphrase(refuse, kCheap))) ==
        "locked test.no_terminal");
}

TEST_CASE("file vault: a cost out of bounds is refused at creation", "[file_vault]") {
  const Place place;
  constexpr std::uint64_t mib = 1024 * 1024;
  for (const auto& cost :
       {Argon2Cost{0, 8 * mib}, Argon2Cost{21, 8 * mib}, Argon2Cost{1, 8 * mib - 1},
        Argon2Cost{1, 1024 * mib + 1}, Argon2Cost{~0ull, ~0ull}}) {
    CHECK(outcome(place.open_with("pass", cost)) == "invalid_argument vault.kdf_cost");
  }
  CHECK_FALSE(std::filesystem::exists(place.vault / "vault.header"));
}

TEST_CASE("file vault: another kind of master key is locked, and the right kind is named",
          "[file_vault]") {
  const Place with_file, with_passphrase;
  REQUIRE(with_file.open());
  REQUIRE(with_passphrase.open_with("pass"));
  const auto first = with_file.open_with("pass");
  CHECK(outcome(first) == "locked vault.kind");
  CHECK(first.error().message.find("give the key file") != std::string::npos);
  const auto second = with_passphrase.open();
  CHECK(outcome(second) == "locked vault.kind");
  CHECK(second.error().message.find("give the passphrase") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(with_passphrase.key_file));
}

TEST_CASE("file vault: a key file that went missing is locked, and no new one is made",
          "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("mine")));
  const auto aside = place.root.path() / "aside";
  std::filesystem::rename(place.key_file, aside);
  CHECK(outcome(place.open()) == "locked vault.key_file_missing");
  CHECK_FALSE(std::filesystem::exists(place.key_file));
  std::filesystem::rename(aside, place.key_file);
  CHECK(text_of(*place.open().value(), "id") == "mine");
}

TEST_CASE("file vault: a key file of another size is corrupt and stays as it is", "[file_vault]") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{31}, std::size_t{33}, std::size_t{64}, std::size_t{5000}}) {
    const Place place;
    std::filesystem::create_directories(place.key_file.parent_path());
    test::write_text(place.key_file, std::string(size, 'x'));
    CHECK(outcome(place.open()) == "corrupt vault.key_file_size");
    CHECK(test::read_text(place.key_file) == std::string(size, 'x'));
    CHECK_FALSE(std::filesystem::exists(place.vault / "vault.header"));
  }
}

TEST_CASE("file vault: a key file that is already there is used", "[file_vault]") {
  const Place first, second;
  REQUIRE(first.open());
  const auto opened = FileKeyVault::open(second.vault, MasterKey::key_file(first.key_file));
  CHECK(outcome(opened) == "ok");
  CHECK(outcome(first.open()) == "ok");
}

TEST_CASE("file vault: files that others may read are refused", "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("mine")));
  const std::string refused = "insecure_location location.permissions";
  chmod(place.key_file.c_str(), 0640);
  CHECK(outcome(place.open()) == refused);
  chmod(place.key_file.c_str(), 0600);
  chmod((place.vault / "vault.header").c_str(), 0604);
  CHECK(outcome(place.open()) == refused);
  chmod((place.vault / "vault.header").c_str(), 0600);
  chmod(place.vault.c_str(), 0755);
  CHECK(outcome(place.open()) == refused);
  chmod(place.vault.c_str(), 0700);
  const auto vault = place.open().value();
  const auto file = place.vault / key_file_name("id");
  chmod(file.c_str(), 0644);
  CHECK(text_of(*vault, "id") == refused);
  CHECK(outcome(vault->put("id", key("mine"))) == refused);
  chmod(file.c_str(), 0600);
  CHECK(text_of(*vault, "id") == "mine");
}

TEST_CASE("file vault: symbolic links in the place of its files are refused", "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("mine")));
  const std::string refused = "insecure_location location.symlink";
  const auto replace_by_link = [&](const std::filesystem::path& path) {
    const auto aside = place.root.path() / "aside";
    std::filesystem::rename(path, aside);
    std::filesystem::create_symlink(aside, path);
    return [path, aside] { std::filesystem::rename(aside, path); };
  };
  const auto vault = place.open().value();
  auto undo = replace_by_link(place.vault / key_file_name("id"));
  CHECK(text_of(*vault, "id") == refused);
  CHECK(test::key_ids(*vault) == std::vector<std::string>{"id"});  // it does not vanish
  undo();
  for (const auto& path :
       {place.vault / "vault.header", place.key_file, place.vault, place.vault / "vault.lock"}) {
    INFO(path);
    if (path == place.vault) {
      const auto aside = place.root.path() / "aside";
      std::filesystem::rename(path, aside);
      std::filesystem::create_directory_symlink(aside, path);
      CHECK(outcome(place.open()) == refused);
      std::filesystem::remove(path);
      std::filesystem::rename(aside, path);
    } else {
      const auto back = replace_by_link(path);
      CHECK(outcome(place.open()) == refused);
      back();
    }
  }
  CHECK(outcome(place.open()) == "ok");
}

TEST_CASE("file vault: a key file in the vault's folder is refused, however it is written",
          "[file_vault]") {
  const Place place;
  const std::string refused = "insecure_location vault.key_file_beside_vault";
  const auto open_with_key = [&](const std::filesystem::path& path) {
    return outcome(FileKeyVault::open(place.vault, MasterKey::key_file(path)));
  };
  CHECK(open_with_key(place.vault / "vault.key") == refused);
  CHECK(open_with_key(place.vault / "keys" / "vault.key") == refused);
  CHECK(open_with_key(place.vault / "." / "vault.key") == refused);
  CHECK(open_with_key(place.root.path() / "x" / ".." / "vault" / "vault.key") == refused);
  std::filesystem::create_directory_symlink(place.vault, place.root.path() / "link");
  CHECK(open_with_key(place.root.path() / "link" / "vault.key") == refused);
  CHECK(outcome(FileKeyVault::open(place.vault / "", MasterKey::key_file(place.vault / "k"))) ==
        refused);
  CHECK(open_with_key(place.root.path() / "config" / "") == "invalid_argument vault.key_file_name");
  CHECK(test::names_in(place.vault).empty());
  CHECK(open_with_key(place.root.path() / "vault.key") == "ok");
}

TEST_CASE("file vault: keys without a header are not covered up by a new vault", "[file_vault]") {
  const Place place;
  REQUIRE(place.open().value()->put("id", key("mine")));
  const auto header = test::read_text(place.vault / "vault.header").value();
  std::filesystem::remove(place.vault / "vault.header");
  CHECK(outcome(place.open()) == "corrupt vault.header_missing");
  CHECK_FALSE(std::filesystem::exists(place.vault / "vault.header"));
  test::write_text(place.vault / "vault.header", header);
  CHECK(text_of(*place.open().value(), "id") == "mine");
}

TEST_CASE("file vault: foreign files are not keys, and leftovers of dead writers go",
          "[file_vault]") {
  const Place place;
  const auto vault = place.open().value();
  REQUIRE(vault->put("id", key("mine")));
  for (const std::string_view name :
       {"README", "a.key", ".key", "MFRGG.key", "nfsa.key.bak", "nfsb.key"}) {
    test::write_text(place.vault / name, "?");
  }
  test::write_text(place.vault / ".latchkey-tmp-dead", "half a ke");
  CHECK(test::key_ids(*vault) == std::vector<std::string>{"id"});
  CHECK_FALSE(std::filesystem::exists(place.vault / ".latchkey-tmp-dead"));
  CHECK(std::filesystem::exists(place.vault / "README"));
}

TEST_CASE("file vault: the name of a key's file has no capital and leads back to its id",
          "[file_vault]") {
  for (const std::string_view id :
       {"a", "aB", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "-_-"}) {
    const auto name = key_file_name(id);
    CHECK(name.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ/") == std::string::npos);
    CHECK(id_of_key_file(name) == std::string(id));
  }
  CHECK(key_file_name("foobar") == "mzxw6ytboi.key");  // RFC 4648 section 10, without padding
  CHECK(key_file_name(std::string(128, '_')).size() <= 255);
  CHECK_FALSE(id_of_key_file("mzxw6ytboi").has_value());
  CHECK_FALSE(id_of_key_file("MZXW6YTBOI.key").has_value());
  CHECK_FALSE(id_of_key_file("mzxw6ytbo1.key").has_value());
  CHECK(id_of_key_file("my.key") == "f");
  CHECK_FALSE(id_of_key_file("mz.key").has_value());  // the same bits and one more
  CHECK_FALSE(id_of_key_file("f4.key").has_value());  // "/" is no id
}

TEST_CASE("file vault: opened by many at once while it does not exist, there is one vault",
          "[file_vault][concurrency]") {
  // Each open has a lock file and descriptors of its own, as another process would.
  const Place place;
  constexpr std::size_t kOpeners = 8;
  std::vector<std::string> outcomes(kOpeners);
  std::vector<Bytes> boxes(kOpeners);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kOpeners; ++i) {
      threads.emplace_back([&, i] {
        const auto vault = place.open();
        outcomes[i] = outcome(vault);
        if (vault) boxes[i] = (*vault)->sealer()->seal(as_bytes("text"), "").value();
      });
    }
  }
  const auto vault = place.open().value();
  for (std::size_t i = 0; i < kOpeners; ++i) {
    CHECK(outcomes[i] == "ok");
    CHECK(outcome(vault->sealer()->open(boxes[i], "")) == "ok");
  }
}

TEST_CASE("file vault: vaults created at once with one key file all open with it",
          "[file_vault][concurrency]") {
  const Place place;
  constexpr std::size_t kVaults = 6;
  const auto open = [&](std::size_t i) {
    return FileKeyVault::open(place.root.path() / ("vault" + std::to_string(i)),
                              MasterKey::key_file(place.key_file));
  };
  std::vector<std::string> outcomes(kVaults);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kVaults; ++i) {
      threads.emplace_back([&, i] { outcomes[i] = outcome(open(i)); });
    }
  }
  for (std::size_t i = 0; i < kVaults; ++i) {
    CHECK(outcomes[i] == "ok");
    CHECK(outcome(open(i)) == "ok");
  }
}
