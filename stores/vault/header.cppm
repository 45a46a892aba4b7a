// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>
export module latchkey.store.vault.header;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.master_key;

// The header of a file vault, byte for byte: see docs/formats.md. Reading has two steps, because
// the first needs no key and says which key is needed: parse_header, then unlock_header with the
// master key.

export namespace latchkey {

/// How a passphrase becomes a master key. All zero for the kinds that need no derivation.
struct KdfParameters {
  Argon2Cost cost{.passes = 0, .memory_bytes = 0};
  std::array<unsigned char, 16> salt{};
};

/// Names a vault's item in a keychain. Random: it says nothing about the vault.
using KeychainItem = std::array<unsigned char, 16>;

/// The part of a header that can be read without a key, and is not authenticated yet.
struct VaultHeader {
  MasterKey::Kind kind{};
  KdfParameters kdf;
  KeychainItem item{};  ///< kind keychain; zero otherwise
};

/// No header is larger: more is corrupt before it is read.
inline constexpr std::size_t kMaxHeaderSize = 4096;
/// The most data keys that a header holds.
inline constexpr std::size_t kMaxDataKeys = 32;
/// The master key, and each data key.
inline constexpr std::size_t kMasterKeySize = 32;

/// Bounds of the cost: 1 to 20 passes, 8 MiB to 1 GiB.
[[nodiscard]] bool is_allowed(const Argon2Cost& cost) noexcept;

/// Argon2id. `kdf` must be allowed. Error: io, "vault.kdf_memory" (no memory of that size).
[[nodiscard]] Result<SecretBytes> derive_master_key(const SecretString& passphrase,
                                                    const KdfParameters& kdf);

/// A header for these data keys, newest first (1 to 32 of them).
[[nodiscard]] Bytes build_header(const VaultHeader& header, const SecretBytes& master_key,
                                 std::span<const SecretBytes> data_keys, Random& random);

/// Errors: corrupt ("vault.header_truncated", "vault.header_altered", "vault.kdf_bounds": absurd
/// parameters, refused before they cost anything), schema_too_new ("vault.version",
/// "vault.kind_unknown").
[[nodiscard]] Result<VaultHeader> parse_header(std::span<const unsigned char> bytes);

/// The data keys, newest first. `bytes` must have passed parse_header. Errors: wrong_key
/// ("vault.wrong_master_key"), corrupt ("vault.header_altered": the key is right, and the header is
/// not what was written with it).
[[nodiscard]] Result<std::vector<SecretBytes>> unlock_header(std::span<const unsigned char> bytes,
                                                             const SecretBytes& master_key);

}  // namespace latchkey
