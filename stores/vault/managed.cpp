// SPDX-License-Identifier: MIT
module latchkey.store.vault.managed;

namespace latchkey {

ManagedKeyVault::~ManagedKeyVault() {}

}  // namespace latchkey
