// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.vault.file_vault;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.quarantine;
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
import latchkey.store.vault.rotation;

namespace latchkey {
namespace {

Result<VaultPlace> place_of(const std::filesystem::path& folder, FileVaultOptions options) {
  VaultPlace place{.folder = folder,
                   .files = options.files ? options.files : posix_file_system(),
                   .random = options.random ? options.random : std::make_shared<SystemRandom>(),
                   .clock = options.clock ? options.clock : std::make_shared<SystemClock>(),
                   .lock = nullptr};
  std::error_code fault;
  // The program may change its current folder later.
  if (auto absolute = std::filesystem::absolute(folder, fault); !fault) place.folder = absolute;
  if (auto made = place.files->make_folder(folder); !made) return std::move(made).error();
  if (auto secure = place.files->check_private(folder); !secure) return std::move(secure).error();
  if (auto local = place.files->check_local(folder); !local) return std::move(local).error();
  return place;
}

}  // namespace

// What changes are files, under the vault's lock, and the data keys in memory with the header.
struct FileKeyVault::Impl {
  VaultPlace place;
  std::shared_ptr<DataKeys> data_keys;
  KeyFiles key_files;
  std::shared_ptr<Sealer> sessions;
  std::mutex mutex{};
  MasterKey master;  ///< under the mutex: rewrap() changes it

  [[nodiscard]] OpenVault parts() const { return {place, *data_keys, key_files}; }
  [[nodiscard]] MasterKey described() {
    const std::scoped_lock lock(mutex);
    return master;
  }
};

Result<std::shared_ptr<FileKeyVault>> FileKeyVault::open(const std::filesystem::path& folder,
                                                         const MasterKey& master,
                                                         FileVaultOptions options) {
  auto place = place_of(folder, std::move(options));
  if (!place) return std::move(place).error();
  if (auto good = check_master_key(folder, master); !good) return std::move(good).error();
  auto lock = LockFile::open(folder / kVaultLockName, place->clock);
  if (!lock) return std::move(lock).error();
  place->lock = *std::move(lock);
  const auto seen = header_changes(*place);
  auto unlocked = open_or_create(*place, master);
  if (!unlocked) return std::move(unlocked).error();
  const auto data_keys = std::make_shared<DataKeys>(*place, *std::move(unlocked), seen);
  return std::make_shared<FileKeyVault>(
      std::unique_ptr<Impl>(new Impl{.place = *place,
                                     .data_keys = data_keys,
                                     .key_files = KeyFiles(*place, data_keys->keys_sealer()),
                                     .sessions = data_keys->sessions_sealer(),
                                     .master = master}));
}

Result<std::optional<MasterKey::Kind>> FileKeyVault::kind_of(const std::filesystem::path& folder) {
  const auto files = posix_file_system();
  const auto path = folder / kVaultHeaderName;
  if (auto secure = files->check_private(path); !secure) return std::move(secure).error();
  const auto bytes = files->read(path, kMaxHeaderSize);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<MasterKey::Kind>();
  const auto header = parse_header((*bytes)->expose());
  if (!header) return header.error();
  return std::optional(header->kind);
}

FileKeyVault::FileKeyVault(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileKeyVault::~FileKeyVault() {}

Result<void> FileKeyVault::put(std::string_view id, const SecretBytes& key) {
  if (auto good = check_new_key(id, key); !good) return good;
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  auto kept = impl_->key_files.read(id);
  if (!kept) return std::move(kept).error();
  if (!*kept) return impl_->key_files.write(id, key);
  if (**kept != key) return key_exists(id);
  // The put that wrote it may have been cut off before this last step.
  return impl_->place.files->sync_folder(impl_->place.folder);
}

Result<std::optional<SecretBytes>> FileKeyVault::get(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  return impl_->key_files.read(id);
}

Result<void> FileKeyVault::remove(std::string_view id) {
  if (auto good = check_key_id(id); !good) return good;
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  return impl_->key_files.remove(id);
}

Result<std::vector<VaultKeyInfo>> FileKeyVault::list() {
  return impl_->key_files.list();
}

Result<Quarantined> FileKeyVault::quarantine(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  const auto key = impl_->key_files.read(id);
  if (key) {
    return *key ? make_error(ErrorCode::conflict, "vault.readable",
                             "cannot move the key " + std::string(id) +
                                 " aside: it can be read; log out instead to end its session")
                : make_error(ErrorCode::invalid_argument, "vault.no_such_key",
                             "cannot move the key " + std::string(id) +
                                 " aside: there is none; list the keys to see which there are");
  }
  if (key.error().code != ErrorCode::corrupt) return key.error();
  return impl_->key_files.move_aside(id, key.error().detail);
}

Result<std::vector<Quarantined>> FileKeyVault::quarantined() {
  return impl_->key_files.aside();
}

std::shared_ptr<Sealer> FileKeyVault::sealer() {
  return impl_->sessions;
}

Result<VaultStatus> FileKeyVault::status() {
  auto now = impl_->data_keys->reload();
  if (!now) return std::move(now).error();
  const MasterKey master = impl_->described();
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
  auto keys = impl_->key_files.list();
  if (!keys) return std::move(keys).error();
  for (const VaultKeyInfo& key : *keys) {
    const auto used = impl_->key_files.data_key_of(key.id);
    if (!used) {
      status.unreadable.push_back(used.error());
      continue;
    }
    for (DataKeyUse& use : status.data_keys) use.keys += use.id == *used ? 1 : 0;
  }
  return status;
}

Result<void> FileKeyVault::rewrap(const MasterKey& master) {
  if (auto done = rewrap_vault(impl_->parts(), impl_->described(), master); !done) return done;
  const std::scoped_lock lock(impl_->mutex);
  impl_->master = master;
  return {};
}

Result<void> FileKeyVault::add_data_key() {
  return latchkey::add_data_key(impl_->parts());
}

Result<ResealedKeys> FileKeyVault::reseal_keys(const RotationProgress& progress,
                                               std::stop_token stop) {
  return reseal_key_files(impl_->parts(), progress, std::move(stop));
}

Result<std::size_t> FileKeyVault::drop_old_data_keys(std::span<const std::string> still_used) {
  return drop_data_keys(impl_->parts(), still_used);
}

}  // namespace latchkey
