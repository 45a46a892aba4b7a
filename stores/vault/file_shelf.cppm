// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.file_shelf;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.shelf;

// A vault's shelf that is a folder: one file for the header, one a key, and a lock file, by which
// writers are kept apart and learn of each other's changes. For file_vault.

export namespace latchkey {

class FileShelf final : public VaultShelf {
 public:
  /// Makes the folder if it is not there, but nothing in it for a master key that is refused.
  /// Errors: insecure_location, io; those of check_master_key.
  [[nodiscard]] static Result<std::shared_ptr<FileShelf>> open(const std::filesystem::path& folder,
                                                               VaultSeams seams,
                                                               const MasterKey& master);
  /// The header in a folder, of which nothing is made. Errors as of read_header().
  [[nodiscard]] static Result<std::optional<Bytes>> peek_header(
      FileSystem& files, const std::filesystem::path& folder);

  [[nodiscard]] std::string where() const override;
  [[nodiscard]] Result<void> accepts(const MasterKey& master) const override;
  [[nodiscard]] const KeychainItems* keychain_items() const noexcept override { return &items_; }
  [[nodiscard]] Result<std::unique_ptr<HeldLock>> lock() override;

  [[nodiscard]] Result<std::optional<Bytes>> read_header() override;
  [[nodiscard]] Result<bool> replace_header(const std::optional<Bytes>& before,
                                            std::span<const unsigned char> after) override;
  /// Seen by all processes at once, for nanoseconds; a process that dies between the change and
  /// its announcement leaves it to the next.
  [[nodiscard]] std::optional<std::uint64_t> header_changes() noexcept override;
  void announce_header() noexcept override;

  [[nodiscard]] Result<std::optional<Bytes>> read_note() override;
  [[nodiscard]] Result<void> write_note(std::span<const unsigned char> note) override;

  [[nodiscard]] Result<std::optional<Bytes>> read_key(std::string_view id) override;
  [[nodiscard]] Result<bool> add_key(std::string_view id,
                                     std::span<const unsigned char> bytes) override;
  [[nodiscard]] Result<std::vector<bool>> replace_keys(std::span<const KeyChange> changes) override;
  [[nodiscard]] Result<void> remove_key(std::string_view id) override;
  /// All at once, without their bytes; removes what writers that died left behind.
  [[nodiscard]] Result<KeyPage> list_keys(std::string_view after, KeyPart part) override;
  [[nodiscard]] Result<std::size_t> count_keys() override;
  [[nodiscard]] Result<std::optional<Quarantined>> move_aside(std::string_view id,
                                                              const std::optional<Bytes>& before,
                                                              std::string_view why) override;
  [[nodiscard]] Result<std::vector<Quarantined>> aside() override;

 private:
  FileShelf(std::filesystem::path folder, VaultSeams seams);
  [[nodiscard]] FileSystem& files() const { return *seams().files; }
  [[nodiscard]] std::filesystem::path path_of(std::string_view id) const;
  void remove_leftovers(const std::vector<FolderEntry>& entries) const;

  const std::filesystem::path folder_;
  std::shared_ptr<LockFile> lock_;  // set by open()
  const KeychainItems items_;
  const QuarantineFolder aside_;
};

}  // namespace latchkey
