// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <string>
#include <vector>
export module latchkey.test.vault_kinds;
import latchkey.store.vault;

// Which kinds of vault the tests of what every KeyVault promises run over in a program.

export namespace latchkey::test {

/// A vault, and what must live as long as it.
struct VaultUnderTest {
  std::shared_ptr<void> place;
  std::shared_ptr<KeyVault> vault;
};

struct VaultKind {
  std::string name;
  std::function<VaultUnderTest()> make;  ///< a new one each time, empty
};

/// Call it before main().
bool add_vault_kind(VaultKind kind);
[[nodiscard]] const std::vector<VaultKind>& vault_kinds();

}  // namespace latchkey::test
