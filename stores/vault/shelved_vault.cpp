// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.shelved_vault;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.opening;
import latchkey.store.vault.rotation;
import latchkey.store.vault.sealed_keys;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

Error not_aside(ErrorCode code, std::string_view detail, std::string_view id,
                std::string_view why) {
  return make_error(code, detail,
                    "cannot move the key " + std::string(id) + " aside: " + std::string(why));
}

Result<std::optional<SecretBytes>> opened(const OpenVault& vault, std::string_view id,
                                          const std::optional<Bytes>& bytes) {
  if (!bytes) return std::optional<SecretBytes>();
  auto key = vault.keys.open(id, *bytes);
  if (!key) return std::move(key).error();
  return std::optional(*std::move(key));
}

}  // namespace

Result<OpenVault> open_vault(std::shared_ptr<VaultShelf> shelf, const MasterKey& master) {
  if (auto good = check_master_key(*shelf, master); !good) return std::move(good).error();
  const auto seen = shelf->header_changes();
  auto unlocked = open_or_create(*shelf, master);
  if (!unlocked) return std::move(unlocked).error();
  auto data_keys = std::make_shared<DataKeys>(shelf, *std::move(unlocked), seen);
  SealedKeys keys(data_keys->keys_sealer());
  return OpenVault{
      .shelf = std::move(shelf), .data_keys = std::move(data_keys), .keys = std::move(keys)};
}

ShelvedKeyVault::ShelvedKeyVault(OpenVault vault, const MasterKey& master)
    : vault_(std::move(vault)), sessions_(vault_.data_keys->sessions_sealer()), master_(master) {}

ShelvedKeyVault::~ShelvedKeyVault() {}

MasterKey ShelvedKeyVault::described() {
  const std::scoped_lock lock(mutex_);
  return master_;
}

Result<void> ShelvedKeyVault::put(std::string_view id, const SecretBytes& key) {
  if (auto good = check_new_key(id, key); !good) return good;
  const auto held = vault_.shelf->lock();
  if (!held) return held.error();
  for (;;) {
    const auto sealed = vault_.keys.seal(id, key);
    if (!sealed) return sealed.error();
    const auto added = vault_.shelf->add_key(id, *sealed);
    if (!added) return added.error();
    if (*added) return {};
    const auto kept = get(id);
    if (!kept) return kept.error();
    if (*kept && **kept == key) return {};
    if (*kept) return key_exists(id);
    // It was removed between our two looks.
  }
}

Result<std::optional<SecretBytes>> ShelvedKeyVault::get(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  const auto bytes = vault_.shelf->read_key(id);
  if (!bytes) return bytes.error();
  return opened(vault_, id, *bytes);
}

Result<void> ShelvedKeyVault::remove(std::string_view id) {
  if (auto good = check_key_id(id); !good) return good;
  const auto held = vault_.shelf->lock();
  if (!held) return held.error();
  return vault_.shelf->remove_key(id);
}

Result<std::vector<VaultKeyInfo>> ShelvedKeyVault::list() {
  std::vector<VaultKeyInfo> keys;
  const auto visited = visit_keys(*vault_.shelf, KeyPart::names, [&](ShelvedKey& key) {
    keys.push_back(key.info);
    return Result<void>();
  });
  if (!visited) return visited.error();
  // A database's order is that of its collation.
  std::sort(keys.begin(), keys.end(),
            [](const VaultKeyInfo& a, const VaultKeyInfo& b) { return a.id < b.id; });
  return keys;
}

std::shared_ptr<Sealer> ShelvedKeyVault::sealer() {
  return sessions_;
}

Result<Quarantined> ShelvedKeyVault::quarantine(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  const auto held = vault_.shelf->lock();
  if (!held) return held.error();
  for (;;) {
    const auto bytes = vault_.shelf->read_key(id);
    const auto key = bytes ? opened(vault_, id, *bytes) : bytes.error();
    if (key && *key) {
      return not_aside(ErrorCode::conflict, "vault.readable", id,
                       "it can be read; log out instead to end its session");
    }
    if (key) {
      return not_aside(ErrorCode::invalid_argument, "vault.no_such_key", id,
                       "there is none; list the keys to see which there are");
    }
    if (key.error().code != ErrorCode::corrupt) return key.error();
    auto moved = vault_.shelf->move_aside(id, bytes ? *bytes : std::nullopt, key.error().detail);
    if (!moved) return std::move(moved).error();
    if (*moved) return *std::move(*moved);
  }
}

Result<std::vector<Quarantined>> ShelvedKeyVault::quarantined() {
  return vault_.shelf->aside();
}

Result<VaultStatus> ShelvedKeyVault::status() {
  auto now = vault_.data_keys->reload();
  if (!now) return std::move(now).error();
  const MasterKey master = described();
  VaultStatus status{.kind = now->header.kind,
                     .key_file = master.path(),
                     .keychain_item = {},
                     .cost = now->header.kdf.cost,
                     .data_keys = {},
                     .unreadable = {}};
  if (status.kind == MasterKey::Kind::keychain) status.keychain_item = name_of(now->header.item);
  for (const SecretBytes& data_key : now->data_keys) {
    status.data_keys.push_back({.id = hex_encode(key_id_of(data_key)), .keys = 0});
  }
  const auto visited = visit_keys(*vault_.shelf, KeyPart::bytes, [&](ShelvedKey& key) {
    const auto used = data_key_of(vault_, key);
    if (!used) status.unreadable.push_back(used.error());
    for (DataKeyUse& use : status.data_keys) use.keys += used && use.id == *used ? 1 : 0;
    return Result<void>();
  });
  if (!visited) return visited.error();
  return status;
}

Result<void> ShelvedKeyVault::rewrap(const MasterKey& master) {
  if (auto done = rewrap_vault(vault_, described(), master); !done) return done;
  const std::scoped_lock lock(mutex_);
  master_ = master;
  return {};
}

Result<void> ShelvedKeyVault::add_data_key() {
  return latchkey::add_data_key(vault_);
}

Result<ResealedKeys> ShelvedKeyVault::reseal_keys(const RotationProgress& progress,
                                                  std::stop_token stop) {
  return latchkey::reseal_keys(vault_, progress, std::move(stop));
}

Result<std::size_t> ShelvedKeyVault::drop_old_data_keys(std::span<const std::string> still_used) {
  return drop_data_keys(vault_, still_used);
}

}  // namespace latchkey
