// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string_view>
export module latchkey.store.vault.key_keeper;
import latchkey.core.error;
import latchkey.core.secret;

// Where a master key can be kept by somebody else: the operating system's keychain, behind a
// contract, so that a vault needs no library for it. latchkey.store.vault.keychain implements it
// with libsecret.

export namespace latchkey {

/// Keeps keys of 32 bytes by name. Thread-safe. Every call returns in bounded time. All calls fail
/// with locked: "keychain.no_bus", "keychain.no_service", "keychain.no_collection" (there is none
/// here), "keychain.locked" (it is there, and a person must unlock it), "keychain.timeout" (it does
/// not answer), "keychain.refused" (it answered with an error).
class KeyKeeper {
 public:
  KeyKeeper() = default;
  KeyKeeper(const KeyKeeper&) = delete;
  KeyKeeper& operator=(const KeyKeeper&) = delete;
  virtual ~KeyKeeper();

  /// Whether a key could be kept now. Changes nothing and asks nobody.
  [[nodiscard]] virtual Result<void> ready() = 0;
  /// The key, or empty if there is none of this name. Error: corrupt, "keychain.foreign" (what is
  /// there is no key of ours).
  [[nodiscard]] virtual Result<std::optional<SecretBytes>> find(std::string_view name) = 0;
  /// Replaces an older one of this name.
  [[nodiscard]] virtual Result<void> keep(std::string_view name, const SecretBytes& key) = 0;
  /// Idempotent.
  [[nodiscard]] virtual Result<void> remove(std::string_view name) = 0;
};

}  // namespace latchkey
