// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.store.vault.rotation;
import latchkey.core.error;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.key_files;
import latchkey.store.vault.master_key;
import latchkey.store.vault.place;

// Changes of an open vault's header: another master key, new data keys, dropping old ones. For
// file_vault, whose functions of the same names have the contracts.

export namespace latchkey {

/// How long a data key is kept at least after it was replaced: a program that has sealed with it
/// just before has long saved by then, and logins under way have ended.
inline constexpr std::chrono::minutes kDataKeyGrace{15};

/// One step of re-sealing: how many were looked at, of how many.
using RotationProgress = std::function<void(std::size_t done, std::size_t total)>;

/// What re-sealing the keys of a vault came to.
struct ResealedKeys {
  std::size_t total = 0;
  std::size_t resealed = 0;
  /// Keys that could not be read, with why; left as they are.
  std::vector<Error> unreadable;
};

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
