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
#include <utility>
#include <vector>
module latchkey.store.vault.key_files;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.opening;
import latchkey.store.vault.place;

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

KeyFiles::KeyFiles(VaultPlace place, std::shared_ptr<Sealer> sealer)
    : place_(std::move(place)),
      sealer_(std::move(sealer)),
      aside_(place_.files, place_.clock, place_.folder / "quarantine") {}

std::filesystem::path KeyFiles::path_of(std::string_view id) const {
  return place_.folder / key_file_name(id);
}

Result<std::optional<SecretBytes>> KeyFiles::load(std::string_view id) const {
  const auto path = path_of(id);
  if (auto secure = place_.files->check_private(path); !secure) return std::move(secure).error();
  auto bytes = place_.files->read(path, kMaxKeyFileSize);
  if (!bytes || !*bytes) return bytes;
  if (auto good = check_preamble((*bytes)->expose(), id); !good) return std::move(good).error();
  return bytes;
}

Result<std::optional<SecretBytes>> KeyFiles::read(std::string_view id) const {
  auto bytes = load(id);
  if (!bytes || !*bytes) return bytes;
  const auto all = (*bytes)->expose();
  const std::size_t size = key_preamble(id).size();
  auto key = sealer_->open(all.subspan(size), as_text(all.first(size)));
  if (!key) return std::move(key).error();
  return std::optional(*std::move(key));
}

Result<void> KeyFiles::write(std::string_view id, const SecretBytes& key) const {
  Bytes bytes = key_preamble(id);
  auto box = sealer_->seal(key.expose(), as_text(bytes));
  if (!box) return std::move(box).error();
  bytes.insert(bytes.end(), box->begin(), box->end());
  return replace_file(place_.files, path_of(id), bytes);
}

Result<void> KeyFiles::remove(std::string_view id) const {
  if (auto removed = place_.files->remove(path_of(id)); !removed) return removed;
  return place_.files->sync_folder(place_.folder);
}

Result<std::string> KeyFiles::data_key_of(std::string_view id) const {
  const auto bytes = load(id);
  if (!bytes) return bytes.error();
  return *bytes ? sealed_with((*bytes)->expose().subspan(key_preamble(id).size())) : std::string();
}

Result<bool> KeyFiles::is_current(std::string_view id) const {
  const auto bytes = load(id);
  if (!bytes) return bytes.error();
  return !*bytes || sealer_->is_current((*bytes)->expose().subspan(key_preamble(id).size()));
}

Result<Quarantined> KeyFiles::move_aside(std::string_view id, std::string_view why) const {
  return aside_.take(path_of(id), why);
}

Result<std::vector<Quarantined>> KeyFiles::aside() const {
  return aside_.list();
}

Result<std::vector<VaultKeyInfo>> KeyFiles::list() const {
  auto entries = place_.files->list(place_.folder);
  if (!entries) return std::move(entries).error();
  remove_leftovers(*entries);
  std::vector<VaultKeyInfo> keys;
  for (const auto& entry : *entries) {
    auto id = id_of_key_file(entry.name);
    if (!id) continue;
    const auto stored_at = place_.files->modified_at(place_.folder / entry.name);
    if (!stored_at) return stored_at.error();
    if (*stored_at) keys.push_back({.id = *std::move(id), .stored_at = **stored_at});
  }
  std::sort(keys.begin(), keys.end(),
            [](const VaultKeyInfo& a, const VaultKeyInfo& b) { return a.id < b.id; });
  return keys;
}

// Temporary files of writers that died. Best effort: whoever holds the lock is writing one.
void KeyFiles::remove_leftovers(const std::vector<FolderEntry>& entries) const {
  const auto is_leftover = [](const FolderEntry& entry) {
    return entry.name.starts_with(kTemporaryPrefix);
  };
  if (std::none_of(entries.begin(), entries.end(), is_leftover)) return;
  const auto held =
      place_.lock->acquire(LockKind::whole, "vault", {.deadline = place_.clock->steady_now()});
  if (!held) return;
  for (const auto& entry : entries) {
    if (is_leftover(entry)) static_cast<void>(place_.files->remove(place_.folder / entry.name));
  }
}

}  // namespace latchkey
