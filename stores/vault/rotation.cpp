// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.rotation;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.header;
import latchkey.store.vault.key_files;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.opening;
import latchkey.store.vault.place;

namespace latchkey {
namespace {

constexpr std::size_t kMaxNoteSize = 256;

std::filesystem::path note_path(const VaultPlace& place) {
  return place.folder / kVaultRotationName;
}

// When the newest data key became so, sealed with it.
Result<void> write_note(const VaultPlace& place, Sealer& sealer) {
  const auto now = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(place.clock->now().time_since_epoch()).count());
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(now >> (56 - 8 * i));
  }
  const auto box = sealer.seal(bytes, "");
  if (!box) return box.error();
  return replace_file(place.files, note_path(place), *box);
}

// Empty if there is no note of the newest data key that can be believed.
std::optional<TimePoint> read_note(const VaultPlace& place, Sealer& sealer) {
  const auto bytes = place.files->read(note_path(place), kMaxNoteSize);
  if (!bytes || !*bytes || !sealer.is_current((*bytes)->expose())) return std::nullopt;
  const auto text = sealer.open((*bytes)->expose(), "");
  if (!text || text->size() != 8) return std::nullopt;
  std::uint64_t at = 0;
  for (const unsigned char byte : text->expose()) at = at << 8 | byte;
  return TimePoint{} + std::chrono::milliseconds{static_cast<std::int64_t>(at)};
}

Error too_early(std::chrono::milliseconds left) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left);
  Error error = make_error(
      ErrorCode::locked, "vault.rotated_recently",
      "cannot drop old data keys yet: programs that run may still be saving with one; try again "
      "in " +
          std::to_string(std::chrono::ceil<std::chrono::minutes>(left).count()) + " min");
  error.retry_after = seconds;
  return error;
}

Result<void> check_grace(const VaultPlace& place, Sealer& sealer) {
  const auto rotated = read_note(place, sealer);
  const auto now = place.clock->now();
  if (rotated && *rotated <= now) {
    if (now - *rotated >= kDataKeyGrace) return {};
    return too_early(std::chrono::ceil<std::chrono::milliseconds>(*rotated + kDataKeyGrace - now));
  }
  // Lost, altered, or the clock was set back: the time runs from now.
  if (auto written = write_note(place, sealer); !written) return written;
  return too_early(kDataKeyGrace);
}

std::string hex_id(const SecretBytes& data_key) {
  return hex_encode(key_id_of(data_key));
}

// The data keys that seal key files.
Result<std::set<std::string>> used_by_keys(const KeyFiles& files) {
  auto keys = files.list();
  if (!keys) return std::move(keys).error();
  std::set<std::string> used;
  for (const VaultKeyInfo& key : *keys) {
    auto data_key = files.data_key_of(key.id);
    if (!data_key) return std::move(data_key).error();
    used.insert(*std::move(data_key));
  }
  return used;
}

// True if it was sealed with an older data key. Under the lock of each key only, so that others can
// go on using the vault.
Result<bool> reseal_key_file(const OpenVault& vault, const std::string& id) {
  const auto held = lock_vault(vault.place);
  if (!held) return held.error();
  const auto key = vault.key_files.read(id);
  if (!key) return key.error();
  const auto current = vault.key_files.is_current(id);
  if (!current) return current.error();
  if (!*key || *current) return false;
  if (auto written = vault.key_files.write(id, **key); !written) return std::move(written).error();
  return true;
}

}  // namespace

Result<void> rewrap_vault(const OpenVault& vault, const MasterKey& old, const MasterKey& fresh) {
  const VaultPlace& place = vault.place;
  if (auto good = check_master_key(place.folder, fresh); !good) return good;
  MasterKeySource source(place, fresh);
  if (auto ready = source.prepare(); !ready) return ready;
  const auto held = lock_vault(place);
  if (!held) return held.error();
  auto now = vault.data_keys.reload();
  if (!now) return std::move(now).error();
  const VaultHeader before = now->header;
  const bool was_in_keychain = before.kind == MasterKey::Kind::keychain;
  if (was_in_keychain) {
    if (auto noted = note_item(place, before.item); !noted) return noted;
  }
  auto master_key = source.make(now->header);
  if (!master_key) return std::move(master_key).error();
  now->master_key = *std::move(master_key);
  vault.data_keys.expect_master_key(now->master_key);
  if (auto written = write_header(place, *now); !written) return written;
  const auto& keeper = fresh.keeper() ? fresh.keeper() : old.keeper();
  if (keeper) {
    const bool in_keychain = fresh.kind() == MasterKey::Kind::keychain;
    remove_left_items(place, *keeper, in_keychain ? std::optional(now->header.item) : std::nullopt);
  }
  return {};
}

Result<void> add_data_key(const OpenVault& vault) {
  const VaultPlace& place = vault.place;
  const auto held = lock_vault(place);
  if (!held) return held.error();
  auto now = vault.data_keys.reload();
  if (!now) return std::move(now).error();
  if (now->data_keys.size() == kMaxDataKeys) {
    return make_error(ErrorCode::conflict, "vault.too_many_data_keys",
                      "cannot rotate the vault: it keeps 32 data keys already; drop old ones that "
                      "nothing is sealed with any more");
  }
  now->data_keys.insert(now->data_keys.begin(), random_key(*place.random));
  const auto sealer = make_sealer(now->data_keys, kRotationPurpose, place.random);
  if (auto noted = write_note(place, *sealer); !noted) return noted;
  if (auto written = write_header(place, *now); !written) return written;
  auto read = vault.data_keys.reload();
  if (!read) return std::move(read).error();
  return {};
}

Result<ResealedKeys> reseal_key_files(const OpenVault& vault, const RotationProgress& progress,
                                      std::stop_token stop) {
  // Others learn of the new key at the latest now, if who made it died before it could say so.
  announce_header(vault.place);
  auto keys = vault.key_files.list();
  if (!keys) return std::move(keys).error();
  ResealedKeys result{.total = keys->size(), .resealed = 0, .unreadable = {}};
  for (std::size_t i = 0; i < keys->size(); ++i) {
    if (stop.stop_requested()) {
      return make_error(ErrorCode::cancelled, "vault.cancelled",
                        "stopped re-sealing the vault's keys; run it again to go on");
    }
    const auto resealed = reseal_key_file(vault, (*keys)[i].id);
    if (resealed) {
      result.resealed += *resealed ? 1 : 0;
    } else if (resealed.error().code == ErrorCode::io ||
               resealed.error().code == ErrorCode::locked) {
      return resealed.error();
    } else {
      result.unreadable.push_back(resealed.error());
    }
    if (progress) progress(i + 1, keys->size());
  }
  return result;
}

Result<std::size_t> drop_data_keys(const OpenVault& vault,
                                   std::span<const std::string> still_used) {
  const VaultPlace& place = vault.place;
  announce_header(place);
  const auto held = lock_vault(place);
  if (!held) return held.error();
  auto now = vault.data_keys.reload();
  if (!now) return std::move(now).error();
  if (now->data_keys.size() == 1) return std::size_t{0};
  const auto sealers = vault.data_keys.current();
  if (auto over = check_grace(place, *sealers->rotation); !over) return std::move(over).error();
  auto used = used_by_keys(vault.key_files);
  if (!used) return std::move(used).error();
  used->insert(still_used.begin(), still_used.end());
  used->insert(hex_id(now->data_keys.front()));
  const auto dropped = std::erase_if(now->data_keys, [&](const SecretBytes& data_key) {
    return !used->contains(hex_id(data_key));
  });
  if (dropped == 0) return dropped;
  if (auto written = write_header(place, *now); !written) return std::move(written).error();
  if (auto read = vault.data_keys.reload(); !read) return std::move(read).error();
  return dropped;
}

}  // namespace latchkey
