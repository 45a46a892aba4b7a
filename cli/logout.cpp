// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.account;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.client;
import latchkey.cli.profile.folder;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

// Ending sessions here and at the server, and with them what was configured for them.

namespace latchkey::cli {
namespace {

std::string_view word_of(LogoutOutcome outcome) {
  switch (outcome) {
    case LogoutOutcome::revoked:
      return "revoked";
    case LogoutOutcome::not_logged_in:
      return "not_logged_in";
    case LogoutOutcome::pending:
      return "pending";
    case LogoutOutcome::forgotten:
      break;
  }
  return "forgotten";
}

// The profile's file, and what `latchkey use` says of it. The file is kept as long as a session of
// its name is there, also one kept beside until the server knows of its end: it names the secret
// that this needs.
Result<void> scrub(const Options& options, OAuthTokenStore& store, const std::string& subject) {
  const auto where = places(options);
  if (!where) return where.error();
  const ProfileFolder profiles(where->config);
  const std::string name = original_subject(subject);
  if (check_profile_name(name)) {
    const auto left = sessions_of_profile(store, name);
    if (!left) return left.error();
    if (left->empty()) {
      if (auto removed = profiles.remove(name); !removed) return removed;
    }
  }
  const auto current = profiles.current();
  return current && *current == subject ? profiles.clear_current() : Result<void>();
}

Exit tell(const Options& options, const SessionSummary& session, LogoutOutcome outcome) {
  if (options.format == Format::json) {
    print("{\"subject\":" + json_string(session.subject) + ",\"outcome\":\"" +
          std::string(word_of(outcome)) + "\"}");
  } else {
    print("logged out " + name_of(session) +
          (outcome == LogoutOutcome::revoked ? ", confirmed by the server" : ""));
  }
  if (outcome == LogoutOutcome::pending) {
    say("the server could not be told yet: run latchkey logout again later, or logout --forget to "
        "erase what is needed for that");
    return Exit::failed;
  }
  if (outcome == LogoutOutcome::forgotten) {
    say(session.revocation_endpoint.empty()
            ? "the provider can't be told: end what was issued there, if it must not be used "
              "any more"
            : "the server was not told: what was issued stays valid there until it expires");
  }
  return Exit::ok;
}

Exit logout_one(const Options& options, const Workspace& workspace, const SessionSummary& session,
                const LogoutCommand& command) {
  const auto account =
      Account::of(workspace, options, session, Account::BrokenFile::counts_as_absent);
  if (!account) return report(account.error(), options.format);
  const auto outcome = account->keeper().logout(
      session.subject,
      {.stop = options.stop, .forget = command.forget ? Forget::now : Forget::when_revoked});
  if (!outcome) return report(outcome.error(), options.format);
  if (*outcome != LogoutOutcome::pending) {
    if (const auto scrubbed = scrub(options, *workspace.store, session.subject); !scrubbed)
      return report(scrubbed.error(), options.format);
  }
  return tell(options, session, *outcome);
}

std::string said_of(const SessionSummary& session, const Result<LogoutOutcome>& outcome) {
  const std::string name = "the earlier logout of " + name_of(session);
  if (!outcome) return name + " can't be finished: " + outcome.error().message;
  switch (*outcome) {
    case LogoutOutcome::revoked:
    case LogoutOutcome::not_logged_in:
      return name + " is confirmed by its server now";
    case LogoutOutcome::pending:
      return name + " is not confirmed yet: its server could not be told";
    case LogoutOutcome::forgotten:
      break;
  }
  return name + " is given up: its server could not be told, and by now there is nothing to end";
}

// After so long none is begun any more; one takes a few seconds at most.
constexpr std::chrono::seconds kForEarlierLogouts{15};

// Servers that could not be told of earlier logouts are told now, if they can be. This changes
// nothing of how the command itself ends.
void finish_earlier(const Options& options, const Workspace& workspace,
                    std::string_view but_not_subject) {
  const auto rows = all_sessions(*workspace.store);
  if (!rows) return;
  const SystemClock clock;
  const auto give_up = clock.steady_now() + kForEarlierLogouts;
  for (const ListedSession& row : *rows) {
    if (clock.steady_now() >= give_up) return;
    if (!row.summary || row.summary->state != SessionState::revoking ||
        row.summary->subject == but_not_subject || options.stop.stop_requested())
      continue;
    const auto account =
        Account::of(workspace, options, *row.summary, Account::BrokenFile::counts_as_absent);
    if (!account) continue;
    const auto outcome = account->keeper().logout(row.summary->subject, {.stop = options.stop});
    if (outcome && *outcome != LogoutOutcome::pending)
      static_cast<void>(scrub(options, *workspace.store, row.summary->subject).has_value());
    say(said_of(*row.summary, outcome));
  }
}

// A profile that was configured and has no session: there is only its file to remove.
std::optional<std::string> file_alone(const Options& options, const Error& error) {
  if (error.detail != "cli.not_logged_in") return std::nullopt;
  const auto where = places(options);
  if (!options.profile.empty() || !options.account.empty() || !where)
    return options.profile.empty() ? options.account : options.profile;
  return ProfileFolder(where->config).current().value_or(std::nullopt);
}

Exit logout_chosen(const Options& options, const Workspace& workspace,
                   const LogoutCommand& command) {
  auto session = choose_account(*workspace.store, options, Choose::also_revoking);
  if (session) {
    const Exit exit = logout_one(options, workspace, *session, command);
    finish_earlier(options, workspace, session->subject);
    return exit;
  }
  const auto name = file_alone(options, session.error());
  if (!name) return report(session.error(), options.format);
  if (const auto scrubbed = scrub(options, *workspace.store, *name); !scrubbed)
    return report(scrubbed.error(), options.format);
  SessionSummary configured;
  configured.subject = *name;
  return tell(options, configured, LogoutOutcome::not_logged_in);
}

// After all sessions, the profiles that have none.
Exit scrub_all(const Options& options, const Workspace& workspace) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  const auto profiles = ProfileFolder(where->config).list();
  if (!profiles) return report(profiles.error(), options.format);
  for (const ListedProfile& profile : *profiles) {
    if (const auto scrubbed = scrub(options, *workspace.store, profile.name); !scrubbed)
      return report(scrubbed.error(), options.format);
  }
  return Exit::ok;
}

}  // namespace

Exit run_logout(const Options& options, const LogoutCommand& command) {
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  if (!command.all) return logout_chosen(options, *workspace, command);
  auto rows = all_sessions(*workspace->store);
  if (!rows) return report(rows.error(), options.format);
  if (rows->empty()) say("nobody is logged in here");
  Exit worst = Exit::ok;
  for (const ListedSession& row : *rows) {
    const Exit exit = row.summary ? logout_one(options, *workspace, *row.summary, command)
                                  : report(*row.error, options.format);
    if (exit != Exit::ok) worst = exit;
  }
  return worst == Exit::ok ? scrub_all(options, *workspace) : worst;
}

}  // namespace latchkey::cli
