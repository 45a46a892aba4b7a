// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>
module latchkey.store.vault.keychain_items;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.store.vault.header;
import latchkey.store.vault.key_keeper;
import latchkey.store.vault.place;

namespace latchkey {
namespace {

constexpr std::size_t kItemSize = std::tuple_size_v<KeychainItem>;
constexpr std::size_t kMaxNoted = 64;

}  // namespace

std::string name_of(const KeychainItem& item) {
  return hex_encode(item);
}

KeychainItems::KeychainItems(std::shared_ptr<FileSystem> files, const std::filesystem::path& folder)
    : files_(std::move(files)), path_(folder / kVaultItemsName) {}

std::vector<KeychainItem> KeychainItems::noted() const {
  std::vector<KeychainItem> items;
  if (!files_->check_private(path_)) return items;
  const auto bytes = files_->read(path_, kMaxNoted * kItemSize);
  if (!bytes || !*bytes || (*bytes)->size() % kItemSize != 0) return items;
  const auto all = (*bytes)->expose();
  for (std::size_t at = 0; at < all.size(); at += kItemSize) {
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), kItemSize,
                items.emplace_back().begin());
  }
  return items;
}

Result<void> KeychainItems::note(const KeychainItem& item) const {
  auto items = noted();
  if (items.size() == kMaxNoted) items.erase(items.begin());
  items.push_back(item);
  Bytes bytes;
  for (const KeychainItem& each : items) bytes.insert(bytes.end(), each.begin(), each.end());
  return replace_file(files_, path_, bytes);
}

void KeychainItems::remove_left(KeyKeeper& keeper,
                                const std::optional<KeychainItem>& current) const {
  for (const KeychainItem& item : noted()) {
    if (item != current && !keeper.remove(name_of(item))) return;
  }
  if (files_->remove(path_)) static_cast<void>(files_->sync_folder(path_.parent_path()));
}

}  // namespace latchkey
