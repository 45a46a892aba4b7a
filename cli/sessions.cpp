// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.account;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;

// Who is logged in, and for whom commands act.

namespace latchkey::cli {
namespace {

void print_session(const SessionSummary& session, Format format, const std::string& text) {
  print(format == Format::json ? session_json(session) : text);
}

// A profile that is not logged in can be chosen too: the login may come later.
Result<std::string> subject_of(const Options& options, const std::string& name) {
  const auto where = places(options);
  if (!where) return where.error();
  if (check_profile_name(name)) {
    const auto profile = ProfileFolder(where->config).load(name);
    if (!profile) return profile.error();
    if (*profile) return name;
  }
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  Options named = options;
  named.profile.clear();
  named.account = name;
  auto chosen = choose_account(*workspace->store, named);
  if (!chosen) return std::move(chosen).error();
  return chosen->subject;
}

Exit tell_current(const ProfileFolder& profiles, Format format) {
  const auto current = profiles.current();
  if (!current) return report(current.error(), format);
  if (format == Format::json) {
    print("{\"default\":" + (*current ? json_string(**current) : std::string("null")) + "}");
  } else if (*current) {
    print(**current);
  } else {
    say("no default was chosen: commands act for the only account there is");
  }
  return Exit::ok;
}

}  // namespace

Exit run_sessions(const Options& options) {
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  auto rows = all_sessions(*workspace->store);
  if (!rows) return report(rows.error(), options.format);
  const TimePoint now = SystemClock{}.now();
  std::string json;
  Exit exit = Exit::ok;
  for (const ListedSession& row : *rows) {
    if (row.error) exit = Exit::failed;
    if (options.format == Format::json) {
      json += (json.empty() ? "" : ",") +
              (row.summary ? session_json(*row.summary) : error_json(*row.error));
    } else if (row.error) {
      say("unreadable session " + printable(row.name, 200) + ": " + row.error->message);
    } else {
      const SessionSummary& session = *row.summary;
      print(std::string(to_string(session.state)) + "\t" + name_of(session) + "\t" +
            token_text(session, now));
    }
  }
  if (options.format == Format::json) print("[" + json + "]");
  if (rows->empty() && options.format == Format::text)
    say("nobody is logged in here: run latchkey login HANDLE");
  return exit;
}

Exit run_whoami(const Options& options) {
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  auto summary = choose_account(*workspace->store, options);
  if (!summary) return report(summary.error(), options.format);
  // Read with the vault's key, so that what is shown is what was sealed.
  auto session = workspace->store->load(summary->subject);
  if (!session) return report(session.error(), options.format);
  if (session->has_value()) summary = static_cast<const SessionSummary&>(**session);
  print_session(*summary, options.format, name_of(*summary));
  if (summary->state == SessionState::active) return Exit::ok;
  if (is_being_moved(*summary)) {
    say("this session is on its way to another store: use that one, or run latchkey store migrate "
        "again if it was cut off");
    return Exit::locked;
  }
  say("this session has ended (" + printable(summary->state_cause, 100) +
      "): run latchkey login to start a new one");
  return Exit::login_needed;
}

Exit run_refresh(const Options& options) {
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  auto stored = account->keeper().context().store->load(account->subject());
  if (!stored) return report(stored.error(), options.format);
  FreshOptions fresh{.stop = options.stop};
  if (stored->has_value()) fresh.rejected = token_fingerprint((*stored)->access_token);
  auto session = account->keeper().fresh(account->subject(), fresh);
  if (!session) return report(*account, session.error(), options.format);
  print_session(**session, options.format,
                "refreshed " + name_of(**session) + ", token expires " +
                    relative_time((*session)->expires_at, SystemClock{}.now()));
  return Exit::ok;
}

Exit run_use(const Options& options, const UseCommand& command) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  const ProfileFolder profiles(where->config);
  if (command.none) {
    const auto cleared = profiles.clear_current();
    return cleared ? Exit::ok : report(cleared.error(), options.format);
  }
  if (command.name.empty()) return tell_current(profiles, options.format);
  const auto subject = subject_of(options, command.name);
  if (!subject) return report(subject.error(), options.format);
  if (const auto set = profiles.set_current(*subject); !set)
    return report(set.error(), options.format);
  return tell_current(profiles, options.format);
}

}  // namespace latchkey::cli
