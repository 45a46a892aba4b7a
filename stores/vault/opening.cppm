// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.opening;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault.master_key;

// From a folder and a description of a master key to data keys: finds or creates the header, and
// the key file if that is the kind. For file_vault.

export namespace latchkey {

/// Where a vault is, and what it works through. All pointers are set.
struct VaultPlace {
  std::filesystem::path folder;
  std::shared_ptr<FileSystem> files;
  std::shared_ptr<Random> random;
  std::shared_ptr<Clock> clock;
  std::shared_ptr<LockFile> lock;  ///< in the folder
};

/// The files of a vault folder that are not keys.
inline constexpr std::string_view kVaultHeaderName = "vault.header";
inline constexpr std::string_view kVaultLockName = "vault.lock";

/// The vault's one lock, held by whoever changes it; waits up to half a minute. Error: locked,
/// "lock.held".
[[nodiscard]] Result<std::unique_ptr<HeldLock>> lock_vault(const VaultPlace& place);

/// Error: insecure_location, "vault.key_file_beside_vault".
[[nodiscard]] Result<void> check_key_file_place(const std::filesystem::path& folder,
                                                const MasterKey& master);

/// The data keys, newest first. Creates the vault if there is none: the key file is durable before
/// the header is written, so that whatever interrupts it leaves no vault or a whole one. Errors:
/// see FileKeyVault::open.
[[nodiscard]] Result<std::vector<SecretBytes>> open_data_keys(const VaultPlace& place,
                                                              const MasterKey& master);

/// The name of a key's file. Lower-case base32 of the id, since some file systems do not tell cases
/// apart.
[[nodiscard]] std::string key_file_name(std::string_view id);
/// The id, or empty if this is not the name of a key's file.
[[nodiscard]] std::optional<std::string> id_of_key_file(std::string_view name);

}  // namespace latchkey
