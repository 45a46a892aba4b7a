// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.vault.master_key_source;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.command;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.os.mounted_secret;
import latchkey.core.secret;
import latchkey.store.vault.aead;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.place;
import latchkey.store.vault.printed_key;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

using Path = std::filesystem::path;
using Kind = MasterKey::Kind;

constexpr std::size_t kMaxKeyFileRead = 4096;

std::string words_for(Kind kind) {
  return kind == Kind::key_file ? "key file" : std::string(to_string(kind));
}

Result<void> check_key_file(const Path& file) {
  if (file.has_filename()) return {};
  return make_error(ErrorCode::invalid_argument, "vault.key_file_name",
                    "cannot use a key file: its path " + shown(file) + " does not name a file");
}

Result<void> check_passphrase(const MasterKey& master) {
  if (!master.ask()) {
    return cannot_open(ErrorCode::invalid_argument, "vault.no_passphrase",
                       "there is no way to ask for its passphrase; pass one to MasterKey");
  }
  if (is_allowed(master.cost())) return {};
  return make_error(ErrorCode::invalid_argument, "vault.kdf_cost",
                    "cannot use a passphrase: its Argon2 cost is out of bounds; use 1 to 20 passes "
                    "and 8 MiB to 1 GiB");
}

Result<void> check_description(const MasterKey& master) {
  switch (master.kind()) {
    case Kind::key_file:
      return check_key_file(master.path());
    case Kind::passphrase:
      return check_passphrase(master);
    case Kind::keychain:
      if (master.keeper()) return {};
      return cannot_open(ErrorCode::invalid_argument, "vault.no_keychain",
                         "no keychain was given; pass one to MasterKey");
    case Kind::command:
      break;
  }
  if (!master.words().empty() && !master.words().front().empty()) return {};
  return cannot_open(ErrorCode::invalid_argument, "vault.no_command",
                     "no command was given that prints its key; name a program");
}

Path lock_path(const MasterKey& master) {
  auto path = master.path();
  path += ".lock";
  return path;
}

}  // namespace

Result<void> check_master_key(const VaultShelf& shelf, const MasterKey& master) {
  if (auto good = check_description(master); !good) return good;
  return shelf.accepts(master);
}

Result<void> MasterKeySource::prepare() {
  if (master_.kind() == Kind::passphrase && !passphrase_) return ask();
  if (master_.kind() == Kind::command && !printed_) return run();
  return {};
}

Result<void> MasterKeySource::ask() {
  auto passphrase = master_.ask()();
  if (!passphrase) return std::move(passphrase).error();
  if (passphrase->empty()) {
    return cannot_open(ErrorCode::invalid_argument, "vault.empty_passphrase",
                       "the passphrase is empty; give one");
  }
  passphrase_ = *std::move(passphrase);
  return {};
}

Result<void> MasterKeySource::run() {
  const std::string program = printable(master_.words().front(), 200);
  auto run = run_command(master_.words(), {.timeout = master_.timeout()});
  if (!run) {
    if (run.error().detail == "process.output_too_large") return not_a_key(program);
    const bool late = run.error().code == ErrorCode::timeout;
    return cannot_open(ErrorCode::locked, late ? "vault.command_timeout" : "vault.command_failed",
                       run.error().message);
  }
  if (run->status != 0) {
    return cannot_open(ErrorCode::locked, "vault.command_failed",
                       "the command " + program + " that prints its key ended with status " +
                           std::to_string(run->status) + "; run it by hand to see why");
  }
  auto key = parse_printed_key(run->out, program);
  if (!key) return std::move(key).error();
  printed_ = *std::move(key);
  return {};
}

Result<SecretBytes> MasterKeySource::find(const VaultHeader& header) {
  if (header.kind != master_.kind()) {
    const std::string right = words_for(header.kind);
    return cannot_open(ErrorCode::locked, "vault.kind",
                       "it was made with a " + right + ", and a " + words_for(master_.kind()) +
                           " was given; give the " + right);
  }
  if (auto ready = prepare(); !ready) return std::move(ready).error();
  switch (master_.kind()) {
    case Kind::passphrase:
      return derive_master_key(*passphrase_, header.kdf);
    case Kind::command:
      return printed_->clone();
    case Kind::keychain:
      return find_item(header.item);
    case Kind::key_file:
      break;
  }
  auto key = read_key_file();
  if (!key) return std::move(key).error();
  if (*key) return std::move(**key);
  // A new key file would hide that the old one is what is missing.
  return cannot_open(ErrorCode::locked, "vault.key_file_missing",
                     "its key file " + shown(master_.path()) +
                         " is not there; put it back, or remove the vault and log in again");
}

Result<SecretBytes> MasterKeySource::make(VaultHeader& header) {
  header = {.kind = master_.kind(), .kdf = {}, .item = {}};
  switch (master_.kind()) {
    case Kind::key_file:
      return make_key_file();
    case Kind::keychain:
      return make_item(header.item);
    case Kind::command:
      return printed_->clone();
    case Kind::passphrase:
      break;
  }
  header.kdf.cost = master_.cost();
  shelf_.seams().random->fill(header.kdf.salt);
  return derive_master_key(*passphrase_, header.kdf);
}

Result<std::optional<SecretBytes>> MasterKeySource::read_key_file() {
  FileSystem& files = *shelf_.seams().files;
  if (auto secure = files.check_private(master_.path());
      !secure && !is_mounted_secret(master_.path())) {
    return std::move(secure).error();
  }
  auto bytes = files.read(master_.path(), kMaxKeyFileRead);
  const bool too_large = !bytes && bytes.error().detail == "file.too_large";
  if (!bytes && !too_large) return std::move(bytes).error();
  if (!too_large && (!*bytes || (*bytes)->size() == kMasterKeySize)) return bytes;
  return cannot_open(
      ErrorCode::corrupt, "vault.key_file_size",
      "its key file " + shown(master_.path()) + " does not have 32 bytes; restore it from a copy");
}

// Empty if there is none; durable otherwise: it may be left from a creation that ended before that.
Result<std::optional<SecretBytes>> MasterKeySource::kept_key_file() {
  auto found = read_key_file();
  if (!found || !*found) return found;
  const auto folder = master_.path().parent_path();
  if (auto synced = shelf_.seams().files->sync_folder(folder); !synced) {
    return std::move(synced).error();
  }
  return found;
}

Result<void> MasterKeySource::lock_key_file() {
  if (held_) return {};
  const VaultSeams& seams = shelf_.seams();
  const auto folder = master_.path().parent_path();
  if (auto made = seams.files->make_folder(folder); !made) return made;
  auto lock = LockFile::open(lock_path(master_), seams.clock);
  if (!lock) return std::move(lock).error();
  auto held = lock_whole(**lock, *seams.clock);
  if (!held) return std::move(held).error();
  lock_ = *std::move(lock);
  held_ = *std::move(held);
  return {};
}

// Several vaults may share a key file: two that are created at once must not each make one, and one
// that may be taken back must not be used by another vault before it is known to stay.
Result<SecretBytes> MasterKeySource::make_key_file() {
  auto found = kept_key_file();
  if (!found) return std::move(found).error();
  // Whoever makes one locks first. One that was put there may be a mount: nothing is made beside
  // it.
  const auto maker = shelf_.seams().files->modified_at(lock_path(master_));
  if (*found && maker && !*maker) return std::move(**found);
  if (auto locked = lock_key_file(); !locked) {
    // It may lie where nothing can be made, nor taken back.
    if (*found && !locked.error().detail.starts_with("lock.")) return std::move(**found);
    return std::move(locked).error();
  }
  found = kept_key_file();
  if (!found) return std::move(found).error();
  if (*found) {
    if (!has_made_) held_.reset();
    return std::move(**found);
  }
  SecretBytes key = random_key(*shelf_.seams().random);
  if (auto written = replace_file(shelf_.seams().files, master_.path(), key.expose()); !written) {
    return std::move(written).error();
  }
  has_made_ = true;
  return key;
}

Result<bool> MasterKeySource::take_back() {
  if (!has_made_) return false;
  FileSystem& files = *shelf_.seams().files;
  if (auto removed = files.remove(master_.path()); !removed) return std::move(removed).error();
  has_made_ = false;
  held_.reset();
  if (auto synced = files.sync_folder(master_.path().parent_path()); !synced)
    return std::move(synced).error();
  return true;
}

Result<SecretBytes> MasterKeySource::find_item(const KeychainItem& item) {
  auto key = master_.keeper()->find(name_of(item));
  if (!key) return std::move(key).error();
  if (*key) return std::move(**key);
  return cannot_open(ErrorCode::locked, "vault.keychain_item_missing",
                     "the keychain holds no key " + name_of(item) +
                         "; open the keychain it was made in, restore that from a copy, or remove "
                         "the vault and log in again");
}

// The note comes first: an item that nobody knows of would stay for ever.
Result<SecretBytes> MasterKeySource::make_item(KeychainItem& item) {
  shelf_.seams().random->fill(item);
  if (auto noted = shelf_.keychain_items()->note(item); !noted) return std::move(noted).error();
  SecretBytes key = random_key(*shelf_.seams().random);
  if (auto kept = master_.keeper()->keep(name_of(item), key); !kept) return std::move(kept).error();
  auto found = find_item(item);
  if (!found) return std::move(found).error();
  if (*found == key) return key;
  return cannot_open(ErrorCode::corrupt, "vault.keychain_read_back",
                     "the keychain gave back another key than it was given; use another kind of "
                     "master key");
}

}  // namespace latchkey
