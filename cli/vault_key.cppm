// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
export module latchkey.cli.vault_key;
import latchkey.cli.options;
import latchkey.core.error;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

// Which master key opens the tool's vault. Chosen once, when the vault is made; from then on its
// header decides.

export namespace latchkey::cli {

/// Opens the vault, or makes it and says what was chosen. `database` null: the one in the data
/// folder. With --master-key auto a new vault's key goes into the keychain if there is one, else
/// into a key file; a keychain that is there and cannot be used now is an error. For a vault in a
/// database it goes into a key file: a keychain belongs to one machine. Errors: those of
/// FileKeyVault::open and PostgresKeyVault::open; invalid_argument, "cli.master_key"; locked,
/// "cli.master_key_command" (the vault's key comes from a command, and none was named),
/// "cli.no_terminal".
[[nodiscard]] Result<std::shared_ptr<ManagedKeyVault>> open_vault(
    const Options& options, const Places& where, const std::shared_ptr<PostgresDatabase>& database);
/// The same of the one in a database, which must not be null.
[[nodiscard]] Result<std::shared_ptr<PostgresKeyVault>> open_fleet_vault(
    const Options& options, const Places& where, const std::shared_ptr<PostgresDatabase>& database);

/// The kind of master key that opens the vault; empty if there is none. `database` null: of the one
/// in the data folder. Errors: those of FileKeyVault::kind_of and PostgresKeyVault::kind_of.
[[nodiscard]] Result<std::optional<MasterKey::Kind>> vault_kind(
    const Places& where, const std::shared_ptr<PostgresDatabase>& database);

/// The master key that a vault is to be put under: "key-file", "key-file:PATH", "keychain",
/// "passphrase" or "command:PROGRAM ARG...", split on blanks. A passphrase is a new one: asked for
/// twice. Error: invalid_argument, "cli.master_key".
[[nodiscard]] Result<MasterKey> new_master_key(const std::string& text, const Places& where,
                                               std::stop_token stop);

}  // namespace latchkey::cli
