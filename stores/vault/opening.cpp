// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.opening;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.place;

namespace latchkey {
namespace {

constexpr std::string_view kHeaderChanges = "vault.header";
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kKeySuffix = ".key";

std::filesystem::path header_path(const VaultPlace& place) {
  return place.folder / kVaultHeaderName;
}

Result<UnlockedVault> unlock(const SecretBytes& header_bytes, MasterKeySource& source) {
  auto header = parse_header(header_bytes.expose());
  if (!header) return std::move(header).error();
  auto master_key = source.find(*header);
  if (!master_key) return std::move(master_key).error();
  auto data_keys = unlock_header(header_bytes.expose(), *master_key);
  if (!data_keys) return std::move(data_keys).error();
  return UnlockedVault{.header = *std::move(header),
                       .master_key = *std::move(master_key),
                       .data_keys = *std::move(data_keys)};
}

// Another process may have changed the master key between our look at the header and at the key.
Result<UnlockedVault> unlock_as_it_is_now(const VaultPlace& place, SecretBytes header_bytes,
                                          MasterKeySource& source) {
  for (;;) {
    auto unlocked = unlock(header_bytes, source);
    if (unlocked) return unlocked;
    auto now = read_header(place);
    if (!now || !*now || **now == header_bytes) return unlocked;
    header_bytes = std::move(**now);
  }
}

// Sealed keys without a header mean that the header was lost: a new one could never open them.
Result<void> check_no_keys(const VaultPlace& place) {
  auto entries = place.files->list(place.folder);
  if (!entries) return std::move(entries).error();
  for (const auto& entry : *entries) {
    if (!id_of_key_file(entry.name)) continue;
    return cannot_open(ErrorCode::corrupt, "vault.header_missing",
                       "there are keys in " + shown(place.folder) +
                           " and no vault.header; restore it from a copy, or remove the folder");
  }
  return {};
}

Result<UnlockedVault> create(const VaultPlace& place, const MasterKey& master,
                             MasterKeySource& source) {
  if (auto empty = check_no_keys(place); !empty) return std::move(empty).error();
  // Of a creation that was cut off.
  if (master.keeper()) remove_left_items(place, *master.keeper(), std::nullopt);
  UnlockedVault vault;
  auto master_key = source.make(vault.header);
  if (!master_key) return std::move(master_key).error();
  vault.master_key = *std::move(master_key);
  vault.data_keys.push_back(random_key(*place.random));
  if (auto written = write_header(place, vault); !written) return std::move(written).error();
  if (master.keeper()) remove_left_items(place, *master.keeper(), vault.header.item);
  return vault;
}

}  // namespace

Result<UnlockedVault> open_or_create(const VaultPlace& place, const MasterKey& master) {
  MasterKeySource source(place, master);
  auto bytes = read_header(place);
  if (!bytes) return std::move(bytes).error();
  if (*bytes) return unlock_as_it_is_now(place, std::move(**bytes), source);
  if (auto ready = source.prepare(); !ready) return std::move(ready).error();
  auto held = lock_vault(place);
  if (!held) return std::move(held).error();
  // Another process may have created it meanwhile.
  bytes = read_header(place);
  if (!bytes) return std::move(bytes).error();
  return *bytes ? unlock(**bytes, source) : create(place, master, source);
}

Result<std::optional<SecretBytes>> read_header(const VaultPlace& place) {
  if (auto secure = place.files->check_private(header_path(place)); !secure) {
    return std::move(secure).error();
  }
  auto bytes = place.files->read(header_path(place), kMaxHeaderSize);
  if (!bytes || !*bytes) return bytes;
  // Whoever wrote it may have been cut off before this, or not be there yet: what is sealed with a
  // data key must not reach the disk before the header that holds the key.
  if (auto synced = place.files->sync_folder(place.folder); !synced) {
    return std::move(synced).error();
  }
  return bytes;
}

// A write whose last step failed may be in place all the same.
Result<void> write_header(const VaultPlace& place, const UnlockedVault& vault) {
  const Bytes bytes = build_header(vault.header, vault.master_key, vault.data_keys, *place.random);
  auto written = replace_file(place.files, header_path(place), bytes);
  announce_header(place);
  return written;
}

std::uint64_t header_changes(const VaultPlace& place) noexcept {
  return place.lock->change_count(kHeaderChanges);
}

void announce_header(const VaultPlace& place) noexcept {
  place.lock->announce_change(kHeaderChanges);
}

std::string key_file_name(std::string_view id) {
  std::string name;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : id) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 5; count -= 5) name += kBase32[bits >> (count - 5) & 31];
    bits &= (1u << count) - 1;
  }
  if (count > 0) name += kBase32[bits << (5 - count) & 31];
  return name.append(kKeySuffix);
}

std::optional<std::string> id_of_key_file(std::string_view name) {
  if (!name.ends_with(kKeySuffix)) return std::nullopt;
  std::string id;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : name.substr(0, name.size() - kKeySuffix.size())) {
    const auto value = kBase32.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 5 | static_cast<std::uint32_t>(value);
    if ((count += 5) >= 8) {
      count -= 8;
      id += static_cast<char>(bits >> count);
      bits &= (1u << count) - 1;
    }
  }
  // One id has one name: what encodes to another is not ours.
  if (!check_key_id(id) || key_file_name(id) != name) return std::nullopt;
  return id;
}

}  // namespace latchkey
