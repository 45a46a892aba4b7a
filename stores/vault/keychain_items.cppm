// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>
export module latchkey.store.vault.keychain_items;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.store.vault.header;
import latchkey.store.vault.key_keeper;

// Keychain items that a vault may leave behind when it is interrupted: each is noted in the vault's
// folder before it is made, or before it is given up, so that the next change of the master key can
// remove it.

export namespace latchkey {

/// What the keeper knows the item by.
[[nodiscard]] std::string name_of(const KeychainItem& item);

/// The note of a vault's folder. Call with the vault's lock held.
class KeychainItems {
 public:
  KeychainItems(std::shared_ptr<FileSystem> files, const std::filesystem::path& folder);
  /// Adds an item to the note; durable when it returns.
  [[nodiscard]] Result<void> note(const KeychainItem& item) const;
  /// Removes every noted item but `current` from the keychain, and then the note. Best effort: what
  /// cannot be removed stays noted.
  void remove_left(KeyKeeper& keeper, const std::optional<KeychainItem>& current) const;

 private:
  /// None if the note cannot be read, for it only helps to tidy up.
  [[nodiscard]] std::vector<KeychainItem> noted() const;
  std::shared_ptr<FileSystem> files_;
  std::filesystem::path path_;
};

}  // namespace latchkey
