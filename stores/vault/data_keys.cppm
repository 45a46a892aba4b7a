// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>
export module latchkey.store.vault.data_keys;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault;
import latchkey.store.vault.opening;
import latchkey.store.vault.shelf;

// The data keys of an open vault, kept up to date with the header while other processes rotate
// them. For the vaults.

export namespace latchkey {

/// The purpose of the note that says when the vault was rotated last.
inline constexpr std::string_view kRotationPurpose = "latchkey.vault.rotation.v1";

/// What the data keys of one moment seal and open with.
struct DataSealers {
  std::shared_ptr<Sealer> keys;      ///< kVaultKeysPurpose
  std::shared_ptr<Sealer> sessions;  ///< kSessionsPurpose
  std::shared_ptr<Sealer> rotation;  ///< kRotationPurpose
};

/// Thread-safe. Changes of the header are seen as soon as the shelf tells of them; what cannot be
/// read then leaves the old keys in use: they open what they sealed. They seal for kSealingGrace
/// from when the header was last known to hold them: a session that cannot be sealed would be lost,
/// and later one that is sealed with a data key that was dropped.
class DataKeys : public std::enable_shared_from_this<DataKeys> {
 public:
  /// `seen`: header_changes() from before the vault was read.
  DataKeys(std::shared_ptr<VaultShelf> shelf, UnlockedVault vault,
           std::optional<std::uint64_t> seen);

  [[nodiscard]] std::shared_ptr<const DataSealers> current();
  /// The same, to seal with. Errors: that of reload(), once kSealingGrace is over.
  [[nodiscard]] Result<std::shared_ptr<const DataSealers>> for_sealing();
  /// Reads the header anew. Errors: locked, "vault.rewrapped" (another process has changed the
  /// master key: open the vault again); those of VaultShelf::read_header, parse_header and
  /// unlock_header.
  [[nodiscard]] Result<UnlockedVault> reload();
  /// Before a header under another master key is written.
  void expect_master_key(const SecretBytes& master_key);

  /// Seal with the newest data key of the moment, and open with any; a key that is not known leads
  /// to a look at the header. Valid as long as they are held.
  [[nodiscard]] std::shared_ptr<Sealer> keys_sealer();
  [[nodiscard]] std::shared_ptr<Sealer> sessions_sealer();

 private:
  void use(const std::vector<SecretBytes>& data_keys);
  Result<UnlockedVault> read_anew();
  [[nodiscard]] bool needs_look(std::optional<std::uint64_t> changes,
                                std::chrono::steady_clock::time_point now) const;

  const std::shared_ptr<VaultShelf> shelf_;
  std::mutex mutex_;
  std::optional<std::uint64_t> seen_;
  std::vector<SecretBytes> master_keys_;  ///< newest first; any may be that of the header
  std::shared_ptr<const DataSealers> sealers_;
  std::chrono::steady_clock::time_point last_good_;  ///< when the header was known to hold the keys
  std::optional<Error> failure_;                     ///< of the last look
};

}  // namespace latchkey
