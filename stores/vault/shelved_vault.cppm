// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>
export module latchkey.store.vault.shelved_vault;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.rotation;
import latchkey.store.vault.shelf;

// A vault over any shelf: all of it but where its bytes lie. For file_vault and the vault in a
// database.

export namespace latchkey {

/// Opens the vault of a shelf, or creates it if there is none. Errors: see FileKeyVault::open.
[[nodiscard]] Result<OpenVault> open_vault(std::shared_ptr<VaultShelf> shelf,
                                           const MasterKey& master);

/// Thread-safe, and safe between processes.
class ShelvedKeyVault : public ManagedKeyVault {
 public:
  ~ShelvedKeyVault() override;

  [[nodiscard]] Result<void> put(std::string_view id, const SecretBytes& key) override;
  /// Besides the errors of Sealer::open: corrupt ("vault.key_truncated", "vault.key_altered",
  /// "vault.key_swapped": another key's bytes are in its place), schema_too_new
  /// ("vault.key_version"), locked ("vault.rewrapped": another process changed the master key and
  /// rotated since).
  [[nodiscard]] Result<std::optional<SecretBytes>> get(std::string_view id) override;
  [[nodiscard]] Result<void> remove(std::string_view id) override;
  [[nodiscard]] Result<std::vector<VaultKeyInfo>> list() override;
  /// Notices rotations by other processes: seals with the newest data key, opens with any.
  [[nodiscard]] std::shared_ptr<Sealer> sealer() override;

  [[nodiscard]] Result<VaultStatus> status() override;
  [[nodiscard]] Result<Quarantined> quarantine(std::string_view id) override;
  [[nodiscard]] Result<std::vector<Quarantined>> quarantined() override;
  [[nodiscard]] Result<void> rewrap(const MasterKey& master) override;
  [[nodiscard]] Result<void> add_data_key() override;
  [[nodiscard]] Result<ResealedKeys> reseal_keys(const RotationProgress& progress = {},
                                                 std::stop_token stop = {}) override;
  [[nodiscard]] Result<std::size_t> drop_old_data_keys(
      std::span<const std::string> still_used) override;

 protected:
  /// `master`: what it was opened with.
  ShelvedKeyVault(OpenVault vault, const MasterKey& master);

 private:
  [[nodiscard]] MasterKey described();

  const OpenVault vault_;
  const std::shared_ptr<Sealer> sessions_;
  std::mutex mutex_;
  MasterKey master_;  ///< under the mutex: rewrap() changes it
};

}  // namespace latchkey
