// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.managed;
import latchkey.core.error;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.master_key;

// Contract of a vault that is looked after: its master key can be changed and its data keys
// rotated. The vaults in a folder and in a database are such.

export namespace latchkey {

/// How long a data key is kept at least after it was replaced: a program that has sealed with it
/// just before has long saved by then, and logins under way have ended (those of devices after half
/// an hour).
inline constexpr std::chrono::minutes kDataKeyGrace{35};

/// How long a vault that cannot read its header any more (it was put under another master key) goes
/// on sealing with the data key that it has; the rest of kDataKeyGrace is for saving that.
inline constexpr std::chrono::minutes kSealingGrace = kDataKeyGrace - std::chrono::minutes{5};

/// How many of what is unreadable, or was left, are named; all are counted.
inline constexpr std::size_t kMostListed = 1000;

/// A data key, and how many keys of the vault are sealed with it. Sessions are counted by
/// latchkey.refresh.rotation.
struct DataKeyUse {
  std::string id;  ///< as sealed_with() gives it
  std::size_t keys = 0;
};

struct VaultStatus {
  MasterKey::Kind kind{};
  std::filesystem::path key_file;     ///< kind key_file
  std::string keychain_item;          ///< kind keychain: its name there
  Argon2Cost cost;                    ///< kind passphrase
  std::vector<DataKeyUse> data_keys;  ///< newest first
  std::vector<Error> unreadable;      ///< keys that say not what they are sealed with, and why
};

/// One step of re-sealing: how many were looked at, of how many.
using RotationProgress = std::function<void(std::size_t done, std::size_t total)>;

/// What re-sealing the keys of a vault came to.
struct ResealedKeys {
  std::size_t total = 0;
  std::size_t resealed = 0;
  /// Keys that could not be read, with why; left as they are. kMostListed of them at most.
  std::vector<Error> unreadable;
  std::size_t unreadable_count = 0;  ///< all of them
};

/// Thread-safe, and safe between processes.
class ManagedKeyVault : public KeyVault {
 public:
  ManagedKeyVault() = default;
  ~ManagedKeyVault() override;

  /// Looks at all keys, without opening them. Errors: locked, "vault.rewrapped"; io; corrupt.
  [[nodiscard]] virtual Result<VaultStatus> status() = 0;

  /// Moves a key that is corrupt (by get) aside as it is; nothing is deleted. Durable when it
  /// returns. Errors: conflict, "vault.readable"; invalid_argument, "vault.id",
  /// "vault.no_such_key"; whatever else keeps the key from being read: that is to be mended, and
  /// the key may be good.
  [[nodiscard]] virtual Result<Quarantined> quarantine(std::string_view id) = 0;
  /// What was moved aside and still lies there, oldest first.
  [[nodiscard]] virtual Result<std::vector<Quarantined>> quarantined() = 0;

  /// Puts the vault under another master key, by one write of the header: whatever interrupts it
  /// leaves the old master key or the new one working. Data keys stay, so that nothing is sealed
  /// anew. Vault objects that other programs have open go on reading, and sealing for kSealingGrace
  /// (then: locked, "vault.rewrapped"): start those programs again before that. A key file that is
  /// no longer used stays; an item in the keychain is removed. Errors: those of opening the vault
  /// with the new master key; locked, "vault.rewrapped".
  [[nodiscard]] virtual Result<void> rewrap(const MasterKey& master) = 0;

  // Rotation; latchkey.refresh.rotation does all of it, for a vault and a store.

  /// Adds a data key, which seals from now on, here and in all processes that have the vault open.
  /// What older ones sealed stays readable. Errors: conflict, "vault.too_many_data_keys" (there are
  /// 32); locked, "vault.rewrapped"; io.
  [[nodiscard]] virtual Result<void> add_data_key() = 0;
  /// Seals every key with the newest data key; one write a key or for some of them together, and
  /// none for a key that needs none, so that it can be interrupted and run again at any point. Keys
  /// that cannot be read are reported and left as they are. Errors: cancelled, "vault.cancelled";
  /// io; locked.
  [[nodiscard]] virtual Result<ResealedKeys> reseal_keys(const RotationProgress& progress = {},
                                                         std::stop_token stop = {}) = 0;
  /// Drops the data keys that no key of the vault is sealed with, and that `still_used` does not
  /// name: ids of all that seals anything else, in every store that this vault seals. What was
  /// sealed with a dropped key can never be opened again. The newest stays. Returns how many were
  /// dropped. Errors: locked, "vault.rotated_recently" (within kDataKeyGrace of the last rotation,
  /// with retry_after), "vault.rewrapped"; the errors of keys that cannot be read; io.
  [[nodiscard]] virtual Result<std::size_t> drop_old_data_keys(
      std::span<const std::string> still_used) = 0;
};

}  // namespace latchkey
