// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
module latchkey.examples.web_backend.storage;
import latchkey.core;
import latchkey.examples.web_backend.visitors;
import latchkey.examples.web_backend.visitors_file;
import latchkey.store;
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

}  // namespace web_backend
