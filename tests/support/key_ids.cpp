// SPDX-License-Identifier: MIT
module;
#include <string>
#include <vector>
module latchkey.test.key_ids;
import latchkey.core.error;
import latchkey.store.vault;

namespace latchkey::test {

std::vector<std::string> key_ids(KeyVault& vault) {
  std::vector<std::string> ids;
  const auto keys = vault.list().value();
  for (const auto& key : keys) ids.push_back(key.id);
  return ids;
}

}  // namespace latchkey::test
