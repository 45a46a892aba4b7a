// SPDX-License-Identifier: MIT
module;
#include <utility>
#include <vector>
module latchkey.test.vault_kinds;

namespace latchkey::test {
namespace {

std::vector<VaultKind>& kinds() {
  static std::vector<VaultKind> all;
  return all;
}

}  // namespace

bool add_vault_kind(VaultKind kind) {
  kinds().push_back(std::move(kind));
  return true;
}

const std::vector<VaultKind>& vault_kinds() {
  return kinds();
}

}  // namespace latchkey::test
