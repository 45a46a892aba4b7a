// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.vault.opening;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.header;
import latchkey.store.vault.master_key;

namespace latchkey {
namespace {

using Path = std::filesystem::path;
using Kind = MasterKey::Kind;

constexpr std::chrono::seconds kLockPatience{30};
constexpr std::size_t kMaxKeyFileRead = 4096;
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kKeySuffix = ".key";

std::string shown(const Path& path) {
  return printable(path.native(), 300);
}

Error cannot_open(ErrorCode code, std::string_view detail, const std::string& why) {
  return make_error(code, detail, "cannot open the vault: " + why);
}

std::string_view name_of(Kind kind) {
  return kind == Kind::key_file ? "key file" : "passphrase";
}

// With links resolved as far as the path exists.
Path resolved(const Path& path) {
  std::error_code fault;
  const auto absolute = std::filesystem::absolute(path, fault);
  if (fault) return path.lexically_normal();
  auto canonical = std::filesystem::weakly_canonical(absolute, fault);
  return fault ? absolute.lexically_normal() : canonical.lexically_normal();
}

Result<std::unique_ptr<HeldLock>> acquire(LockFile& lock, const Clock& clock) {
  return lock.acquire(LockKind::whole, "vault", {.deadline = clock.steady_now() + kLockPatience});
}

// Finds the master key that a MasterKey describes; a passphrase is asked for once.
class MasterKeySource {
 public:
  MasterKeySource(const VaultPlace& place, const MasterKey& master)
      : place_(place), master_(master) {}

  // Whatever waits for a person comes before the vault is locked.
  Result<void> prepare() {
    if (master_.kind() != Kind::passphrase || passphrase_) return {};
    if (!master_.ask()) {
      return cannot_open(ErrorCode::invalid_argument, "vault.no_passphrase",
                         "there is no way to ask for its passphrase; pass one to MasterKey");
    }
    auto passphrase = master_.ask()();
    if (!passphrase) return std::move(passphrase).error();
    if (passphrase->empty()) {
      return cannot_open(ErrorCode::invalid_argument, "vault.empty_passphrase",
                         "the passphrase is empty; give one");
    }
    passphrase_ = *std::move(passphrase);
    return {};
  }

  // The key to a vault that exists.
  Result<SecretBytes> find(const VaultHeader& header) {
    if (header.kind != master_.kind()) {
      const std::string right(name_of(header.kind));
      return cannot_open(ErrorCode::locked, "vault.kind",
                         "it was made with a " + right + ", and a " +
                             std::string(name_of(master_.kind())) + " was given; give the " +
                             right);
    }
    if (master_.kind() == Kind::passphrase) {
      if (auto ready = prepare(); !ready) return std::move(ready).error();
      return derive_master_key(*passphrase_, header.kdf);
    }
    auto key = read_key_file();
    if (!key) return std::move(key).error();
    if (*key) return std::move(**key);
    // A new key file would hide that the old one is what is missing.
    return cannot_open(ErrorCode::locked, "vault.key_file_missing",
                       "its key file " + shown(master_.path()) +
                           " is not there; put it back, or remove the vault and log in again");
  }

  // The key to a vault that is being created; a key file is durable when this returns.
  Result<SecretBytes> make(VaultHeader& header) {
    header.kind = master_.kind();
    if (master_.kind() == Kind::key_file) return make_key_file();
    header.kdf.cost = master_.cost();
    place_.random->fill(header.kdf.salt);
    return derive_master_key(*passphrase_, header.kdf);
  }

 private:
  Result<std::optional<SecretBytes>> read_key_file() {
    if (auto secure = place_.files->check_private(master_.path()); !secure) {
      return std::move(secure).error();
    }
    auto bytes = place_.files->read(master_.path(), kMaxKeyFileRead);
    const bool too_large = !bytes && bytes.error().detail == "file.too_large";
    if (!bytes && !too_large) return std::move(bytes).error();
    if (!too_large && (!*bytes || (*bytes)->size() == kMasterKeySize)) return bytes;
    return cannot_open(ErrorCode::corrupt, "vault.key_file_size",
                       "its key file " + shown(master_.path()) +
                           " does not have 32 bytes; restore it from a copy");
  }

  // Several vaults may share a key file: two that are created at once must not each make one.
  Result<SecretBytes> make_key_file() {
    const auto folder = master_.path().parent_path();
    if (auto made = place_.files->make_folder(folder); !made) return std::move(made).error();
    auto lock_path = master_.path();
    lock_path += ".lock";
    auto lock = LockFile::open(lock_path, place_.clock);
    if (!lock) return std::move(lock).error();
    auto held = acquire(**lock, *place_.clock);
    if (!held) return std::move(held).error();
    auto found = read_key_file();
    if (!found) return std::move(found).error();
    if (*found) {
      // It may be left from a creation that ended before this step.
      if (auto synced = place_.files->sync_folder(folder); !synced)
        return std::move(synced).error();
      return std::move(**found);
    }
    SecretBytes key = random_key(*place_.random);
    if (auto written = replace_file(place_.files, master_.path(), key.expose()); !written) {
      return std::move(written).error();
    }
    return key;
  }

  const VaultPlace& place_;
  const MasterKey& master_;
  std::optional<SecretString> passphrase_;
};

Path header_path(const VaultPlace& place) {
  return place.folder / kVaultHeaderName;
}

Result<std::optional<SecretBytes>> read_header(const VaultPlace& place) {
  if (auto secure = place.files->check_private(header_path(place)); !secure) {
    return std::move(secure).error();
  }
  return place.files->read(header_path(place), kMaxHeaderSize);
}

Result<std::vector<SecretBytes>> unlock(const SecretBytes& header_bytes, MasterKeySource& source) {
  auto header = parse_header(header_bytes.expose());
  if (!header) return std::move(header).error();
  auto master_key = source.find(*header);
  if (!master_key) return std::move(master_key).error();
  return unlock_header(header_bytes.expose(), *master_key);
}

// Sealed keys without a header mean that the header was lost: a new one could never open them.
Result<void> check_no_keys(const VaultPlace& place) {
  auto entries = place.files->list(place.folder);
  if (!entries) return std::move(entries).error();
  for (const auto& entry : *entries) {
    if (!id_of_key_file(entry.name)) continue;
    return cannot_open(ErrorCode::corrupt, "vault.header_missing",
                       "there are keys in " + shown(place.folder) +
                           " and no vault.header; restore it from a copy, or remove the folder");
  }
  return {};
}

Result<std::vector<SecretBytes>> create(const VaultPlace& place, MasterKeySource& source) {
  if (auto empty = check_no_keys(place); !empty) return std::move(empty).error();
  VaultHeader header;
  auto master_key = source.make(header);
  if (!master_key) return std::move(master_key).error();
  std::vector<SecretBytes> data_keys;
  data_keys.push_back(random_key(*place.random));
  const Bytes bytes = build_header(header, *master_key, data_keys, *place.random);
  if (auto written = replace_file(place.files, header_path(place), bytes); !written) {
    return std::move(written).error();
  }
  return data_keys;
}

Result<void> check_cost(const MasterKey& master) {
  if (master.kind() != Kind::passphrase || is_allowed(master.cost())) return {};
  return make_error(ErrorCode::invalid_argument, "vault.kdf_cost",
                    "cannot create a vault: its Argon2 cost is out of bounds; use 1 to 20 passes "
                    "and 8 MiB to 1 GiB");
}

}  // namespace

Result<std::unique_ptr<HeldLock>> lock_vault(const VaultPlace& place) {
  return acquire(*place.lock, *place.clock);
}

Result<void> check_key_file_place(const Path& folder, const MasterKey& master) {
  if (master.kind() != Kind::key_file) return {};
  if (!master.path().has_filename()) {
    return make_error(
        ErrorCode::invalid_argument, "vault.key_file_name",
        "cannot use a key file: its path " + shown(master.path()) + " does not name a file");
  }
  const Path vault = resolved(folder), key = resolved(master.path());
  if (std::mismatch(vault.begin(), vault.end(), key.begin(), key.end()).first != vault.end()) {
    return {};
  }
  return make_error(ErrorCode::insecure_location, "vault.key_file_beside_vault",
                    "cannot use the key file " + shown(master.path()) +
                        ": it lies in the vault's own folder, so that whoever copies one has both; "
                        "keep it elsewhere");
}

Result<std::vector<SecretBytes>> open_data_keys(const VaultPlace& place, const MasterKey& master) {
  MasterKeySource source(place, master);
  auto bytes = read_header(place);
  if (!bytes) return std::move(bytes).error();
  if (*bytes) return unlock(**bytes, source);
  if (auto allowed = check_cost(master); !allowed) return std::move(allowed).error();
  if (auto ready = source.prepare(); !ready) return std::move(ready).error();
  auto held = lock_vault(place);
  if (!held) return std::move(held).error();
  // Another process may have created it meanwhile.
  bytes = read_header(place);
  if (!bytes) return std::move(bytes).error();
  return *bytes ? unlock(**bytes, source) : create(place, source);
}

std::string key_file_name(std::string_view id) {
  std::string name;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : id) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 5; count -= 5) name += kBase32[bits >> (count - 5) & 31];
    bits &= (1u << count) - 1;
  }
  if (count > 0) name += kBase32[bits << (5 - count) & 31];
  return name.append(kKeySuffix);
}

std::optional<std::string> id_of_key_file(std::string_view name) {
  if (!name.ends_with(kKeySuffix)) return std::nullopt;
  std::string id;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : name.substr(0, name.size() - kKeySuffix.size())) {
    const auto value = kBase32.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 5 | static_cast<std::uint32_t>(value);
    if ((count += 5) >= 8) {
      count -= 8;
      id += static_cast<char>(bits >> count);
      bits &= (1u << count) - 1;
    }
  }
  // One id has one name: what encodes to another is not ours.
  if (!check_key_id(id) || key_file_name(id) != name) return std::nullopt;
  return id;
}

}  // namespace latchkey
