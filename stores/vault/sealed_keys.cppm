// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
export module latchkey.store.vault.sealed_keys;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault;

// A sealed key, byte for byte, wherever it lies: see docs/formats.md.

export namespace latchkey {

/// None is larger.
inline constexpr std::size_t kMaxSealedKeySize = kMaxVaultKeySize + 1024;

/// Seals keys and opens them. Thread-safe.
class SealedKeys {
 public:
  explicit SealedKeys(std::shared_ptr<Sealer> sealer) : sealer_(std::move(sealer)) {}

  [[nodiscard]] Result<Bytes> seal(std::string_view id, const SecretBytes& key) const;
  /// Errors besides those of Sealer::open: corrupt ("vault.key_truncated", "vault.key_altered",
  /// "vault.key_swapped": it is another key), schema_too_new ("vault.key_version").
  [[nodiscard]] Result<SecretBytes> open(std::string_view id,
                                         std::span<const unsigned char> bytes) const;
  /// Names the data key that sealed it, as sealed_with() does. Opens nothing. Errors as of open(),
  /// but for those of Sealer::open.
  [[nodiscard]] Result<std::string> data_key_of(std::string_view id,
                                                std::span<const unsigned char> bytes) const;
  /// Whether it is sealed with the newest data key. Errors as of data_key_of().
  [[nodiscard]] Result<bool> is_current(std::string_view id,
                                        std::span<const unsigned char> bytes) const;

 private:
  std::shared_ptr<Sealer> sealer_;
};

}  // namespace latchkey
