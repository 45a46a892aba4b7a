// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.master_key;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.key_keeper;

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

MasterKey MasterKey::keychain(std::shared_ptr<KeyKeeper> keeper) {
  MasterKey key;
  key.kind_ = Kind::keychain;
  key.keeper_ = std::move(keeper);
  return key;
}

MasterKey MasterKey::command(std::vector<std::string> words, std::chrono::milliseconds timeout) {
  MasterKey key;
  key.kind_ = Kind::command;
  key.words_ = std::move(words);
  key.timeout_ = timeout;
  return key;
}

std::string_view to_string(MasterKey::Kind kind) noexcept {
  switch (kind) {
    case MasterKey::Kind::key_file:
      return "key-file";
    case MasterKey::Kind::passphrase:
      return "passphrase";
    case MasterKey::Kind::keychain:
      return "keychain";
    case MasterKey::Kind::command:
      break;
  }
  return "command";
}

std::string_view protection_of(MasterKey::Kind kind) noexcept {
  switch (kind) {
    case MasterKey::Kind::key_file:
      return "protects a copy of the data folder alone; not a copy of all your files, and not "
             "against programs that run as you";
    case MasterKey::Kind::passphrase:
      return "protects a copy of all your files, as far as the passphrase is hard to guess; not "
             "against programs that run as you while it is open";
    case MasterKey::Kind::keychain:
      return "protects a copy of your files as the keychain protects itself, which is by its own "
             "password; not against programs that run as you while it is unlocked";
    case MasterKey::Kind::command:
      break;
  }
  return "protects as far as the command's own storage does; not against programs that run as you "
         "and can run the command";
}

}  // namespace latchkey
