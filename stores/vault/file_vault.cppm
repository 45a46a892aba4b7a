// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <functional>
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
import latchkey.store.vault.master_key;
import latchkey.store.vault.rotation;

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

/// Thread-safe, and safe between processes.
class FileKeyVault final : public KeyVault {
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

  /// Moves the file of a key that is corrupt (by get) aside as it is, into "quarantine" in the
  /// vault's folder; nothing is deleted. Durable when it returns. Errors: conflict,
  /// "vault.readable"; invalid_argument, "vault.id", "vault.no_such_key"; whatever else keeps the
  /// key from being read: that is to be mended, and the key may be good.
  [[nodiscard]] Result<Quarantined> quarantine(std::string_view id);
  /// What was moved aside and still lies there, oldest first.
  [[nodiscard]] Result<std::vector<Quarantined>> quarantined();

  /// Reads all keys' files, without opening them. Errors: locked, "vault.rewrapped"; io; corrupt.
  [[nodiscard]] Result<VaultStatus> status();

  /// Puts the vault under another master key, by one write of the header: whatever interrupts it
  /// leaves the old master key or the new one working. Data keys stay, so that nothing is sealed
  /// anew, and vault objects that are open go on working. A key file that is no longer used stays;
  /// an item in the keychain is removed. Errors: those of open() for the new master key; locked,
  /// "vault.rewrapped".
  [[nodiscard]] Result<void> rewrap(const MasterKey& master);

  // Rotation; latchkey.refresh.rotation does all of it, for a vault and a store.

  /// Adds a data key, which seals from now on, here and in all processes that have the vault open.
  /// What older ones sealed stays readable. Errors: conflict, "vault.too_many_data_keys" (there are
  /// 32); locked, "vault.rewrapped"; io.
  [[nodiscard]] Result<void> add_data_key();
  /// Seals every key with the newest data key; one file write a key, and none for a key that needs
  /// none, so that it can be interrupted and run again at any point. Keys that cannot be read are
  /// reported and left as they are. Errors: cancelled, "vault.cancelled"; io; locked.
  [[nodiscard]] Result<ResealedKeys> reseal_keys(const RotationProgress& progress = {},
                                                 std::stop_token stop = {});
  /// Drops the data keys that no key of the vault is sealed with, and that `still_used` does not
  /// name: ids of all that seals anything else, in every store that this vault seals. What was
  /// sealed with a dropped key can never be opened again. The newest stays. Returns how many were
  /// dropped. Errors: locked, "vault.rotated_recently" (within kDataKeyGrace of the last rotation,
  /// with retry_after), "vault.rewrapped"; the errors of keys that cannot be read; io.
  [[nodiscard]] Result<std::size_t> drop_old_data_keys(std::span<const std::string> still_used);

  struct Impl;
  /// Use open().
  explicit FileKeyVault(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
