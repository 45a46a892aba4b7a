// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
export module latchkey.store.vault.aead;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

// The cryptography below every vault: subkeys and authenticated encryption, both libsodium's. For
// vaults; programs use KeyVault and Sealer.

export namespace latchkey {

inline constexpr std::size_t kVaultKeySize = 32;
inline constexpr std::size_t kNonceSize = 24;
inline constexpr std::size_t kTagSize = 16;

/// Names a data key in the boxes that it sealed. Says nothing about the key.
using KeyId = std::array<unsigned char, 8>;

/// Keyed BLAKE2b of `context` under `key`: independent keys for each context. `size` is 16 to 64.
[[nodiscard]] SecretBytes derive_subkey(const SecretBytes& key, std::string_view context,
                                        std::size_t size = kVaultKeySize);
[[nodiscard]] KeyId key_id_of(const SecretBytes& data_key);
[[nodiscard]] SecretBytes random_key(Random& random);

/// nonce || XChaCha20-Poly1305 ciphertext and tag. `associated` is authenticated, not kept.
[[nodiscard]] Bytes aead_seal(const SecretBytes& key, std::span<const unsigned char> plaintext,
                              std::span<const unsigned char, kNonceSize> nonce,
                              std::span<const unsigned char> associated);
/// Undoes aead_seal. Error: corrupt, "box.altered" (also for a text that is too short).
[[nodiscard]] Result<SecretBytes> aead_open(const SecretBytes& key,
                                            std::span<const unsigned char> sealed,
                                            std::span<const unsigned char> associated);

}  // namespace latchkey
