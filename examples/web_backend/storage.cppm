// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
export module latchkey.examples.web_backend.storage;
import latchkey.core;
import latchkey.examples.web_backend.visitors;
import latchkey.store;
import latchkey.store.vault;

// What the website keeps, and where: in files of one machine, or in a database that all of its
// processes share.

export namespace web_backend {

struct Storage {
  std::shared_ptr<latchkey::KeyVault> vault;
  std::shared_ptr<latchkey::OAuthTokenStore> store;
  std::shared_ptr<Visitors> visitors;
  /// Logins may look for keys that no session needs; else housekeeping does.
  bool logins_collect_keys = false;
};

/// Throws std::exception.
[[nodiscard]] Storage storage_in_files(const std::filesystem::path& folder,
                                       const std::filesystem::path& master_key_file);
/// `database`: the address of a PostgreSQL database, as libpq takes it. Every process has the same
/// master key. Throws std::exception.
[[nodiscard]] Storage storage_in_postgres(const latchkey::SecretString& database,
                                          const std::filesystem::path& master_key_file);

}  // namespace web_backend
