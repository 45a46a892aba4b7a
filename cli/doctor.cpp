// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.os.process;
import latchkey.core.time;
import latchkey.loopback.receiver;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey::cli {
namespace {

// What doctor finds: each is fine, worth knowing, or broken with its remedy in the text.
struct Finding {
  enum class Kind { ok, note, problem } kind;
  std::string check;
  std::string text;
};

std::string_view word(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::ok: return "ok";
    case Finding::Kind::note: return "note";
    case Finding::Kind::problem: break;
  }
  return "problem";
}

Finding from(std::string check, const Result<void>& result, std::string fine) {
  if (result) return {Finding::Kind::ok, std::move(check), std::move(fine)};
  return {Finding::Kind::problem, std::move(check), result.error().message};
}

void check_places(const Places& where, std::vector<Finding>& findings) {
  const auto files = posix_file_system();
  for (const auto& path : {where.data, where.vault, where.key}) {
    findings.push_back(from("permissions", files->check_private(path), path.string() + " is yours alone"));
  }
  findings.push_back(from("file system", files->check_local(where.data), "locks and renames keep their promises here"));
  findings.push_back({Finding::Kind::note, "master key",
                      "a key file (" + where.key.string() +
                          "): protects a copied data folder, not against somebody who reads all your files"});
}

Result<void> try_lease(OAuthTokenStore& store) {
  SystemClock clock;
  auto lease = store.lease("latchkey doctor", {.deadline = clock.steady_now() + std::chrono::seconds{2}});
  if (!lease) return std::move(lease).error();
  return {};
}

void check_store(OAuthTokenStore& store, std::vector<Finding>& findings) {
  findings.push_back(from("locks", try_lease(store), "a lease can be taken"));
  auto rows = all_sessions(store);
  if (!rows) {
    findings.push_back({Finding::Kind::problem, "sessions", rows.error().message});
    return;
  }
  for (const ListedSession& row : *rows) {
    if (row.error) {
      findings.push_back({Finding::Kind::problem, "session " + row.name, row.error->message});
      continue;
    }
    const auto loaded = store.load(row.summary->subject);
    if (!loaded) {
      findings.push_back({Finding::Kind::problem, "session " + row.name, loaded.error().message});
    } else if (row.summary->state == SessionState::revoking) {
      findings.push_back({Finding::Kind::note, "session " + row.name,
                          "logged out here, not confirmed by the server yet: run latchkey logout again"});
    } else {
      findings.push_back({Finding::Kind::ok, "session " + row.name, std::string(to_string(row.summary->state))});
    }
  }
}

void check_surroundings(std::vector<Finding>& findings) {
  const auto receiver = LoopbackReceiver::open();
  findings.push_back(receiver ? Finding{Finding::Kind::ok, "loopback", "a port on 127.0.0.1 can be opened for logins"}
                              : Finding{Finding::Kind::problem, "loopback", receiver.error().message});
  const bool display = environment_variable("DISPLAY") || environment_variable("WAYLAND_DISPLAY") ||
                       environment_variable("BROWSER");
  findings.push_back(display ? Finding{Finding::Kind::ok, "browser", "there is a display or a BROWSER"}
                             : Finding{Finding::Kind::note, "browser",
                                       "no display: log in with --no-browser (a browser on this machine) or --paste "
                                       "(one on another)"});
}

Exit show_findings(const std::vector<Finding>& findings, Format format) {
  bool healthy = true;
  std::string json;
  for (const Finding& finding : findings) {
    healthy = healthy && finding.kind != Finding::Kind::problem;
    if (format == Format::json) {
      json += std::string(json.empty() ? "" : ",") + "{\"result\":" + json_string(word(finding.kind)) +
              ",\"check\":" + json_string(finding.check) + ",\"text\":" + json_string(finding.text) + "}";
    } else {
      print(std::string(word(finding.kind)) + "\t" + finding.check + ": " + finding.text);
    }
  }
  if (format == Format::json) print("[" + json + "]");
  return healthy ? Exit::ok : Exit::failed;
}

}  // namespace

Exit run_doctor(const Options& options) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  std::vector<Finding> findings;
  auto workspace = open_workspace(options);
  check_places(*where, findings);
  if (workspace) {
    findings.push_back({Finding::Kind::ok, "vault", "unlocked"});
    check_store(*workspace->store, findings);
  } else {
    findings.push_back({Finding::Kind::problem, "vault and store", workspace.error().message});
  }
  check_surroundings(findings);
  return show_findings(findings, options.format);
}

}  // namespace latchkey::cli
