// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.vault_key;
import latchkey.cli.options;
import latchkey.cli.passphrase;
import latchkey.cli.report;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
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
  std::optional<Kind> kind;
  std::vector<std::string> words;
};

Result<Wanted> parse_wanted(const std::string& text) {
  if (text.empty() || text == "auto") return Wanted{};
  for (const Kind kind : {Kind::key_file, Kind::keychain, Kind::passphrase}) {
    if (text == to_string(kind)) return Wanted{.kind = kind, .words = {}};
  }
  if (text.starts_with(kCommand)) {
    Wanted wanted{.kind = Kind::command, .words = {}};
    std::istringstream words(text.substr(kCommand.size()));
    for (std::string word; words >> word;) wanted.words.push_back(word);
    if (!wanted.words.empty()) return wanted;
  }
  return make_error(ErrorCode::invalid_argument, "cli.master_key",
                    "cannot use the master key " + printable(text, 200) +
                        ": write key-file, keychain, passphrase or command:PROGRAM ARG... (split "
                        "on blanks, no shell)");
}

enum class Passphrase { known, fresh };

MasterKey describe(Kind kind, std::vector<std::string> words, const Places& where,
                   Passphrase passphrase, std::stop_token stop) {
  switch (kind) {
    case Kind::keychain:
      return MasterKey::keychain(secret_service_keychain());
    case Kind::command:
      return MasterKey::command(std::move(words));
    case Kind::passphrase:
      return MasterKey::passphrase([passphrase, stop = std::move(stop)]() -> Result<SecretString> {
        return passphrase == Passphrase::fresh ? ask_new_passphrase(stop)
                                               : ask_passphrase("passphrase of the vault", stop);
      });
    case Kind::key_file:
      break;
  }
  return MasterKey::key_file(where.key);
}

// For a vault that is about to be made. Only the plain absence of a keychain leads to a key file.
Result<Kind> choose() {
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

Result<std::shared_ptr<ManagedKeyVault>> make_vault(const Wanted& wanted, const Options& options,
                                                    const Places& where) {
  auto kind = wanted.kind ? Result<Kind>(*wanted.kind) : choose();
  if (!kind) return std::move(kind).error();
  auto vault = FileKeyVault::open(
      where.vault, describe(*kind, wanted.words, where, Passphrase::fresh, options.stop));
  if (!vault) return std::move(vault).error();
  // For programs standard error holds errors alone; vault status tells them.
  if (options.format == Format::json) return *std::move(vault);
  say("made a vault for keys and sessions; its master key: " + std::string(to_string(*kind)) +
      (*kind == Kind::key_file ? " " + printable(where.key.native(), 300) : ""));
  say("this " + std::string(protection_of(*kind)));
  return *std::move(vault);
}

}  // namespace

Result<std::shared_ptr<ManagedKeyVault>> open_vault(const Options& options, const Places& where) {
  auto wanted = parse_wanted(options.master_key);
  if (!wanted) return std::move(wanted).error();
  const auto kind = FileKeyVault::kind_of(where.vault);
  if (!kind) return kind.error();
  if (!*kind) return make_vault(*wanted, options, where);
  if (!wanted->kind && **kind == Kind::command) {
    return make_error(ErrorCode::locked, "cli.master_key_command",
                      "cannot open the vault: a command gives its key; name it with --master-key "
                      "command:PROGRAM or in LATCHKEY_MASTER_KEY");
  }
  auto vault =
      FileKeyVault::open(where.vault, describe(wanted->kind.value_or(**kind), wanted->words, where,
                                               Passphrase::known, options.stop));
  if (!vault) return std::move(vault).error();
  return *std::move(vault);
}

Result<MasterKey> new_master_key(const std::string& text, const Places& where,
                                 std::stop_token stop) {
  auto wanted = parse_wanted(text);
  if (!wanted) return std::move(wanted).error();
  if (!wanted->kind) {
    return make_error(ErrorCode::invalid_argument, "cli.master_key",
                      "cannot choose a master key by itself: say which with --to");
  }
  return describe(*wanted->kind, std::move(wanted->words), where, Passphrase::fresh,
                  std::move(stop));
}

}  // namespace latchkey::cli
