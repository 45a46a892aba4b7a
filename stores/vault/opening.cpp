// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.store.vault.opening;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.place;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

Result<UnlockedVault> unlock(const Bytes& bytes, MasterKeySource& source) {
  auto header = parse_header(bytes);
  if (!header) return std::move(header).error();
  auto master_key = source.find(*header);
  if (!master_key) return std::move(master_key).error();
  auto data_keys = unlock_header(bytes, *master_key);
  if (!data_keys) return std::move(data_keys).error();
  return UnlockedVault{.header = *std::move(header),
                       .master_key = *std::move(master_key),
                       .data_keys = *std::move(data_keys),
                       .bytes = bytes};
}

// Another process may have changed the master key between our look at the header and at the key.
Result<UnlockedVault> unlock_as_it_is_now(VaultShelf& shelf, Bytes bytes, MasterKeySource& source) {
  for (;;) {
    auto unlocked = unlock(bytes, source);
    if (unlocked) return unlocked;
    auto now = shelf.read_header();
    if (!now || !*now || **now == bytes) return unlocked;
    bytes = std::move(**now);
  }
}

// Sealed keys without a header mean that the header was lost: a new one could never open them.
Result<void> check_no_keys(VaultShelf& shelf) {
  const auto page = shelf.list_keys({}, KeyPart::names);
  if (!page) return page.error();
  if (page->keys.empty()) return {};
  return cannot_open(ErrorCode::corrupt, "vault.header_missing",
                     "there are keys in " + shelf.where() +
                         " and no header; restore it from a copy, or remove the keys");
}

// Keychain items that creations or changes of the master key have left, but for this one.
void tidy_keychain(const VaultShelf& shelf, const MasterKey& master,
                   const std::optional<KeychainItem>& current) {
  if (!master.keeper() || !shelf.keychain_items()) return;
  shelf.keychain_items()->remove_left(*master.keeper(), current);
}

// Empty if another process has created it meanwhile.
Result<std::optional<UnlockedVault>> create(VaultShelf& shelf, const MasterKey& master,
                                            MasterKeySource& source) {
  if (auto empty = check_no_keys(shelf); !empty) return std::move(empty).error();
  tidy_keychain(shelf, master, std::nullopt);
  UnlockedVault vault;
  auto master_key = source.make(vault.header);
  if (!master_key) return std::move(master_key).error();
  vault.master_key = *std::move(master_key);
  vault.data_keys.push_back(random_key(*shelf.seams().random));
  const auto written = write_header(shelf, vault);
  if (!written) return written.error();
  if (!*written) return std::optional<UnlockedVault>();
  tidy_keychain(shelf, master, vault.header.item);
  return std::optional(std::move(vault));
}

// Another process has created it first: with another key than the one that may have been made here.
Result<UnlockedVault> unlock_of_another(const Bytes& bytes, MasterKeySource& source) {
  auto unlocked = unlock(bytes, source);
  if (unlocked) return unlocked;
  const Error& error = unlocked.error();
  if (error.code != ErrorCode::wrong_key && error.detail != "vault.kind") return unlocked;
  const auto taken_back = source.take_back();
  if (!taken_back) return taken_back.error();
  return *taken_back ? unlock(bytes, source) : std::move(unlocked);
}

}  // namespace

Result<UnlockedVault> open_or_create(VaultShelf& shelf, const MasterKey& master) {
  MasterKeySource source(shelf, master);
  auto bytes = shelf.read_header();
  if (!bytes) return std::move(bytes).error();
  if (*bytes) return unlock_as_it_is_now(shelf, std::move(**bytes), source);
  if (auto ready = source.prepare(); !ready) return std::move(ready).error();
  const auto held = shelf.lock();
  if (!held) return held.error();
  for (;;) {
    // Another process may have created it meanwhile.
    bytes = shelf.read_header();
    if (!bytes) return std::move(bytes).error();
    if (*bytes) return unlock_of_another(**bytes, source);
    auto created = create(shelf, master, source);
    if (!created) return std::move(created).error();
    if (*created) return std::move(**created);
  }
}

Result<bool> write_header(VaultShelf& shelf, const UnlockedVault& vault) {
  const Bytes bytes =
      build_header(vault.header, vault.master_key, vault.data_keys, *shelf.seams().random);
  return shelf.replace_header(vault.bytes, bytes);
}

Result<std::optional<MasterKey::Kind>> kind_in(const std::optional<Bytes>& header) {
  if (!header) return std::optional<MasterKey::Kind>();
  const auto parsed = parse_header(*header);
  if (!parsed) return parsed.error();
  return std::optional(parsed->kind);
}

}  // namespace latchkey
