// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.vault.file_shelf;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.header;
import latchkey.store.vault.key_names;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.place;
import latchkey.store.vault.sealed_keys;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

using Path = std::filesystem::path;

constexpr std::string_view kHeaderChanges = "vault.header";
constexpr std::size_t kMaxNoteSize = 256;

Result<std::optional<Bytes>> read_bytes(FileSystem& files, const Path& path, std::size_t max) {
  const auto bytes = files.read(path, max);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<Bytes>();
  const auto all = (*bytes)->expose();
  return std::optional(Bytes(all.begin(), all.end()));
}

Result<std::optional<Bytes>> read_private(FileSystem& files, const Path& path, std::size_t max) {
  if (auto secure = files.check_private(path); !secure) return std::move(secure).error();
  return read_bytes(files, path, max);
}

// With links resolved as far as the path exists.
Path resolved(const Path& path) {
  std::error_code fault;
  const auto absolute = std::filesystem::absolute(path, fault);
  if (fault) return path.lexically_normal();
  auto canonical = std::filesystem::weakly_canonical(absolute, fault);
  return fault ? absolute.lexically_normal() : canonical.lexically_normal();
}

Result<void> prepare(FileSystem& files, const Path& folder) {
  if (auto made = files.make_folder(folder); !made) return made;
  if (auto secure = files.check_private(folder); !secure) return secure;
  return files.check_local(folder);
}

}  // namespace

Result<std::shared_ptr<FileShelf>> FileShelf::open(const Path& folder, VaultSeams seams,
                                                   const MasterKey& master) {
  std::error_code fault;
  // The program may change its current folder later.
  auto absolute = std::filesystem::absolute(folder, fault);
  if (fault) absolute = folder;
  if (auto ready = prepare(*seams.files, folder); !ready) return std::move(ready).error();
  const std::shared_ptr<FileShelf> shelf(new FileShelf(std::move(absolute), std::move(seams)));
  if (auto good = check_master_key(*shelf, master); !good) return std::move(good).error();
  auto lock = LockFile::open(folder / kVaultLockName, shelf->seams().clock);
  if (!lock) return std::move(lock).error();
  shelf->lock_ = *std::move(lock);
  return shelf;
}

FileShelf::FileShelf(Path folder, VaultSeams seams)
    : VaultShelf(std::move(seams)),
      folder_(std::move(folder)),
      items_(this->seams().files, folder_),
      aside_(this->seams().files, this->seams().clock, folder_ / "quarantine") {}

std::string FileShelf::where() const {
  return shown(folder_);
}

Result<void> FileShelf::accepts(const MasterKey& master) const {
  if (master.kind() != MasterKey::Kind::key_file) return {};
  const Path vault = resolved(folder_), key = resolved(master.path());
  if (std::mismatch(vault.begin(), vault.end(), key.begin(), key.end()).first != vault.end()) {
    return {};
  }
  return make_error(ErrorCode::insecure_location, "vault.key_file_beside_vault",
                    "cannot use the key file " + shown(master.path()) +
                        ": it lies in the vault's own folder, so that whoever copies one has both; "
                        "keep it elsewhere");
}

Result<std::unique_ptr<HeldLock>> FileShelf::lock() {
  return lock_whole(*lock_, *seams().clock);
}

Result<std::optional<Bytes>> FileShelf::peek_header(FileSystem& files, const Path& folder) {
  return read_private(files, folder / kVaultHeaderName, kMaxHeaderSize);
}

Result<std::optional<Bytes>> FileShelf::read_header() {
  auto bytes = peek_header(files(), folder_);
  if (!bytes || !*bytes) return bytes;
  // Whoever wrote it may have been cut off before this, or not be there yet.
  if (auto synced = files().sync_folder(folder_); !synced) return std::move(synced).error();
  return bytes;
}

// A write whose last step failed may be in place all the same.
Result<bool> FileShelf::replace_header(const std::optional<Bytes>&,
                                       std::span<const unsigned char> after) {
  auto written = replace_file(seams().files, folder_ / kVaultHeaderName, after);
  announce_header();
  if (!written) return std::move(written).error();
  return true;
}

std::optional<std::uint64_t> FileShelf::header_changes() noexcept {
  return lock_->change_count(kHeaderChanges);
}

void FileShelf::announce_header() noexcept {
  lock_->announce_change(kHeaderChanges);
}

Result<std::optional<Bytes>> FileShelf::read_note() {
  return read_bytes(files(), folder_ / kVaultRotationName, kMaxNoteSize);
}

Result<void> FileShelf::write_note(std::span<const unsigned char> note) {
  return replace_file(seams().files, folder_ / kVaultRotationName, note);
}

Path FileShelf::path_of(std::string_view id) const {
  return folder_ / key_file_name(id);
}

Result<std::optional<Bytes>> FileShelf::read_key(std::string_view id) {
  return read_private(files(), path_of(id), kMaxSealedKeySize);
}

Result<bool> FileShelf::add_key(std::string_view id, std::span<const unsigned char> bytes) {
  const auto found = read_key(id);
  if (!found) return found.error();
  if (*found) {
    // The put that wrote it may have been cut off before this last step.
    if (auto synced = files().sync_folder(folder_); !synced) return std::move(synced).error();
    return false;
  }
  if (auto written = replace_file(seams().files, path_of(id), bytes); !written) {
    return std::move(written).error();
  }
  return true;
}

Result<std::vector<bool>> FileShelf::replace_keys(std::span<const KeyChange> changes) {
  for (const KeyChange& change : changes) {
    auto written = replace_file(seams().files, path_of(change.id), change.after);
    if (!written) return std::move(written).error();
  }
  return std::vector<bool>(changes.size(), true);
}

Result<void> FileShelf::remove_key(std::string_view id) {
  if (auto removed = files().remove(path_of(id)); !removed) return removed;
  return files().sync_folder(folder_);
}

Result<KeyPage> FileShelf::list_keys(std::string_view after, KeyPart) {
  auto entries = files().list(folder_);
  if (!entries) return std::move(entries).error();
  remove_leftovers(*entries);
  KeyPage page{.keys = {}, .is_last = true};
  for (const auto& entry : *entries) {
    auto id = id_of_key_file(entry.name);
    if (!id || *id <= after) continue;
    const auto stored_at = files().modified_at(folder_ / entry.name);
    if (!stored_at) return stored_at.error();
    if (!*stored_at) continue;
    page.keys.push_back({.info = {.id = *std::move(id), .stored_at = **stored_at}, .bytes = {}});
  }
  std::sort(page.keys.begin(), page.keys.end(),
            [](const ShelvedKey& a, const ShelvedKey& b) { return a.info.id < b.info.id; });
  return page;
}

Result<std::size_t> FileShelf::count_keys() {
  const auto entries = files().list(folder_);
  if (!entries) return entries.error();
  return static_cast<std::size_t>(std::count_if(
      entries->begin(), entries->end(),
      [](const FolderEntry& entry) { return id_of_key_file(entry.name).has_value(); }));
}

// Temporary files of writers that died. Best effort: whoever holds the lock is writing one.
void FileShelf::remove_leftovers(const std::vector<FolderEntry>& entries) const {
  const auto is_leftover = [](const FolderEntry& entry) {
    return entry.name.starts_with(kTemporaryPrefix);
  };
  if (std::none_of(entries.begin(), entries.end(), is_leftover)) return;
  const auto held =
      lock_->acquire(LockKind::whole, "vault", {.deadline = seams().clock->steady_now()});
  if (!held) return;
  for (const auto& entry : entries) {
    if (is_leftover(entry)) static_cast<void>(files().remove(folder_ / entry.name));
  }
}

Result<std::optional<Quarantined>> FileShelf::move_aside(std::string_view id,
                                                         const std::optional<Bytes>&,
                                                         std::string_view why) {
  auto moved = aside_.take(path_of(id), why);
  if (!moved) return std::move(moved).error();
  return std::optional(*std::move(moved));
}

Result<std::vector<Quarantined>> FileShelf::aside() {
  return aside_.list();
}

}  // namespace latchkey
