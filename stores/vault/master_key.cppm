// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.vault.master_key;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.key_keeper;

// What unlocks a vault. A MasterKey is a description; FileKeyVault::open does the unlocking.

export namespace latchkey {

/// Cost of Argon2id (RFC 9106). Bounds are enforced when a header is read: 1 to 20 passes, 8 MiB to
/// 1 GiB.
struct Argon2Cost {
  std::uint64_t passes = 3;
  std::uint64_t memory_bytes = 256ull * 1024 * 1024;
};

/// A description of where the master key comes from.
class MasterKey {
 public:
  enum class Kind { key_file, passphrase, keychain, command };

  /// A file of 32 random bytes, 0600, created with the vault if it is not there. It should not lie
  /// beside the vault: FileKeyVault refuses one inside the vault's folder. Protects a copied vault,
  /// not against who reads your files.
  [[nodiscard]] static MasterKey key_file(std::filesystem::path path);
  /// Asked for by `ask` when the vault is opened; Argon2id. `ask` may fail (no terminal): its error
  /// is returned.
  [[nodiscard]] static MasterKey passphrase(std::function<Result<SecretString>()> ask,
                                            Argon2Cost cost = {});
  /// 32 random bytes in a keychain, under a random name that the vault's header holds; made with
  /// the vault. Not nullptr.
  [[nodiscard]] static MasterKey keychain(std::shared_ptr<KeyKeeper> keeper);
  /// A key that a program prints: 32 bytes as base64, base64url or 64 hexadecimal digits, with
  /// white space around them allowed. The program is started without a shell, with /dev/null as its
  /// standard input, and is killed after `timeout`. The key must be there already: latchkey only
  /// reads it.
  [[nodiscard]] static MasterKey command(
      std::vector<std::string> words,
      std::chrono::milliseconds timeout = std::chrono::milliseconds{30'000});

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const std::function<Result<SecretString>()>& ask() const noexcept { return ask_; }
  [[nodiscard]] const Argon2Cost& cost() const noexcept { return cost_; }
  [[nodiscard]] const std::shared_ptr<KeyKeeper>& keeper() const noexcept { return keeper_; }
  [[nodiscard]] const std::vector<std::string>& words() const noexcept { return words_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

 private:
  Kind kind_ = Kind::key_file;
  std::filesystem::path path_;
  std::function<Result<SecretString>()> ask_;
  Argon2Cost cost_;
  std::shared_ptr<KeyKeeper> keeper_;
  std::vector<std::string> words_;
  std::chrono::milliseconds timeout_{};
};

/// "key-file", "passphrase", "keychain", "command". Stable.
[[nodiscard]] std::string_view to_string(MasterKey::Kind kind) noexcept;
/// For people: what a master key of this kind protects, and what it does not.
[[nodiscard]] std::string_view protection_of(MasterKey::Kind kind) noexcept;

}  // namespace latchkey
