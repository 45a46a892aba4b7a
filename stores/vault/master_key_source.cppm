// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
export module latchkey.store.vault.master_key_source;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.store.vault.header;
import latchkey.store.vault.master_key;
import latchkey.store.vault.shelf;

// From the description of a master key to its 32 bytes. For opening and rewrapping a vault.

export namespace latchkey {

/// What can be refused before anything is asked or made. Errors: insecure_location,
/// "vault.key_file_beside_vault"; invalid_argument, "vault.key_file_name", "vault.no_passphrase",
/// "vault.kdf_cost", "vault.no_keychain", "vault.keychain_for_fleet", "vault.no_command".
[[nodiscard]] Result<void> check_master_key(const VaultShelf& shelf, const MasterKey& master);

/// One master key on its way. Both arguments must outlive it. A key file that it has made stays
/// locked as long as it lives.
class MasterKeySource {
 public:
  MasterKeySource(const VaultShelf& shelf, const MasterKey& master)
      : shelf_(shelf), master_(master) {}

  /// Does all that waits for a person or a program, once: asks for the passphrase, runs the
  /// command. Call it before the vault is locked. Errors: what the passphrase's `ask` gives;
  /// invalid_argument, "vault.empty_passphrase"; locked, "vault.command_failed",
  /// "vault.command_timeout"; invalid_key, "vault.command_output".
  [[nodiscard]] Result<void> prepare();
  /// The key to a vault that exists. Errors besides those of prepare(): locked, "vault.kind",
  /// "vault.key_file_missing", "vault.keychain_item_missing", "keychain.…"; corrupt,
  /// "vault.key_file_size", "keychain.foreign"; io, "vault.kdf_memory".
  [[nodiscard]] Result<SecretBytes> find(const VaultHeader& header);
  /// The key for a header that is about to be written, and what the header says of it; durable in
  /// its place when this returns. Call with the vault's lock held, after prepare().
  [[nodiscard]] Result<SecretBytes> make(VaultHeader& header);
  /// Removes the key file if make() has made it, and says whether. Only when no header was written
  /// with its key. Errors: io.
  [[nodiscard]] Result<bool> take_back();

 private:
  Result<void> ask();
  Result<void> run();
  Result<std::optional<SecretBytes>> read_key_file();
  Result<std::optional<SecretBytes>> kept_key_file();
  Result<void> lock_key_file();
  Result<SecretBytes> make_key_file();
  Result<SecretBytes> find_item(const KeychainItem& item);
  Result<SecretBytes> make_item(KeychainItem& item);

  const VaultShelf& shelf_;
  const MasterKey& master_;
  std::optional<SecretString> passphrase_;
  std::optional<SecretBytes> printed_;
  std::shared_ptr<LockFile> lock_;  ///< beside the key file
  std::unique_ptr<HeldLock> held_;
  bool has_made_ = false;
};

}  // namespace latchkey
