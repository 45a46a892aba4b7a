// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.session;

// The files of profiles: what is wrong in them, and what they name that is not there.

namespace latchkey::cli {
namespace {

// A command is not run: a password manager would ask the person for something.
void check_secret(const Patient& patient, const ListedProfile& listed, Findings& findings) {
  const std::string& file = listed.profile->secret.file;
  if (file.empty()) return;
  const auto there = patient.files->modified_at(file);
  if (!there || !*there) {
    findings.add(Severity::problem, "profile.secret_file", listed.name,
                 "its client secret can't be read: there is no file " + printable(file, 300) +
                     "; put it back, or log in again with --client-secret-file");
  } else if (const auto checked = patient.files->check_private(file); !checked) {
    findings.add({Severity::problem, checked.error().detail, listed.name, checked.error().message},
                 {"do that", "done", [file] { return make_private(file); }});
  }
}

void check_current(const ProfileFolder& folder, const std::vector<ListedProfile>& profiles,
                   const std::vector<SessionSummary>& sessions, Findings& findings) {
  const auto current = folder.current();
  if (!current) {
    findings.add(current.error(), "default account");
    return;
  }
  if (!*current) return;
  const auto is_it = [&](const std::string& name) { return name == **current; };
  if (std::any_of(profiles.begin(), profiles.end(), [&](const auto& p) { return is_it(p.name); }) ||
      std::any_of(sessions.begin(), sessions.end(),
                  [&](const auto& s) { return is_it(s.subject); }))
    return;
  findings.add(Severity::note, "current.gone", "default account",
               printable(**current, 100) +
                   " is neither logged in nor a profile: choose another with latchkey use NAME, or "
                   "none with latchkey use --none");
}

}  // namespace

void check_profiles(const Patient& patient, const std::vector<SessionSummary>& sessions,
                    Findings& findings) {
  const ProfileFolder folder(patient.where.config, patient.files);
  const auto profiles = folder.list();
  if (!profiles) {
    findings.add(profiles.error(), "profiles");
    return;
  }
  for (const ListedProfile& listed : *profiles) {
    if (listed.error) {
      // Permissions are told of by the check of all files.
      if (listed.error->code != ErrorCode::insecure_location)
        findings.add(*listed.error, "profile " + listed.name);
      continue;
    }
    check_secret(patient, listed, findings);
    const bool logged_in =
        std::any_of(sessions.begin(), sessions.end(),
                    [&](const SessionSummary& one) { return one.subject == listed.name; });
    findings.add(logged_in ? Severity::ok : Severity::note,
                 logged_in ? "profile.logged_in" : "profile.not_logged_in",
                 "profile " + listed.name,
                 logged_in ? "its file is in order"
                           : "not logged in: run latchkey login --profile " + listed.name);
  }
  check_current(folder, *profiles, sessions, findings);
}

}  // namespace latchkey::cli
