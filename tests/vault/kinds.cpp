// SPDX-License-Identifier: MIT
#include <memory>

import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.folder;
import latchkey.test.vault_kinds;

// The vaults that need nothing but this machine.

using namespace latchkey;
using namespace latchkey::test;

namespace {

VaultUnderTest in_memory() {
  return {.place = {}, .vault = memory_vault()};
}

VaultUnderTest in_folder() {
  const auto folder = std::make_shared<TemporaryFolder>();
  return {.place = folder,
          .vault = FileKeyVault::open(folder->path() / "vault",
                                      MasterKey::key_file(folder->path() / "config" / "vault.key"))
                       .value()};
}

[[maybe_unused]] const bool kAdded = add_vault_kind({.name = "memory", .make = in_memory}) &&
                                     add_vault_kind({.name = "file", .make = in_folder});

}  // namespace
