// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

// Contracts of sealing. A KeyVault keeps opaque key bytes under an id (for DPoP keys: the RFC 7638
// thumbprint); a Sealer seals what other rooms keep (sessions, pending logins).

export namespace latchkey {

/// Authenticated encryption of small values under a key that the sealer holds. Thread-safe.
class Sealer {
 public:
  Sealer() = default;
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  virtual ~Sealer();

  /// A box of format 1: version 0x01, key id (8 bytes), nonce (24), XChaCha20-Poly1305 of the
  /// plaintext. `context` is authenticated, not stored: opening needs the same one.
  [[nodiscard]] virtual Result<Bytes> seal(std::span<const unsigned char> plaintext,
                                           std::string_view context) = 0;
  /// Errors: corrupt ("box.truncated", "box.altered": the box or its context was changed),
  /// wrong_key
  /// ("box.unknown_key"), schema_too_new ("box.version").
  [[nodiscard]] virtual Result<SecretBytes> open(std::span<const unsigned char> box,
                                                 std::string_view context) = 0;
  /// Whether seal() would use the same key again. False after a rotation, until the box is sealed
  /// anew; for text that is no box too.
  [[nodiscard]] virtual bool is_current(std::span<const unsigned char> box) = 0;
};

/// A sealer that does not seal (box version 0x00: the plaintext as it is): tokens lie readable by
/// whoever reads the file. It opens only its own boxes; a sealed box is wrong_key ("box.sealed"),
/// and a real sealer refuses version 0x00 (wrong_key, "box.unsealed").
[[nodiscard]] std::shared_ptr<Sealer> store_sessions_unsealed();

/// Names the data key that sealed the box: 16 hexadecimal digits; empty if it is not sealed, or no
/// box.
[[nodiscard]] std::string sealed_with(std::span<const unsigned char> box);

/// The largest key that a vault keeps.
inline constexpr std::size_t kMaxVaultKeySize = 16 * 1024;

/// A key in a list.
struct VaultKeyInfo {
  std::string id;
  /// When it was written last, by the wall clock of then (re-sealing counts): what is to be removed
  /// for its age must be old by a wide margin.
  TimePoint stored_at{};
  [[nodiscard]] bool operator==(const VaultKeyInfo&) const = default;
};

/// Keeps private keys. Thread-safe, and safe between processes.
class KeyVault {
 public:
  KeyVault() = default;
  KeyVault(const KeyVault&) = delete;
  KeyVault& operator=(const KeyVault&) = delete;
  virtual ~KeyVault();

  /// Durable when it returns. Putting the same bytes again is fine; others under the same id:
  /// conflict, "vault.exists". `id`: 1 to 128 characters of base64url. `key`: 1 to kMaxVaultKeySize
  /// bytes. Errors: invalid_argument, "vault.id", "vault.key_size".
  [[nodiscard]] virtual Result<void> put(std::string_view id, const SecretBytes& key) = 0;
  /// Empty if there is no such key. Errors: corrupt, wrong_key, schema_too_new, io,
  /// insecure_location.
  [[nodiscard]] virtual Result<std::optional<SecretBytes>> get(std::string_view id) = 0;
  /// Idempotent; durable when it returns.
  [[nodiscard]] virtual Result<void> remove(std::string_view id) = 0;
  /// Every key, readable or not, by ascending id.
  [[nodiscard]] virtual Result<std::vector<VaultKeyInfo>> list() = 0;
  /// Seals sessions with a subkey of this vault's data key. Valid as long as it is held, also after
  /// the vault is gone.
  [[nodiscard]] virtual std::shared_ptr<Sealer> sealer() = 0;
};

/// Keys in memory only, sealed with a random key of its own; for tests and for the memory store.
[[nodiscard]] std::shared_ptr<KeyVault> memory_vault(std::shared_ptr<Clock> clock = nullptr);

// For those who write a vault
// --------------------------------------------------------------------------------------

/// A sealer under a subkey of each data key: seals with the first, opens with any. `purpose` keeps
/// apart what is sealed for different uses. There must be one key of 32 bytes at least.
[[nodiscard]] std::shared_ptr<Sealer> make_sealer(std::span<const SecretBytes> data_keys,
                                                  std::string_view purpose,
                                                  std::shared_ptr<Random> random);
inline constexpr std::string_view kVaultKeysPurpose = "latchkey.vault.keys.v1";
inline constexpr std::string_view kSessionsPurpose = "latchkey.vault.sessions.v1";

/// Error: invalid_argument, "vault.id".
[[nodiscard]] Result<void> check_key_id(std::string_view id);
/// What put() checks first. Errors: invalid_argument, "vault.id", "vault.key_size".
[[nodiscard]] Result<void> check_new_key(std::string_view id, const SecretBytes& key);
/// The conflict of put().
[[nodiscard]] Error key_exists(std::string_view id);

}  // namespace latchkey
