// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
export module latchkey.store.postgres.vault;
import latchkey.core.error;
import latchkey.store.postgres.database;
import latchkey.store.vault.master_key;
import latchkey.store.vault.rotation;
import latchkey.store.vault.shelved_vault;

// A vault for fleets: sealed keys in a database beside the sessions, and a header with the data
// keys, wrapped by a master key that each machine has from elsewhere: a key file, a command (a
// KMS), a passphrase. The formats of header and boxes are those of a vault in a folder.

export namespace latchkey {

/// Thread-safe, and safe between processes and machines. A data key that another process has added
/// seals here within a second, and opens at once. What is moved aside goes to a table. Besides the
/// errors of the contract: those of PostgresDatabase::run.
class PostgresKeyVault final : public ShelvedKeyVault {
 public:
  /// Opens the vault of the database, or creates it if there is none. Of several machines that
  /// create it at once, one does; the others open it, each with its own master key. A key file is
  /// made only with the vault: a machine without it is told to copy it (locked,
  /// "vault.key_file_missing"). Errors: those of FileKeyVault::open that have to do with the master
  /// key and the header; those of PostgresDatabase::run. A keychain is refused: it belongs to one
  /// machine (invalid_argument, "vault.keychain_for_fleet").
  [[nodiscard]] static Result<std::shared_ptr<PostgresKeyVault>> open(
      std::shared_ptr<PostgresDatabase> database, const MasterKey& master);
  /// The kind of master key that opens the vault of this database, without opening it, so not
  /// authenticated yet; empty if there is no vault.
  [[nodiscard]] static Result<std::optional<MasterKey::Kind>> kind_of(PostgresDatabase& database);

  /// Whether both databases have the same vault, byte for byte: they are one under two addresses,
  /// or one is a copy of the other. False if either has none.
  [[nodiscard]] static Result<bool> is_same(PostgresDatabase& one, PostgresDatabase& other);

  /// Where its keys are.
  [[nodiscard]] const std::shared_ptr<PostgresDatabase>& database() const noexcept {
    return database_;
  }

  /// Use open().
  PostgresKeyVault(std::shared_ptr<PostgresDatabase> database, OpenVault vault,
                   const MasterKey& master);

 private:
  const std::shared_ptr<PostgresDatabase> database_;
};

}  // namespace latchkey
