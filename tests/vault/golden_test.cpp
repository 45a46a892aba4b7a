// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.session.json;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.key_names;
import latchkey.test.memory_keeper;
import latchkey.test.sample;
import latchkey.test.support;

// tests/data/formats holds one file of each format, as hexadecimal text. They may only be added to:
// a change of one means that records of people who have this version become unreadable.

using namespace latchkey;
using test::outcome;

namespace {

constexpr std::string_view kPassphrase = "correct horse battery staple";

// 0, 1, 2, ...: so that the files say what was random in them.
class CountingRandom final : public Random {
 public:
  void fill(std::span<unsigned char> bytes) override {
    for (auto& byte : bytes) byte = next_++;
  }

 private:
  unsigned char next_ = 0;
};

std::string golden(std::string_view name) {
  std::ifstream file(std::filesystem::path(LATCHKEY_TEST_DATA) / "formats" / name);
  std::ostringstream text;
  text << file.rdbuf();
  std::string hex;
  for (const char c : text.str()) {
    if (c != '\n') hex += c;
  }
  return hex;
}

std::string golden_text(std::string_view name) {
  return std::string(as_text(hex_decode(golden(name)).value()));
}

std::string hex_of(std::string_view text) {
  return hex_encode(as_bytes(text));
}

MasterKey passphrase() {
  return MasterKey::passphrase([]() -> Result<SecretString> { return SecretString(kPassphrase); },
                               {.passes = 1, .memory_bytes = 8 * 1024 * 1024});
}

struct Place {
  test::TemporaryFolder root;
  std::filesystem::path vault = root.path() / "vault";
  std::filesystem::path key_file = root.path() / "vault.key";

  [[nodiscard]] std::shared_ptr<FileKeyVault> open(const MasterKey& master) const {
    return FileKeyVault::open(vault, master, {.random = std::make_shared<CountingRandom>()})
        .value();
  }
};

void put_header(const Place& place, std::string_view name) {
  std::filesystem::create_directory(place.vault);
  std::filesystem::permissions(place.vault, std::filesystem::perms::owner_all);
  test::write_text(place.vault / "vault.header", golden_text(name));
}

// A vault out of the golden files.
std::shared_ptr<FileKeyVault> golden_vault(const Place& place) {
  put_header(place, "vault_header_key_file_v1.hex");
  test::write_text(place.key_file, golden_text("vault_key_file_v1.hex"));
  test::write_text(place.vault / key_file_name("golden-ID"),
                   golden_text("vault_sealed_key_v1.hex"));
  return place.open(MasterKey::key_file(place.key_file));
}

}  // namespace

TEST_CASE("golden files: a vault with a key file is read", "[golden]") {
  const Place place;
  const auto vault = golden_vault(place);
  CHECK(as_text(vault->get("golden-ID").value().value().expose()) == "the golden key");
  const SealedRecord record{test::sample_summary(),
                            hex_decode(golden("session_box_v1.hex")).value()};
  const auto session = unseal_session(record, *vault->sealer()).value();
  CHECK(session.access_token.expose() == "access-token");
  CHECK(session.refresh_token.value().expose() == "refresh-token");
  CHECK(session.id_token.value().expose() == "id-token");
}

TEST_CASE("golden files: a vault with a passphrase is read", "[golden]") {
  const Place place;
  put_header(place, "vault_header_passphrase_v1.hex");
  CHECK(outcome(FileKeyVault::open(place.vault, passphrase())) == "ok");
}

TEST_CASE("golden files: the same vault is written byte for byte", "[golden]") {
  const Place place;
  const auto vault = place.open(MasterKey::key_file(place.key_file));
  REQUIRE(vault->put("golden-ID", SecretBytes(as_bytes("the golden key"))));
  const auto record = seal_session(test::sample_session(), *vault->sealer()).value();
  CHECK(hex_of(test::read_text(place.key_file).value()) == golden("vault_key_file_v1.hex"));
  CHECK(hex_of(test::read_text(place.vault / "vault.header").value()) ==
        golden("vault_header_key_file_v1.hex"));
  CHECK(hex_of(test::read_text(place.vault / "m5xwyzdfnywusra.key").value()) ==
        golden("vault_sealed_key_v1.hex"));
  CHECK(hex_encode(record.box) == golden("session_box_v1.hex"));
}

TEST_CASE("golden files: the same header with a passphrase is written byte for byte", "[golden]") {
  const Place place;
  REQUIRE(place.open(passphrase()) != nullptr);
  CHECK(hex_of(test::read_text(place.vault / "vault.header").value()) ==
        golden("vault_header_passphrase_v1.hex"));
}

TEST_CASE("golden files: a vault whose key is in a keychain is read and written", "[golden]") {
  const Place place, other;
  const auto keeper = std::make_shared<test::MemoryKeeper>();
  REQUIRE(place.open(MasterKey::keychain(keeper)) != nullptr);
  CHECK(hex_of(test::read_text(place.vault / "vault.header").value()) ==
        golden("vault_header_keychain_v1.hex"));
  CHECK(keeper->names() == std::vector<std::string>{"000102030405060708090a0b0c0d0e0f"});
  put_header(other, "vault_header_keychain_v1.hex");
  CHECK(outcome(FileKeyVault::open(other.vault, MasterKey::keychain(keeper))) == "ok");
}

TEST_CASE("golden files: a vault whose key a command prints is read and written", "[golden]") {
  const Place place, other;
  const auto master = MasterKey::command(
      {"echo", "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"});
  REQUIRE(place.open(master) != nullptr);
  CHECK(hex_of(test::read_text(place.vault / "vault.header").value()) ==
        golden("vault_header_command_v1.hex"));
  put_header(other, "vault_header_command_v1.hex");
  CHECK(outcome(FileKeyVault::open(other.vault, master)) == "ok");
}

TEST_CASE("golden files: the encodings of a session are written byte for byte, and read",
          "[golden]") {
  CHECK(hex_of(canonical_summary(test::sample_summary())) == golden("summary_canonical_v1.hex"));
  CHECK(hex_of(summary_to_json(test::sample_summary())) == golden("summary_json_v1.hex"));
  CHECK(hex_of(session_to_json(test::sample_session()).value().expose()) ==
        golden("session_json_v1.hex"));
  CHECK(summary_from_json(golden_text("summary_json_v1.hex")).value() == test::sample_summary());
  const auto session = session_from_json(SecretString(golden_text("session_json_v1.hex"))).value();
  CHECK(static_cast<const SessionSummary&>(session) == test::sample_summary());
  CHECK(session.id_token.value().expose() == "id-token");
}
