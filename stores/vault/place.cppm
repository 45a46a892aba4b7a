// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.store.vault.place;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;

// What the modules of a vault share: the names of its files, its lock, how its errors begin.

export namespace latchkey {

/// The files of a vault folder that are not keys.
inline constexpr std::string_view kVaultHeaderName = "vault.header";
inline constexpr std::string_view kVaultLockName = "vault.lock";
inline constexpr std::string_view kVaultRotationName = "vault.rotation";
inline constexpr std::string_view kVaultItemsName = "vault.keychain-items";

/// Takes a lock file as a whole; waits up to half a minute. Error: locked, "lock.held".
[[nodiscard]] Result<std::unique_ptr<HeldLock>> lock_whole(LockFile& lock, const Clock& clock);

/// A path as a message shows it.
[[nodiscard]] std::string shown(const std::filesystem::path& path);
/// "cannot open the vault: " and why.
[[nodiscard]] Error cannot_open(ErrorCode code, std::string_view detail, const std::string& why);

}  // namespace latchkey
