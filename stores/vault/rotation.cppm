// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <span>
#include <stop_token>
#include <string>
export module latchkey.store.vault.rotation;
import latchkey.core.error;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.key_files;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.place;

// Changes of an open vault's header: another master key, new data keys, dropping old ones. For
// file_vault, whose functions of the same names have the contracts.

export namespace latchkey {

/// A vault's folder, its data keys and key files, as file_vault holds them. All must outlive it.
struct OpenVault {
  const VaultPlace& place;
  DataKeys& data_keys;
  const KeyFiles& key_files;
};

/// `old`: the description that the vault was opened with, for tidying up a keychain.
[[nodiscard]] Result<void> rewrap_vault(const OpenVault& vault, const MasterKey& old,
                                        const MasterKey& fresh);
[[nodiscard]] Result<void> add_data_key(const OpenVault& vault);
[[nodiscard]] Result<ResealedKeys> reseal_key_files(const OpenVault& vault,
                                                    const RotationProgress& progress,
                                                    std::stop_token stop);
[[nodiscard]] Result<std::size_t> drop_data_keys(const OpenVault& vault,
                                                 std::span<const std::string> still_used);

}  // namespace latchkey
