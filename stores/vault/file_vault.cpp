// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
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
import latchkey.store.vault.master_key;
import latchkey.store.vault.opening;

namespace latchkey {
namespace {

constexpr std::string_view kKeyMagic = "latchkey-key\n";
constexpr unsigned char kKeyVersion = 1;
constexpr std::size_t kMaxKeyFileSize = kMaxVaultKeySize + 1024;

// What stands before the box of a key file, and is its context: magic, version, length of the id,
// id.
Bytes key_preamble(std::string_view id) {
  Bytes out(kKeyMagic.begin(), kKeyMagic.end());
  out.push_back(kKeyVersion);
  out.push_back(static_cast<unsigned char>(id.size()));
  out.insert(out.end(), id.begin(), id.end());
  return out;
}

Error bad_key(ErrorCode code, std::string_view detail, std::string_view id, std::string_view why) {
  return make_error(code, detail,
                    "cannot read the key " + std::string(id) + ": " + std::string(why));
}

// Checks what stands before the box; the box follows at key_preamble(id).size().
Result<void> check_preamble(std::span<const unsigned char> bytes, std::string_view id) {
  const Bytes expected = key_preamble(id);
  const auto differs = std::mismatch(bytes.begin(), bytes.end(), expected.begin(), expected.end());
  if (differs.second == expected.end()) return {};
  if (differs.first == bytes.end()) {
    return bad_key(ErrorCode::corrupt, "vault.key_truncated", id,
                   "its file is cut off; restore it from a copy, or log in again");
  }
  const auto at = static_cast<std::size_t>(differs.second - expected.begin());
  if (at == kKeyMagic.size() && *differs.first > kKeyVersion) {
    return bad_key(ErrorCode::schema_too_new, "vault.key_version", id,
                   "a newer latchkey wrote its file; update this one");
  }
  if (at > kKeyMagic.size()) {
    return bad_key(ErrorCode::corrupt, "vault.key_swapped", id,
                   "its file holds another key; restore it from a copy, or log in again");
  }
  return bad_key(ErrorCode::corrupt, "vault.key_altered", id,
                 "its file is not what latchkey wrote; restore it from a copy, or log in again");
}

}  // namespace

// Nothing in it changes after opening; what changes are files, under the vault's lock.
struct FileKeyVault::Impl {
  VaultPlace place;
  std::shared_ptr<Sealer> keys;
  std::shared_ptr<Sealer> sessions;

  [[nodiscard]] std::filesystem::path path_of(std::string_view id) const {
    return place.folder / key_file_name(id);
  }
  [[nodiscard]] QuarantineFolder aside() const {
    return {place.files, place.clock, place.folder / "quarantine"};
  }
  [[nodiscard]] Result<std::optional<SecretBytes>> read(std::string_view id) const;
  [[nodiscard]] Result<void> write(std::string_view id, const SecretBytes& key) const;
  void remove_leftovers(const std::vector<FolderEntry>& entries) const;
};

Result<std::optional<SecretBytes>> FileKeyVault::Impl::read(std::string_view id) const {
  const auto path = path_of(id);
  if (auto secure = place.files->check_private(path); !secure) return std::move(secure).error();
  auto bytes = place.files->read(path, kMaxKeyFileSize);
  if (!bytes) return std::move(bytes).error();
  if (!*bytes) return std::optional<SecretBytes>{};
  const auto all = (*bytes)->expose();
  if (auto good = check_preamble(all, id); !good) return std::move(good).error();
  const std::size_t size = key_preamble(id).size();
  auto key = keys->open(all.subspan(size), as_text(all.first(size)));
  if (!key) return std::move(key).error();
  return std::optional(*std::move(key));
}

Result<void> FileKeyVault::Impl::write(std::string_view id, const SecretBytes& key) const {
  Bytes bytes = key_preamble(id);
  auto box = keys->seal(key.expose(), as_text(bytes));
  if (!box) return std::move(box).error();
  bytes.insert(bytes.end(), box->begin(), box->end());
  return replace_file(place.files, path_of(id), bytes);
}

// Temporary files of writers that died. Best effort: whoever holds the lock is writing one.
void FileKeyVault::Impl::remove_leftovers(const std::vector<FolderEntry>& entries) const {
  const auto is_leftover = [](const FolderEntry& entry) {
    return entry.name.starts_with(kTemporaryPrefix);
  };
  if (std::none_of(entries.begin(), entries.end(), is_leftover)) return;
  const auto held =
      place.lock->acquire(LockKind::whole, "vault", {.deadline = place.clock->steady_now()});
  if (!held) return;
  for (const auto& entry : entries) {
    if (is_leftover(entry)) static_cast<void>(place.files->remove(place.folder / entry.name));
  }
}

Result<std::shared_ptr<FileKeyVault>> FileKeyVault::open(const std::filesystem::path& folder,
                                                         const MasterKey& master,
                                                         FileVaultOptions options) {
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
  if (auto apart = check_key_file_place(folder, master); !apart) return std::move(apart).error();
  auto lock = LockFile::open(folder / kVaultLockName, place.clock);
  if (!lock) return std::move(lock).error();
  place.lock = *std::move(lock);
  auto data_keys = open_data_keys(place, master);
  if (!data_keys) return std::move(data_keys).error();
  auto impl = std::make_unique<Impl>();
  impl->keys = make_sealer(*data_keys, kVaultKeysPurpose, place.random);
  impl->sessions = make_sealer(*data_keys, kSessionsPurpose, place.random);
  impl->place = std::move(place);
  return std::make_shared<FileKeyVault>(std::move(impl));
}

FileKeyVault::FileKeyVault(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileKeyVault::~FileKeyVault() {}

Result<void> FileKeyVault::put(std::string_view id, const SecretBytes& key) {
  if (auto good = check_new_key(id, key); !good) return good;
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  auto kept = impl_->read(id);
  if (!kept) return std::move(kept).error();
  if (!*kept) return impl_->write(id, key);
  if (**kept != key) return key_exists(id);
  // The put that wrote it may have been cut off before this last step.
  return impl_->place.files->sync_folder(impl_->place.folder);
}

Result<std::optional<SecretBytes>> FileKeyVault::get(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  return impl_->read(id);
}

Result<void> FileKeyVault::remove(std::string_view id) {
  if (auto good = check_key_id(id); !good) return good;
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  if (auto removed = impl_->place.files->remove(impl_->path_of(id)); !removed) return removed;
  return impl_->place.files->sync_folder(impl_->place.folder);
}

Result<std::vector<VaultKeyInfo>> FileKeyVault::list() {
  auto entries = impl_->place.files->list(impl_->place.folder);
  if (!entries) return std::move(entries).error();
  impl_->remove_leftovers(*entries);
  std::vector<VaultKeyInfo> keys;
  for (const auto& entry : *entries) {
    auto id = id_of_key_file(entry.name);
    if (!id) continue;
    const auto stored_at = impl_->place.files->modified_at(impl_->place.folder / entry.name);
    if (!stored_at) return stored_at.error();
    if (*stored_at) keys.push_back({.id = *std::move(id), .stored_at = **stored_at});
  }
  std::sort(keys.begin(), keys.end(),
            [](const VaultKeyInfo& a, const VaultKeyInfo& b) { return a.id < b.id; });
  return keys;
}

Result<Quarantined> FileKeyVault::quarantine(std::string_view id) {
  if (auto good = check_key_id(id); !good) return std::move(good).error();
  auto held = lock_vault(impl_->place);
  if (!held) return std::move(held).error();
  const auto key = impl_->read(id);
  if (key) {
    return *key ? make_error(ErrorCode::conflict, "vault.readable",
                             "cannot move the key " + std::string(id) +
                                 " aside: it can be read; log out instead to end its session")
                : make_error(ErrorCode::invalid_argument, "vault.no_such_key",
                             "cannot move the key " + std::string(id) +
                                 " aside: there is none; list the keys to see which there are");
  }
  if (key.error().code != ErrorCode::corrupt) return key.error();
  return impl_->aside().take(impl_->path_of(id), key.error().detail);
}

Result<std::vector<Quarantined>> FileKeyVault::quarantined() {
  return impl_->aside().list();
}

std::shared_ptr<Sealer> FileKeyVault::sealer() {
  return impl_->sessions;
}

}  // namespace latchkey
