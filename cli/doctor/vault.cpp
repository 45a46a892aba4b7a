// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.vault_key;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.key_collection;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

// The vault: its master key, and the keys in it.

namespace latchkey::cli {
namespace {

constexpr std::string_view kVault = "vault";

// The header says it without any key.
void check_master_key(const Patient& patient, Findings& findings) {
  const auto kind = vault_kind(patient.where, patient.database);
  if (!kind || !*kind) return;  // opening says why
  const bool in_file = **kind == MasterKey::Kind::key_file;
  findings.add(Severity::note, "vault.master_key", "master key",
               std::string(to_string(**kind)) +
                   (in_file ? " " + printable(patient.where.key.native(), 300) : "") + ": it " +
                   std::string(protection_of(**kind)));
}

void check_key(ManagedKeyVault& vault, const std::string& id, Findings& findings) {
  const auto key = vault.get(id);
  if (key) return;
  const Error& error = key.error();
  const std::string about = "key " + printable(id, 128);
  if (error.code != ErrorCode::corrupt) {
    findings.add(error, about);
    return;
  }
  findings.add(
      {Severity::problem, error.detail, about, error.message},
      {"move it aside", "moved aside, into the quarantine of the vault", [&]() -> Result<void> {
         if (auto moved = vault.quarantine(id); !moved) return std::move(moved).error();
         return {};
       }});
}

void check_abandoned(const Patient& patient, ManagedKeyVault& vault, OAuthTokenStore& store,
                     const std::vector<VaultKeyInfo>& keys, Findings& findings) {
  const auto references = key_references(store);
  if (!references) return;  // the store's own checks say why
  const auto now = patient.clock->now();
  const auto ids = abandoned_keys(keys, *references, now);
  for (const auto& id : ids) {
    findings.add({Severity::note, "vault.key_abandoned", "key " + id,
                  "no session needs it: a login that was cut off left it"},
                 {"remove it", "removed", [&] { return vault.remove(id); }});
  }
}

}  // namespace

std::shared_ptr<ManagedKeyVault> check_vault(const Patient& patient, Findings& findings) {
  if (!has_vault(patient)) return nullptr;
  check_master_key(patient, findings);
  auto vault = open_vault(patient.options, patient.where, patient.database);
  if (!vault) {
    findings.add(vault.error(), std::string(kVault));
    return nullptr;
  }
  findings.add(Severity::ok, "vault.unlocked", std::string(kVault), "can be opened");
  return *std::move(vault);
}

void check_keys(const Patient& patient, ManagedKeyVault& vault, OAuthTokenStore* store,
                Findings& findings) {
  const auto keys = vault.list();
  if (!keys) {
    findings.add(keys.error(), std::string(kVault));
    return;
  }
  for (const auto& key : *keys) check_key(vault, key.id, findings);
  if (const auto aside = vault.quarantined(); aside && !aside->empty()) {
    findings.add(Severity::note, "quarantine.keys", std::string(kVault),
                 std::to_string(aside->size()) + " unreadable keys lie aside, the latest in " +
                     printable(aside->back().where, 300) + "; remove what you do not need");
  }
  // In a database the store's own sweep collects keys.
  if (store == nullptr || patient.database || has_other_stores(patient.where)) return;
  check_abandoned(patient, vault, *store, *keys, findings);
}

}  // namespace latchkey::cli
