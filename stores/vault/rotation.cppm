// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
export module latchkey.store.vault.rotation;
import latchkey.core.error;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.sealed_keys;
import latchkey.store.vault.shelf;

// Changes of an open vault's header: another master key, new data keys, dropping old ones. For
// shelved_vault, whose functions of the same names have the contracts.

export namespace latchkey {

/// What an open vault consists of.
struct OpenVault {
  std::shared_ptr<VaultShelf> shelf;
  std::shared_ptr<DataKeys> data_keys;
  SealedKeys keys;
};

/// Calls `visit` for each key on the shelf, page by page, until it gives an error.
[[nodiscard]] Result<void> visit_keys(VaultShelf& shelf, KeyPart part,
                                      const std::function<Result<void>(ShelvedKey&)>& visit);
/// Names the data key that seals a key of a list; empty if it is gone meanwhile. Errors: those of
/// VaultShelf::read_key and SealedKeys::data_key_of.
[[nodiscard]] Result<std::string> data_key_of(const OpenVault& vault, const ShelvedKey& key);

/// `old`: the description that the vault was opened with, for tidying up a keychain.
[[nodiscard]] Result<void> rewrap_vault(const OpenVault& vault, const MasterKey& old,
                                        const MasterKey& fresh);
[[nodiscard]] Result<void> add_data_key(const OpenVault& vault);
[[nodiscard]] Result<ResealedKeys> reseal_keys(const OpenVault& vault,
                                               const RotationProgress& progress,
                                               std::stop_token stop);
[[nodiscard]] Result<std::size_t> drop_data_keys(const OpenVault& vault,
                                                 std::span<const std::string> still_used);

}  // namespace latchkey
