// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.database;

// Looks at everything that it can, and shows what it found.

namespace latchkey::cli {
namespace {

// Servers that are asked for the time.
constexpr std::size_t kMaxServers = 3;

std::vector<std::string> servers_of(const std::vector<SessionSummary>& sessions,
                                    const Options& options) {
  std::vector<std::string> urls;
  for (const auto& session : sessions) {
    if (urls.size() < kMaxServers && !session.issuer.empty() &&
        std::find(urls.begin(), urls.end(), session.issuer) == urls.end()) {
      urls.push_back(session.issuer);
    }
  }
  if (urls.empty()) urls.push_back(options.plc_url);
  return urls;
}

void ask_for_the_time(const std::vector<SessionSummary>& sessions, const Options& options,
                      Findings& findings) {
  auto transport = strangers_transport(options);
  if (!transport) {
    findings.add(transport.error(), "clock");
    return;
  }
  check_clock(**transport, servers_of(sessions, options), SystemClock{}, findings);
}

std::string json_of(const Finding& finding) {
  return "{\"id\":" + json_string(finding.id) +
         ",\"severity\":" + json_string(to_string(finding.severity)) +
         ",\"about\":" + json_string(finding.about) + ",\"text\":" + json_string(finding.text) +
         ",\"fixed\":" + (finding.fixed ? "true" : "false") + "}";
}

void show(const std::vector<Finding>& findings, Format format) {
  std::string json;
  for (const Finding& finding : findings) {
    if (format == Format::json) {
      json += (json.empty() ? "" : ",") + json_of(finding);
    } else {
      print(std::string(to_string(finding.severity)) + "\t" + finding.id + "\t" + finding.about +
            ": " + finding.text);
    }
  }
  if (format == Format::json) print("[" + json + "]");
}

// Makes no tables.
void reach_database(Patient& patient, Findings& findings) {
  if (patient.store.kind != StoreName::Kind::postgres) return;
  auto database = open_database(patient.store, {.migrate = false});
  if (!database) {
    findings.add(database.error(), "database");
    return;
  }
  findings.add(Severity::ok, "database.open", "database", "can be reached, and has our tables");
  patient.database = *std::move(database);
}

// The sessions that can be read.
std::vector<SessionSummary> look_at_data(const Patient& patient, const DoctorCommand& command,
                                         Findings& findings) {
  if (patient.store.kind == StoreName::Kind::postgres && !patient.database) {
    check_files(patient, findings);
    return {};
  }
  if (!has_vault(patient) && !has_store(patient)) {
    findings.add(Severity::note, "doctor.nothing_here", "data",
                 "nothing here yet: run latchkey login HANDLE");
    return {};
  }
  check_files(patient, findings);
  const auto vault = check_vault(patient, findings);
  const auto store = check_store(patient, vault.get(), findings);
  std::vector<SessionSummary> sessions;
  if (store) {
    quarantine_named(*store, command.quarantine, findings);
    sessions = check_records(patient, *store, vault.get(), findings);
  }
  check_profiles(patient, sessions, findings);
  if (vault) check_keys(patient, *vault, store.get(), findings);
  return sessions;
}

}  // namespace

Exit run_doctor(const Options& options, const DoctorCommand& command) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  const auto store = store_name(options, *where);
  if (!store) return report(store.error(), options.format);
  Findings findings(command.fix);
  Patient patient{.options = options, .where = *where, .store = *store};
  reach_database(patient, findings);
  const auto sessions = look_at_data(patient, command, findings);
  check_surroundings(findings);
  ask_for_the_time(sessions, options, findings);
  show(findings.all(), options.format);
  return findings.healthy() ? Exit::ok : Exit::failed;
}

}  // namespace latchkey::cli
