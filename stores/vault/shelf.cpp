// SPDX-License-Identifier: MIT
module latchkey.store.vault.shelf;

namespace latchkey {

VaultShelf::~VaultShelf() {}

}  // namespace latchkey
