// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
export module latchkey.store.vault.file_vault;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store.vault.master_key;
import latchkey.store.vault.rotation;
import latchkey.store.vault.shelved_vault;

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

/// Thread-safe, and safe between processes. A key's stored_at is the time of its file; what is
/// moved aside lies in the folder "quarantine" in the vault's; a data key that another process has
/// added seals here at once.
class FileKeyVault final : public ShelvedKeyVault {
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

  /// Use open().
  FileKeyVault(OpenVault vault, const MasterKey& master);
};

}  // namespace latchkey
