// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
module latchkey.test.fleet;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.master_key;
import latchkey.test.outcome;

namespace latchkey::test {

std::filesystem::path Fleet::key_file(std::string_view name) const {
  return folder.path() / "config" / name;
}

std::shared_ptr<PostgresDatabase> Fleet::database() const {
  return database(place.address());
}

std::shared_ptr<PostgresDatabase> Fleet::database(const std::string& address) const {
  PostgresOptions options;
  if (!uses_real_time) options.clock = clock;
  return PostgresDatabase::open(SecretString(address), options).value();
}

Result<std::shared_ptr<PostgresKeyVault>> Fleet::open(std::string_view name) const {
  return open(MasterKey::key_file(key_file(name)));
}

Result<std::shared_ptr<PostgresKeyVault>> Fleet::open(const MasterKey& master) const {
  return PostgresKeyVault::open(database(), master);
}

std::shared_ptr<PostgresKeyVault> Fleet::vault() const {
  return open().value();
}

SecretBytes key_of(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

}  // namespace latchkey::test
