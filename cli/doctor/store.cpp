// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.vault;

// The store: its records, and what lies beside and aside.

namespace latchkey::cli {
namespace {

constexpr std::string_view kStore = "store";

// Stands in for a vault that can't be opened: what needs no key is looked at all the same.
class ClosedSealer final : public Sealer {
 public:
  Result<Bytes> seal(std::span<const unsigned char>, std::string_view) override { return closed(); }
  Result<SecretBytes> open(std::span<const unsigned char>, std::string_view) override {
    return closed();
  }
  bool is_current(std::span<const unsigned char>) override { return false; }

 private:
  static Error closed() {
    return make_error(ErrorCode::locked, "vault.closed",
                      "cannot open a sealed box: the vault could not be opened; mend that first");
  }
};

std::string name_of(std::string_view session) {
  return "session " + printable(session, 200);
}

// Only what is corrupt: what another vault or a newer program can read is not ours to move.
void add_unreadable(const Error& error, const std::string& name, OAuthTokenStore& store,
                    Findings& findings) {
  if (error.code == ErrorCode::wrong_key || error.code == ErrorCode::schema_too_new) {
    findings.add(Severity::problem, error.detail, name_of(name),
                 error.message + "; if that is lost, latchkey doctor --quarantine '" +
                     printable(name, 200) + "' moves the record aside, and you can log in again");
    return;
  }
  if (error.code != ErrorCode::corrupt) {
    findings.add(error, name_of(name));
    return;
  }
  findings.add({Severity::problem, error.detail, name_of(name), error.message},
               {"move it aside, so that you can log in again",
                "moved aside, nothing was deleted (see the quarantine below): log in again",
                [&]() -> Result<void> {
                  if (auto moved = store.quarantine(name); !moved) return std::move(moved).error();
                  return {};
                }});
}

void add_state(const SessionSummary& session, Findings& findings) {
  const std::string about = name_of(session.subject);
  switch (session.state) {
    case SessionState::active:
      findings.add(Severity::ok, "session.active", about, "active");
      break;
    case SessionState::dead:
      if (is_being_moved(session)) {
        findings.add(Severity::note, std::string(kMovingCause), about,
                     "on its way to another store: if that was cut off, run latchkey store migrate "
                     "again");
        break;
      }
      findings.add(Severity::note, "session.dead", about,
                   "ended (" + printable(session.state_cause, 100) + "): log in again");
      break;
    case SessionState::revoking:
      findings.add(Severity::note, "session.revoking", about,
                   "logged out here, not confirmed by the server yet: run latchkey logout again");
      break;
  }
}

// A session is of use only with its tokens and its key.
void check_session(const SessionSummary& listed, OAuthTokenStore& store, KeyVault* vault,
                   Findings& findings) {
  if (vault == nullptr) {
    add_state(listed, findings);
    return;
  }
  const auto loaded = store.load(listed.subject);
  if (!loaded) {
    add_unreadable(loaded.error(), listed.subject, store, findings);
    return;
  }
  if (!loaded->has_value()) {
    findings.add(Severity::note, "session.ended", name_of(listed.subject),
                 "ended while this was looking");
    return;
  }
  const SessionSummary& session = **loaded;
  if (session.state == SessionState::active && !session.dpop_jkt.empty()) {
    const auto key = vault->get(session.dpop_jkt);
    if (!key) {
      findings.add(key.error(), name_of(session.subject));
      return;
    }
    if (!key->has_value()) {
      findings.add(Severity::problem, "session.key_missing", name_of(session.subject),
                   "its key is not in the vault: log in again");
      return;
    }
  }
  add_state(session, findings);
}

// A claim counts only while its revision is the stored record's.
void check_claim(const ListedClaim& row, const std::vector<SessionSummary>& sessions,
                 Findings& findings) {
  const std::string about = "refresh of " + printable(row.name, 200);
  if (row.error) {
    findings.add(Severity::note, row.error->detail, about,
                 row.error->message + "; the next refresh replaces it");
    return;
  }
  const auto owner = std::find_if(
      sessions.begin(), sessions.end(),
      [&](const SessionSummary& session) { return session.subject == row.claim->subject; });
  if (owner != sessions.end() && owner->revision == row.claim->revision) {
    findings.add(Severity::note, "claim.open", about,
                 "under way, or interrupted: process " + std::to_string(row.claim->pid) + " on " +
                     printable(row.claim->host, 100) + "; the next use of the session finishes it");
  } else {
    findings.add(Severity::note, "claim.orphaned", about,
                 "an old claim that counts no longer; the next refresh replaces it");
  }
}

void check_pending(const Patient& patient, const ListedPending& row, OAuthTokenStore& store,
                   Findings& findings) {
  const std::string about = "pending login";
  if (row.error) {
    findings.add(*row.error, about + ' ' + printable(row.name, 200));
    return;
  }
  const auto now = patient.clock->now();
  const std::string text = relative_time(row.pending->expires_at, now);
  if (now < row.pending->expires_at) {
    findings.add(Severity::note, "pending.open", about, "waits for its browser, expires " + text);
    return;
  }
  findings.add({Severity::note, "pending.expired", about, "expired " + text},
               {"remove it", "removed", [&]() -> Result<void> {
                  if (auto taken = store.take_pending(row.pending->key, now); !taken)
                    return std::move(taken).error();
                  return {};
                }});
}

void check_aside(OAuthTokenStore& store, Findings& findings) {
  const auto aside = store.quarantined();
  if (!aside) {
    findings.add(aside.error(), "quarantine");
    return;
  }
  for (const auto& entry : *aside) {
    findings.add(Severity::note, "quarantine.record", printable(entry.name, 200),
                 "moved aside " + format_rfc3339(entry.at) + " (" + printable(entry.why, 100) +
                     "), lies in " + printable(entry.where, 300) +
                     "; restore the session from a backup, or remove it when you do not need it: "
                     "abandoned keys are kept until then");
  }
}

}  // namespace

std::shared_ptr<OAuthTokenStore> check_store(const Patient& patient, KeyVault* vault,
                                             Findings& findings) {
  if (!has_store(patient)) return nullptr;
  auto store = open_store(patient.store, patient.database,
                          vault != nullptr ? vault->sealer() : std::make_shared<ClosedSealer>());
  if (!store) {
    findings.add(store.error(), std::string(kStore));
    return nullptr;
  }
  findings.add(Severity::ok, "store.open", std::string(kStore), "can be opened");
  return *std::move(store);
}

void quarantine_named(OAuthTokenStore& store, const std::vector<std::string>& names,
                      Findings& findings) {
  for (const auto& name : names) {
    const auto moved = store.quarantine(name);
    if (moved) {
      findings.add(Severity::note, "quarantine.moved", name_of(name),
                   "moved aside (" + moved->why + "), nothing was deleted: log in again");
    } else {
      findings.add(moved.error(), name_of(name));
    }
  }
}

std::vector<SessionSummary> check_records(const Patient& patient, OAuthTokenStore& store,
                                          KeyVault* vault, Findings& findings) {
  std::vector<SessionSummary> sessions;
  if (auto rows = all_sessions(store)) {
    for (ListedSession& row : *rows) {
      if (row.error) add_unreadable(*row.error, row.name, store, findings);
      if (!row.summary) continue;
      check_session(*row.summary, store, vault, findings);
      sessions.push_back(*std::move(row.summary));
    }
  } else {
    findings.add(rows.error(), std::string(kStore));
  }
  if (auto side = store.side_records()) {
    for (const auto& claim : side->claims) check_claim(claim, sessions, findings);
    for (const auto& pending : side->pending) check_pending(patient, pending, store, findings);
  } else {
    findings.add(side.error(), std::string(kStore));
  }
  check_aside(store, findings);
  return sessions;
}

}  // namespace latchkey::cli
