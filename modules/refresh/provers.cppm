// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
export module latchkey.refresh.provers;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.dpop.p256;
import latchkey.dpop.prover;
import latchkey.store.vault;

// From a thumbprint to the prover that holds its key. A key is imported from the vault once and
// then kept, so that a request on a warm client never imports.

export namespace latchkey {

/// Thread-safe.
class ProverCache {
 public:
  /// `vault` null: for clients whose tokens are bound to no key; it finds and makes none.
  ProverCache(std::shared_ptr<KeyVault> vault, std::shared_ptr<Random> random)
      : vault_(std::move(vault)), random_(std::move(random)) {}

  /// Errors: key_missing ("vault.key_missing"), invalid_key ("vault.key_mismatch": the key under
  /// this id is another), and the vault's.
  [[nodiscard]] Result<std::shared_ptr<DpopProver>> find(std::string_view jkt);
  /// A new key, durable in the vault when this returns. Errors: invalid_argument, "vault.none"; the
  /// vault's.
  [[nodiscard]] Result<std::shared_ptr<DpopProver>> create();
  /// Forgets the key here and in the vault.
  [[nodiscard]] Result<void> remove(std::string_view jkt);

 private:
  [[nodiscard]] std::shared_ptr<DpopProver> keep(std::string id,
                                                 std::shared_ptr<DpopProver> prover);

  static constexpr std::size_t kCapacity = 10'000;
  std::shared_ptr<KeyVault> vault_;
  std::shared_ptr<Random> random_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<DpopProver>> provers_;
};

}  // namespace latchkey
