// SPDX-License-Identifier: MIT
module;
#include <cstdlib>
#include <filesystem>
#include <memory>
module latchkey.examples.web_backend.storage;
import latchkey.core;
import latchkey.examples.web_backend.visitors;
import latchkey.examples.web_backend.visitors_file;
import latchkey.examples.web_backend.visitors_postgres;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;

namespace web_backend {

Storage storage_in_files(const std::filesystem::path& folder,
                         const std::filesystem::path& master_key_file) {
  auto vault =
      latchkey::FileKeyVault::open(folder / "vault", latchkey::MasterKey::key_file(master_key_file))
          .value();
  auto store =
      latchkey::SqliteOAuthTokenStore::open(folder / "sessions.db", vault->sealer()).value();
  return {.vault = vault,
          .store = store,
          .visitors = std::make_shared<FileVisitors>(folder / "visitors.json"),
          .logins_collect_keys = true};
}

Storage storage_in_postgres(const latchkey::SecretString& database,
                            const std::filesystem::path& master_key_file) {
  // Else a machine that is gone is waited for as long as TCP does. What the address says comes
  // first.
  ::setenv("PGCONNECT_TIMEOUT", "5", 0);
  auto opened = latchkey::PostgresDatabase::open(database.clone()).value();
  auto vault =
      latchkey::PostgresKeyVault::open(opened, latchkey::MasterKey::key_file(master_key_file))
          .value();
  auto store = latchkey::PostgresOAuthTokenStore::open(opened, vault).value();
  return {.vault = vault,
          .store = store,
          // Last: what libpq says of an address that it can't read may repeat the password, and
          // latchkey has refused such a one by now.
          .visitors = std::make_shared<PostgresVisitors>(database.clone())};
}

}  // namespace web_backend
