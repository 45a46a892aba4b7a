// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <tuple>
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

std::filesystem::path note_path(const VaultPlace& place) {
  return place.folder / kVaultItemsName;
}

}  // namespace

std::string name_of(const KeychainItem& item) {
  return hex_encode(item);
}

std::vector<KeychainItem> noted_items(const VaultPlace& place) {
  std::vector<KeychainItem> items;
  if (!place.files->check_private(note_path(place))) return items;
  const auto bytes = place.files->read(note_path(place), kMaxNoted * kItemSize);
  if (!bytes || !*bytes || (*bytes)->size() % kItemSize != 0) return items;
  const auto all = (*bytes)->expose();
  for (std::size_t at = 0; at < all.size(); at += kItemSize) {
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), kItemSize,
                items.emplace_back().begin());
  }
  return items;
}

Result<void> note_item(const VaultPlace& place, const KeychainItem& item) {
  auto items = noted_items(place);
  if (items.size() == kMaxNoted) items.erase(items.begin());
  items.push_back(item);
  Bytes bytes;
  for (const KeychainItem& each : items) bytes.insert(bytes.end(), each.begin(), each.end());
  return replace_file(place.files, note_path(place), bytes);
}

void remove_left_items(const VaultPlace& place, KeyKeeper& keeper,
                       const std::optional<KeychainItem>& current) {
  for (const KeychainItem& item : noted_items(place)) {
    if (item != current && !keeper.remove(name_of(item))) return;
  }
  if (place.files->remove(note_path(place))) {
    static_cast<void>(place.files->sync_folder(place.folder));
  }
}

}  // namespace latchkey
