// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
module latchkey.store.vault.file_vault;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store.vault.file_shelf;
import latchkey.store.vault.master_key;
import latchkey.store.vault.opening;
import latchkey.store.vault.rotation;
import latchkey.store.vault.shelf;
import latchkey.store.vault.shelved_vault;

namespace latchkey {

Result<std::shared_ptr<FileKeyVault>> FileKeyVault::open(const std::filesystem::path& folder,
                                                         const MasterKey& master,
                                                         FileVaultOptions options) {
  auto shelf = FileShelf::open(
      folder,
      {.files = options.files ? std::move(options.files) : posix_file_system(),
       .random = options.random ? std::move(options.random) : std::make_shared<SystemRandom>(),
       .clock = options.clock ? std::move(options.clock) : std::make_shared<SystemClock>()},
      master);
  if (!shelf) return std::move(shelf).error();
  auto vault = open_vault(*std::move(shelf), master);
  if (!vault) return std::move(vault).error();
  return std::make_shared<FileKeyVault>(*std::move(vault), master);
}

Result<std::optional<MasterKey::Kind>> FileKeyVault::kind_of(const std::filesystem::path& folder) {
  const auto header = FileShelf::peek_header(*posix_file_system(), folder);
  if (!header) return header.error();
  return kind_in(*header);
}

FileKeyVault::FileKeyVault(OpenVault vault, const MasterKey& master)
    : ShelvedKeyVault(std::move(vault), master) {}

}  // namespace latchkey
