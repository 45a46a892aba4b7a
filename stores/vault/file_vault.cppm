// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.file_vault;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

// A vault in a folder: a header (format, kind of master key, KDF and its parameters, salt, the data
// keys wrapped by the master key, all authenticated) and one sealed file a key, the id in its
// associated data. See docs/formats.md.

export namespace latchkey {

/// The seams that a file vault works through; the defaults are the real ones.
struct FileVaultOptions {
  std::shared_ptr<FileSystem> files{};
  std::shared_ptr<Random> random{};
  std::shared_ptr<Clock> clock{};
};

/// Thread-safe, and safe between processes.
class FileKeyVault final : public ManagedKeyVault {
 public:
  /// Opens the vault, or creates it if the folder holds none. Opening is O(1) in the number of
  /// keys. Asks for a passphrase, or runs a command, at most once, and never while it holds the
  /// vault's lock. Errors: wrong_key ("vault.wrong_master_key"); corrupt ("vault.header_altered",
  /// "vault.header_truncated", "vault.header_missing": there are keys and no header,
  /// "vault.kdf_bounds", "vault.key_file_size", "keychain.foreign", "vault.keychain_read_back");
  /// schema_too_new ("vault.version", "vault.kind_unknown"); locked ("vault.kind": it was made with
  /// another kind of master key, "vault.key_file_missing", "vault.keychain_item_missing",
  /// "keychain.…": see KeyKeeper, "vault.command_failed", "vault.command_timeout", "lock.held");
  /// invalid_key ("vault.command_output"); insecure_location ("vault.key_file_beside_vault",
  /// "location.…"); invalid_argument ("vault.kdf_cost", "vault.no_passphrase",
  /// "vault.empty_passphrase", "vault.key_file_name", "vault.no_keychain", "vault.no_command"); io
  /// ("vault.kdf_memory", "io.…").
  [[nodiscard]] static Result<std::shared_ptr<FileKeyVault>> open(
      const std::filesystem::path& folder, const MasterKey& master, FileVaultOptions options = {});
  /// The kind of master key that opens the vault in this folder, without opening it, so not
  /// authenticated yet; empty if there is no vault. Errors: corrupt, schema_too_new,
  /// insecure_location, io, as of open().
  [[nodiscard]] static Result<std::optional<MasterKey::Kind>> kind_of(
      const std::filesystem::path& folder);
  ~FileKeyVault() override;

  [[nodiscard]] Result<void> put(std::string_view id, const SecretBytes& key) override;
  /// Besides the errors of Sealer::open: corrupt ("vault.key_truncated", "vault.key_altered",
  /// "vault.key_swapped": the file is another key's), schema_too_new ("vault.key_version"), locked
  /// ("vault.rewrapped": another process changed the master key and rotated since).
  [[nodiscard]] Result<std::optional<SecretBytes>> get(std::string_view id) override;
  [[nodiscard]] Result<void> remove(std::string_view id) override;
  /// stored_at is the time of the key's file.
  [[nodiscard]] Result<std::vector<VaultKeyInfo>> list() override;
  /// Notices rotations by other processes: seals with the newest data key, opens with any.
  [[nodiscard]] std::shared_ptr<Sealer> sealer() override;

  [[nodiscard]] Result<VaultStatus> status() override;
  /// Into the folder "quarantine" in the vault's.
  [[nodiscard]] Result<Quarantined> quarantine(std::string_view id) override;
  [[nodiscard]] Result<std::vector<Quarantined>> quarantined() override;
  [[nodiscard]] Result<void> rewrap(const MasterKey& master) override;
  [[nodiscard]] Result<void> add_data_key() override;
  [[nodiscard]] Result<ResealedKeys> reseal_keys(const RotationProgress& progress = {},
                                                 std::stop_token stop = {}) override;
  [[nodiscard]] Result<std::size_t> drop_old_data_keys(
      std::span<const std::string> still_used) override;

  struct Impl;
  /// Use open().
  explicit FileKeyVault(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
