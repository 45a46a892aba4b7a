// SPDX-License-Identifier: MIT
module;
#include <string>
#include <vector>
export module latchkey.test.key_ids;
import latchkey.core.error;
import latchkey.store.vault;

export namespace latchkey::test {

/// The ids of what a vault lists.
[[nodiscard]] std::vector<std::string> key_ids(KeyVault& vault);

}  // namespace latchkey::test
