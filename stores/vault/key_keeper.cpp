// SPDX-License-Identifier: MIT
module latchkey.store.vault.key_keeper;

namespace latchkey {

KeyKeeper::~KeyKeeper() {}

}  // namespace latchkey
