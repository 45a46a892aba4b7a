// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>
export module latchkey.test.refresh_places;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;

// A vault and a store that several processes open, as the tool would.

export namespace latchkey::test {

struct Kept {
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
};

/// `kind`: "file" or "sqlite". Throws latchkey::Exception.
[[nodiscard]] Kept open_kept(std::string_view kind, const std::filesystem::path& folder) {
  auto vault =
      FileKeyVault::open(folder / "vault", MasterKey::key_file(folder / "config" / "vault.key"))
          .value();
  auto store =
      kind == "file"
          ? FilesystemOAuthTokenStore::open(folder / "sessions", vault->sealer()).value()
          : SqliteOAuthTokenStore::open(folder / "data" / "sessions.db", vault->sealer()).value();
  return {.vault = std::move(vault), .store = std::move(store)};
}

}  // namespace latchkey::test
