// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <vector>
export module latchkey.store.vault.opening;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.header;
import latchkey.store.vault.master_key;
import latchkey.store.vault.shelf;

// From a shelf and a description of a master key to data keys: finds or creates the header. For the
// vaults.

export namespace latchkey {

/// A header with what it keeps locked.
struct UnlockedVault {
  VaultHeader header;
  SecretBytes master_key;
  std::vector<SecretBytes> data_keys;  ///< newest first
  std::optional<Bytes> bytes;          ///< as it was read; empty for one that is to be written
};

/// Opens the vault, or creates it if there is none: the master key is durable in its place before
/// the header is written, so that whatever interrupts it leaves no vault or a whole one. Of several
/// that create it at once one does, and the others open what it has made. Errors: see
/// FileKeyVault::open.
[[nodiscard]] Result<UnlockedVault> open_or_create(VaultShelf& shelf, const MasterKey& master);

/// Writes the header, if the one that was read still stands there; else false. Call with the
/// shelf's lock held.
[[nodiscard]] Result<bool> write_header(VaultShelf& shelf, const UnlockedVault& vault);

/// The kind of master key of a header that was read, not authenticated; empty without one. Errors:
/// those of parse_header.
[[nodiscard]] Result<std::optional<MasterKey::Kind>> kind_in(const std::optional<Bytes>& header);

}  // namespace latchkey
