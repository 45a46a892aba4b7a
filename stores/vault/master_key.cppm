// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
export module latchkey.store.vault.master_key;
import latchkey.core.error;
import latchkey.core.secret;

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
  enum class Kind { key_file, passphrase };

  /// A file of 32 random bytes, 0600, created with the vault if it is not there. It should not lie
  /// beside the vault: FileKeyVault refuses one inside the vault's folder. Protects a copied vault,
  /// not against who reads your files.
  [[nodiscard]] static MasterKey key_file(std::filesystem::path path);
  /// Asked for by `ask` when the vault is opened; Argon2id. `ask` may fail (no terminal): its error
  /// is returned.
  [[nodiscard]] static MasterKey passphrase(std::function<Result<SecretString>()> ask,
                                            Argon2Cost cost = {});

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const std::function<Result<SecretString>()>& ask() const noexcept { return ask_; }
  [[nodiscard]] const Argon2Cost& cost() const noexcept { return cost_; }

 private:
  Kind kind_ = Kind::key_file;
  std::filesystem::path path_;
  std::function<Result<SecretString>()> ask_;
  Argon2Cost cost_;
};

}  // namespace latchkey
