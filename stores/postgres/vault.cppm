// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.vault;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.database;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

// A vault for fleets: sealed keys in a database beside the sessions, and a header with the data
// keys, wrapped by a master key that each machine has from elsewhere: a key file, a command (a
// KMS), a passphrase. The formats of header and boxes are those of a vault in a folder.

export namespace latchkey {

/// Thread-safe, and safe between processes and machines. A data key that another process has added
/// is used within a second, and at once for opening what it has sealed.
class PostgresKeyVault final : public ManagedKeyVault {
 public:
  /// Opens the vault of the database, or creates it if there is none. Errors: those of
  /// FileKeyVault::open that have to do with the master key and the header; those of
  /// PostgresDatabase::run. A keychain is refused: it belongs to one machine (invalid_argument,
  /// "vault.keychain_for_fleet").
  [[nodiscard]] static Result<std::shared_ptr<PostgresKeyVault>> open(
      std::shared_ptr<PostgresDatabase> database, const MasterKey& master);
  /// The kind of master key that opens the vault of this database, without opening it; empty if
  /// there is no vault.
  [[nodiscard]] static Result<std::optional<MasterKey::Kind>> kind_of(PostgresDatabase& database);
  ~PostgresKeyVault() override;

  [[nodiscard]] Result<void> put(std::string_view id, const SecretBytes& key) override;
  [[nodiscard]] Result<std::optional<SecretBytes>> get(std::string_view id) override;
  [[nodiscard]] Result<void> remove(std::string_view id) override;
  [[nodiscard]] Result<std::vector<VaultKeyInfo>> list() override;
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

  /// Where its keys are.
  [[nodiscard]] const std::shared_ptr<PostgresDatabase>& database() const noexcept;

  struct Impl;
  /// Use open().
  explicit PostgresKeyVault(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
