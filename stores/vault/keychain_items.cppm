// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <vector>
export module latchkey.store.vault.keychain_items;
import latchkey.core.error;
import latchkey.store.vault.header;
import latchkey.store.vault.key_keeper;
import latchkey.store.vault.place;

// Keychain items that a vault may leave behind when it is interrupted: each is noted in the vault's
// folder before it is made, or before it is given up, so that the next change of the master key can
// remove it. Call with the vault's lock held.

export namespace latchkey {

/// What the keeper knows the item by.
[[nodiscard]] std::string name_of(const KeychainItem& item);

/// The items noted so far; none if the note cannot be read, for it only helps to tidy up.
[[nodiscard]] std::vector<KeychainItem> noted_items(const VaultPlace& place);
/// Adds an item to the note; durable when it returns.
[[nodiscard]] Result<void> note_item(const VaultPlace& place, const KeychainItem& item);
/// Removes every noted item but `current` from the keychain, and then the note. Best effort: what
/// cannot be removed stays noted.
void remove_left_items(const VaultPlace& place, KeyKeeper& keeper,
                       const std::optional<KeychainItem>& current);

}  // namespace latchkey
