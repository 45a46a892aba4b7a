// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.store.postgres.vault;
import latchkey.core.error;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault_shelf;
import latchkey.store.vault.master_key;
import latchkey.store.vault.opening;
import latchkey.store.vault.place;
import latchkey.store.vault.rotation;
import latchkey.store.vault.shelf;
import latchkey.store.vault.shelved_vault;

namespace latchkey {
namespace {

// Where many machines share a vault, the key is likely to be somewhere else.
Error for_a_fleet(Error error, const MasterKey& master) {
  if (error.detail != "vault.key_file_missing") return error;
  return cannot_open(error.code, error.detail,
                     "the database's vault was made with a key file, and " + shown(master.path()) +
                         " is not on this machine; copy it here from one that has it, as by your "
                         "secret manager");
}

}  // namespace

Result<std::shared_ptr<PostgresKeyVault>> PostgresKeyVault::open(
    std::shared_ptr<PostgresDatabase> database, const MasterKey& master) {
  auto vault = open_vault(std::make_shared<PostgresShelf>(database), master);
  if (!vault) return for_a_fleet(std::move(vault).error(), master);
  return std::make_shared<PostgresKeyVault>(std::move(database), *std::move(vault), master);
}

Result<std::optional<MasterKey::Kind>> PostgresKeyVault::kind_of(PostgresDatabase& database) {
  const auto header = PostgresShelf::peek_header(database);
  if (!header) return header.error();
  return kind_in(*header);
}

// A header that is replaced in between, as by a rotation, is looked at again.
Result<bool> PostgresKeyVault::is_same(PostgresDatabase& one, PostgresDatabase& other) {
  auto before = PostgresShelf::peek_header(one);
  for (;;) {
    if (!before) return std::move(before).error();
    const auto there = PostgresShelf::peek_header(other);
    if (!there) return there.error();
    auto after = PostgresShelf::peek_header(one);
    if (!after) return std::move(after).error();
    if (*after == *before) return after->has_value() && *after == *there;
    before = std::move(after);
  }
}

PostgresKeyVault::PostgresKeyVault(std::shared_ptr<PostgresDatabase> database, OpenVault vault,
                                   const MasterKey& master)
    : ShelvedKeyVault(std::move(vault), master), database_(std::move(database)) {}

}  // namespace latchkey
