// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.key_files;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.place;

// The sealed key files of a file vault. For file_vault and rotation.

export namespace latchkey {

/// Thread-safe. What changes files needs the vault's lock.
class KeyFiles {
 public:
  KeyFiles(VaultPlace place, std::shared_ptr<Sealer> sealer);

  /// Empty if there is none. Errors: see FileKeyVault::get.
  [[nodiscard]] Result<std::optional<SecretBytes>> read(std::string_view id) const;
  [[nodiscard]] Result<void> write(std::string_view id, const SecretBytes& key) const;
  [[nodiscard]] Result<void> remove(std::string_view id) const;
  /// Ids in ascending order, with the times of their files; removes what writers that died left
  /// behind.
  [[nodiscard]] Result<std::vector<VaultKeyInfo>> list() const;
  /// Names the data key that a key is sealed with, as sealed_with() does; empty if there is no such
  /// key. Errors as of read(), but nothing is opened.
  [[nodiscard]] Result<std::string> data_key_of(std::string_view id) const;
  /// Moves a key's file into the folder "quarantine" as it is.
  [[nodiscard]] Result<Quarantined> move_aside(std::string_view id, std::string_view why) const;
  /// What lies there, oldest first.
  [[nodiscard]] Result<std::vector<Quarantined>> aside() const;
  /// Whether it is sealed with the newest data key; also if there is no such key.
  [[nodiscard]] Result<bool> is_current(std::string_view id) const;

 private:
  /// A key file's bytes, whose preamble was checked.
  [[nodiscard]] Result<std::optional<SecretBytes>> load(std::string_view id) const;
  [[nodiscard]] std::filesystem::path path_of(std::string_view id) const;
  void remove_leftovers(const std::vector<FolderEntry>& entries) const;

  VaultPlace place_;
  std::shared_ptr<Sealer> sealer_;
  QuarantineFolder aside_;
};

}  // namespace latchkey
