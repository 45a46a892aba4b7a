// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.opening;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.header;
import latchkey.store.vault.master_key;
import latchkey.store.vault.place;

// From a folder and a description of a master key to data keys: finds or creates the header. For
// file_vault.

export namespace latchkey {

/// A header with what it keeps locked.
struct UnlockedVault {
  VaultHeader header;
  SecretBytes master_key;
  std::vector<SecretBytes> data_keys;  ///< newest first
};

/// Opens the vault, or creates it if there is none: the master key is durable in its place before
/// the header is written, so that whatever interrupts it leaves no vault or a whole one. Errors:
/// see FileKeyVault::open.
[[nodiscard]] Result<UnlockedVault> open_or_create(const VaultPlace& place,
                                                   const MasterKey& master);

/// The header, empty if there is none; durable when it returns. Errors: insecure_location, io,
/// corrupt.
[[nodiscard]] Result<std::optional<SecretBytes>> read_header(const VaultPlace& place);
/// Replaces it. Call with the vault's lock held. Announces the change, so that other vault objects,
/// also of other processes, read it again: see DataKeys.
[[nodiscard]] Result<void> write_header(const VaultPlace& place, const UnlockedVault& vault);
/// How often any process has announced a new header.
[[nodiscard]] std::uint64_t header_changes(const VaultPlace& place) noexcept;
void announce_header(const VaultPlace& place) noexcept;

/// The name of a key's file. Lower-case base32 of the id, since some file systems do not tell cases
/// apart.
[[nodiscard]] std::string key_file_name(std::string_view id);
/// The id, or empty if this is not the name of a key's file.
[[nodiscard]] std::optional<std::string> id_of_key_file(std::string_view name);

}  // namespace latchkey
