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
import latchkey.core.encoding;
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
    case Finding::Kind::ok:
      return "ok";
    case Finding::Kind::note:
      return "note";
    case Finding::Kind::problem:
      break;
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
    findings.push_back(
        from("permissions", files->check_private(path), path.string() + " is yours alone"));
  }
  findings.push_back(from("file system", files->check_local(where.data),
                          "locks and renames keep their promises here"));
  findings.push_back(
      {Finding::Kind::note, "master key",
       "a key file (" + where.key.string() +
           "): protects a copied data folder, not against somebody who reads all your files"});
}

Result<void> try_lease(OAuthTokenStore& store) {
  SystemClock clock;
  auto lease =
      store.lease("latchkey doctor", {.deadline = clock.steady_now() + std::chrono::seconds{2}});
  if (!lease) return std::move(lease).error();
  return {};
}

// A session is of use only with its tokens and its key.
Finding check_session(const Workspace& workspace, const ListedSession& row) {
  const std::string check = "session " + printable(row.name, 200);
  if (row.error) return {Finding::Kind::problem, check, row.error->message};
  const auto loaded = workspace.store->load(row.summary->subject);
  if (!loaded) return {Finding::Kind::problem, check, loaded.error().message};
  if (!loaded->has_value()) return {Finding::Kind::note, check, "ended while this was looking"};
  const SessionSummary& session = **loaded;
  if (session.state == SessionState::dead) {
    return {Finding::Kind::note, check,
            "ended (" + printable(session.state_cause, 100) + "): log in again"};
  }
  if (session.state == SessionState::revoking) {
    return {Finding::Kind::note, check,
            "logged out here, not confirmed by the server yet: run latchkey logout again"};
  }
  if (session.dpop_jkt.empty()) return {Finding::Kind::ok, check, "active"};
  const auto key = workspace.vault->get(session.dpop_jkt);
  if (!key) return {Finding::Kind::problem, check, key.error().message};
  if (!key->has_value())
    return {Finding::Kind::problem, check, "its key is not in the vault: log in again"};
  return {Finding::Kind::ok, check, "active"};
}

void check_store(const Workspace& workspace, std::vector<Finding>& findings) {
  OAuthTokenStore& store = *workspace.store;
  findings.push_back(from("locks", try_lease(store), "a lease can be taken"));
  auto rows = all_sessions(store);
  if (!rows) {
    findings.push_back({Finding::Kind::problem, "sessions", rows.error().message});
    return;
  }
  for (const ListedSession& row : *rows) findings.push_back(check_session(workspace, row));
}

void check_surroundings(std::vector<Finding>& findings) {
  const auto receiver = LoopbackReceiver::open();
  findings.push_back(
      receiver
          ? Finding{Finding::Kind::ok, "loopback", "a port on 127.0.0.1 can be opened for logins"}
          : Finding{Finding::Kind::problem, "loopback", receiver.error().message});
  const bool display = environment_variable("DISPLAY") || environment_variable("WAYLAND_DISPLAY") ||
                       environment_variable("BROWSER");
  findings.push_back(
      display
          ? Finding{Finding::Kind::ok, "browser", "there is a display or a BROWSER"}
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
      json += std::string(json.empty() ? "" : ",") +
              "{\"result\":" + json_string(word(finding.kind)) +
              ",\"check\":" + json_string(finding.check) +
              ",\"text\":" + json_string(finding.text) + "}";
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
    check_store(*workspace, findings);
  } else {
    findings.push_back({Finding::Kind::problem, "vault and store", workspace.error().message});
  }
  check_surroundings(findings);
  return show_findings(findings, options.format);
}

}  // namespace latchkey::cli
