// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.cli.vault_key;
import latchkey.cli.options;
import latchkey.cli.passphrase;
import latchkey.cli.report;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.keychain;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

namespace latchkey::cli {
namespace {

using Kind = MasterKey::Kind;

constexpr std::string_view kCommand = "command:";

// What --master-key says; no kind: auto.
struct Wanted {
  std::optional<Kind> kind{};
  std::vector<std::string> words{};  // of a command
  std::filesystem::path file{};      // of a key file, if one is named
};

Result<Wanted> parse_wanted(const std::string& text) {
  if (text.empty() || text == "auto") return Wanted{};
  for (const Kind kind : {Kind::key_file, Kind::keychain, Kind::passphrase}) {
    if (text == to_string(kind)) return Wanted{.kind = kind};
  }
  if (text.starts_with(kKeyFileAt) && text.size() > kKeyFileAt.size()) {
    std::error_code fault;
    auto file = std::filesystem::absolute(text.substr(kKeyFileAt.size()), fault);
    if (!fault) return Wanted{.kind = Kind::key_file, .file = std::move(file)};
  }
  if (text.starts_with(kCommand)) {
    Wanted wanted{.kind = Kind::command};
    std::istringstream words(text.substr(kCommand.size()));
    for (std::string word; words >> word;) wanted.words.push_back(word);
    if (!wanted.words.empty()) return wanted;
  }
  return make_error(ErrorCode::invalid_argument, "cli.master_key",
                    "cannot use the master key " + printable(text, 200) +
                        ": write key-file, key-file:PATH, keychain, passphrase or "
                        "command:PROGRAM ARG... (split on blanks, no shell)");
}

enum class Passphrase { known, fresh };

MasterKey describe(Kind kind, Wanted wanted, const Places& where, Passphrase passphrase,
                   std::stop_token stop) {
  switch (kind) {
    case Kind::keychain:
      return MasterKey::keychain(secret_service_keychain());
    case Kind::command:
      return MasterKey::command(std::move(wanted.words));
    case Kind::passphrase:
      return MasterKey::passphrase([passphrase, stop = std::move(stop)]() -> Result<SecretString> {
        return passphrase == Passphrase::fresh ? ask_new_passphrase(stop)
                                               : ask_passphrase("passphrase of the vault", stop);
      });
    case Kind::key_file:
      break;
  }
  return MasterKey::key_file(wanted.file.empty() ? where.key : std::move(wanted.file));
}

// Only the plain absence of a keychain leads to a key file.
Result<Kind> keychain_or_file() {
  const auto ready = secret_service_keychain()->ready();
  if (ready) return Kind::keychain;
  constexpr std::array<std::string_view, 3> kAbsent{"keychain.no_bus", "keychain.no_service",
                                                    "keychain.no_collection"};
  if (std::find(kAbsent.begin(), kAbsent.end(), ready.error().detail) != kAbsent.end()) {
    return Kind::key_file;
  }
  Error error = ready.error();
  error.message += "; or choose for good where the vault's key is kept, with --master-key";
  return error;
}

// Of the vaults in a folder and in a database.
class FolderDoor {
 public:
  using Vault = FileKeyVault;
  explicit FolderDoor(const Places& where) : where_(where) {}
  [[nodiscard]] Result<std::optional<Kind>> kind() const { return Vault::kind_of(where_.vault); }
  [[nodiscard]] Result<std::shared_ptr<Vault>> open(const MasterKey& master) const {
    return Vault::open(where_.vault, master);
  }
  // For a vault that is about to be made. Who names a key file wants one.
  [[nodiscard]] Result<Kind> choose(const Options& options) const {
    return options.master_key_file.empty() ? keychain_or_file() : Result<Kind>(Kind::key_file);
  }
  static constexpr std::string_view kMade = "made a vault for keys and sessions";

 private:
  const Places& where_;
};

class DatabaseDoor {
 public:
  using Vault = PostgresKeyVault;
  explicit DatabaseDoor(const std::shared_ptr<PostgresDatabase>& database) : database_(database) {}
  [[nodiscard]] Result<std::optional<Kind>> kind() const { return Vault::kind_of(*database_); }
  [[nodiscard]] Result<std::shared_ptr<Vault>> open(const MasterKey& master) const {
    return Vault::open(database_, master);
  }
  [[nodiscard]] Result<Kind> choose(const Options&) const { return Kind::key_file; }
  static constexpr std::string_view kMade =
      "made a vault for keys and sessions in the database; every machine that uses it needs its "
      "master key";

 private:
  const std::shared_ptr<PostgresDatabase>& database_;
};

template <class Door>
Result<std::shared_ptr<typename Door::Vault>> make_vault(const Door& door, const Wanted& wanted,
                                                         const Options& options,
                                                         const Places& where) {
  auto kind = wanted.kind ? Result<Kind>(*wanted.kind) : door.choose(options);
  if (!kind) return std::move(kind).error();
  const MasterKey master = describe(*kind, wanted, where, Passphrase::fresh, options.stop);
  auto vault = door.open(master);
  // For programs standard error holds errors alone; vault status tells them.
  if (!vault || options.format == Format::json) return vault;
  say(std::string(Door::kMade) + "; its master key: " + std::string(to_string(*kind)) +
      (*kind == Kind::key_file ? " " + printable(master.path().native(), 300) : ""));
  say("this " + std::string(protection_of(*kind)));
  return vault;
}

template <class Door>
Result<std::shared_ptr<typename Door::Vault>> open_or_make(const Door& door, const Options& options,
                                                           const Places& where) {
  auto wanted = parse_wanted(options.master_key);
  if (!wanted) return std::move(wanted).error();
  const auto kind = door.kind();
  if (!kind) return kind.error();
  if (!*kind) return make_vault(door, *wanted, options, where);
  if (!wanted->kind && **kind == Kind::command) {
    return make_error(ErrorCode::locked, "cli.master_key_command",
                      "cannot open the vault: a command gives its key; name it with --master-key "
                      "command:PROGRAM or in LATCHKEY_MASTER_KEY");
  }
  const Kind used = wanted->kind.value_or(**kind);
  return door.open(describe(used, *std::move(wanted), where, Passphrase::known, options.stop));
}

}  // namespace

Result<std::shared_ptr<PostgresKeyVault>> open_fleet_vault(
    const Options& options, const Places& where,
    const std::shared_ptr<PostgresDatabase>& database) {
  return open_or_make(DatabaseDoor(database), options, where);
}

Result<std::shared_ptr<ManagedKeyVault>> open_vault(
    const Options& options, const Places& where,
    const std::shared_ptr<PostgresDatabase>& database) {
  using Opened = Result<std::shared_ptr<ManagedKeyVault>>;
  if (database) {
    auto vault = open_fleet_vault(options, where, database);
    return vault ? Opened(*std::move(vault)) : std::move(vault).error();
  }
  auto vault = open_or_make(FolderDoor(where), options, where);
  return vault ? Opened(*std::move(vault)) : std::move(vault).error();
}

Result<std::optional<Kind>> vault_kind(const Places& where,
                                       const std::shared_ptr<PostgresDatabase>& database) {
  return database ? DatabaseDoor(database).kind() : FolderDoor(where).kind();
}

Result<MasterKey> new_master_key(const std::string& text, const Places& where,
                                 std::stop_token stop) {
  auto wanted = parse_wanted(text);
  if (!wanted) return std::move(wanted).error();
  if (!wanted->kind) {
    return make_error(ErrorCode::invalid_argument, "cli.master_key",
                      "cannot choose a master key by itself: say which with --to");
  }
  const Kind kind = *wanted->kind;
  return describe(kind, *std::move(wanted), where, Passphrase::fresh, std::move(stop));
}

}  // namespace latchkey::cli
