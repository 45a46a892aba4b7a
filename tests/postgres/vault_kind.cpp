// SPDX-License-Identifier: MIT
#include <memory>

import latchkey.test.fleet;
import latchkey.test.vault_kinds;

// The vault in a database, for the tests of what every KeyVault promises.

using namespace latchkey::test;

namespace {

VaultUnderTest in_database() {
  const auto fleet = std::make_shared<Fleet>();
  fleet->uses_real_time = true;
  return {.place = fleet, .vault = fleet->vault()};
}

[[maybe_unused]] const bool kAdded = add_vault_kind({.name = "postgres", .make = in_database});

}  // namespace
