// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <utility>
module latchkey.store.vault.master_key;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey {

MasterKey MasterKey::key_file(std::filesystem::path path) {
  MasterKey key;
  key.kind_ = Kind::key_file;
  key.path_ = std::move(path);
  return key;
}

MasterKey MasterKey::passphrase(std::function<Result<SecretString>()> ask, Argon2Cost cost) {
  MasterKey key;
  key.kind_ = Kind::passphrase;
  key.ask_ = std::move(ask);
  key.cost_ = cost;
  return key;
}

}  // namespace latchkey
