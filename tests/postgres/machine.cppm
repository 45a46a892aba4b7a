// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
export module latchkey.test.postgres_machine;
import latchkey.core.secret;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.master_key;

// Sessions and keys in one database, as each process of a fleet opens them.

export namespace latchkey::test {

struct KeptInPostgres {
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
};

/// The master key lies in `folder`. Throws latchkey::Exception.
[[nodiscard]] KeptInPostgres open_in_postgres(const std::string& address,
                                              const std::filesystem::path& folder) {
  auto database = PostgresDatabase::open(SecretString(address)).value();
  auto vault = PostgresKeyVault::open(database, MasterKey::key_file(folder / "vault.key")).value();
  auto store = PostgresOAuthTokenStore::open(std::move(database), vault).value();
  return {.vault = std::move(vault), .store = std::move(store)};
}

}  // namespace latchkey::test
