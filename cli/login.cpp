// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

namespace latchkey::cli {
namespace {

std::string name_of(const SessionSummary& session) {
  const std::string subject = printable(session.subject, 200);
  return session.handle.empty() ? subject : printable(session.handle, 200) + " (" + subject + ")";
}

LoginInteraction interaction_for(const Options& options, const LoginCommand& command) {
  const bool opens = !command.no_browser && !command.paste;
  LoginInteraction interaction;
  interaction.timeout = std::chrono::seconds{command.timeout_seconds};
  interaction.stop = options.stop;
  interaction.open_browser = opens;
  interaction.on_url = [opens](const Url& url) {
    say(opens ? "opening your browser to sign in; if nothing opens, visit this address yourself:"
              : "visit this address to sign in:");
    show(url.text());
  };
  interaction.on_browser_failure = [](const Error&) {
    say("no browser could be opened here: copy the address into one on this machine, or start "
        "again with --paste to "
        "use a browser on another");
  };
  interaction.on_stray = [] {
    say("a browser came back from another login (a stale tab?): ignored, still waiting for this "
        "one");
  };
  if (command.paste) {
    interaction.paste = [stop = options.stop] {
      say("then paste the address on which the browser ends (http://127.0.0.1/..., its page can't "
          "be reached: that is "
          "fine) and press Enter:");
      return read_line(stop);
    };
  } else {
    const auto wait = interaction.on_url;
    interaction.on_url = [wait, seconds = command.timeout_seconds](const Url& url) {
      wait(url);
      say("waiting for you to finish in the browser, at most " + std::to_string(seconds) +
          " s; Ctrl-C to give up");
    };
  }
  return interaction;
}

std::string token_text(const SessionSummary& session, TimePoint now) {
  if (session.state == SessionState::dead)
    return "ended (" + printable(session.state_cause, 100) + ")";
  if (session.state == SessionState::revoking) return "logged out, not confirmed by the server yet";
  if (!session.expires_at) return "token of unknown lifetime";
  return (session.is_expired(now) ? "token expired " : "token good, expires ") +
         relative_time(session.expires_at, now);
}

void print_session(const SessionSummary& session, Format format, const std::string& text) {
  print(format == Format::json ? session_json(session) : text);
}

}  // namespace

namespace {

// A record that can't be read stands in the way of a new one; the doctor can move it aside.
Error with_remedy(Error error) {
  if (error.code == ErrorCode::corrupt) {
    error.message +=
        " (latchkey doctor says more; latchkey doctor --fix moves an unreadable session aside, "
        "and then you can log in again)";
  } else if (error.code == ErrorCode::wrong_key || error.code == ErrorCode::schema_too_new) {
    error.message += " (latchkey doctor says more)";
  }
  return error;
}

}  // namespace

Exit run_login(const Options& options, const LoginCommand& command) {
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  auto client = make_client(*workspace, options, loopback_client(command.scope));
  if (!client) return report(client.error(), options.format);
  const auto session = client->login(command.who, interaction_for(options, command));
  if (!session) return report(with_remedy(session.error()), options.format);
  print_session(*session, options.format, "logged in as " + name_of(*session));
  return Exit::ok;
}

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
  say("this session has ended (" + printable(summary->state_cause, 100) +
      "): run latchkey login to start a new one");
  return Exit::login_needed;
}

Exit run_refresh(const Options& options) {
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  const std::string& subject = account->summary.subject;
  auto stored = account->client.keeper().context().store->load(subject);
  if (!stored) return report(stored.error(), options.format);
  FreshOptions fresh{.stop = options.stop};
  if (stored->has_value()) fresh.rejected = token_fingerprint((*stored)->access_token);
  auto session = account->client.fresh(subject, fresh);
  if (!session) return report(*account, session.error(), options.format);
  print_session(**session, options.format,
                "refreshed " + name_of(**session) + ", token expires " +
                    relative_time((*session)->expires_at, SystemClock{}.now()));
  return Exit::ok;
}

namespace {

Exit logout_one(const Options& options, const Workspace& workspace, const SessionSummary& session,
                const LogoutCommand& command) {
  auto client = make_client(workspace, options, loopback_client_of(session.client_id));
  if (!client) return report(client.error(), options.format);
  const auto outcome = client->logout(
      session.subject,
      {.stop = options.stop, .forget = command.forget ? Forget::now : Forget::when_revoked});
  if (!outcome) return report(outcome.error(), options.format);
  std::string word;
  switch (*outcome) {
    case LogoutOutcome::revoked:
      word = "revoked";
      break;
    case LogoutOutcome::not_logged_in:
      word = "not_logged_in";
      break;
    case LogoutOutcome::pending:
      word = "pending";
      break;
    case LogoutOutcome::forgotten:
      word = "forgotten";
      break;
  }
  if (options.format == Format::json) {
    print("{\"subject\":" + json_string(session.subject) + ",\"outcome\":\"" + word + "\"}");
  } else {
    print("logged out " + name_of(session) +
          (*outcome == LogoutOutcome::revoked ? ", confirmed by the server" : ""));
  }
  if (*outcome == LogoutOutcome::pending) {
    say("the server could not be told yet: run latchkey logout again later, or logout --forget to "
        "erase what is needed "
        "for that");
    return Exit::failed;
  }
  if (*outcome == LogoutOutcome::forgotten) {
    say("the server was not told: what was issued stays valid there until it expires");
  }
  return Exit::ok;
}

}  // namespace

Exit run_logout(const Options& options, const LogoutCommand& command) {
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  if (!command.all) {
    auto session = choose_account(*workspace->store, options, Choose::also_revoking);
    return session ? logout_one(options, *workspace, *session, command)
                   : report(session.error(), options.format);
  }
  auto rows = all_sessions(*workspace->store);
  if (!rows) return report(rows.error(), options.format);
  if (rows->empty()) say("nobody is logged in here");
  Exit worst = Exit::ok;
  for (const ListedSession& row : *rows) {
    const Exit exit = row.summary ? logout_one(options, *workspace, *row.summary, command)
                                  : report(*row.error, options.format);
    if (exit != Exit::ok) worst = exit;
  }
  return worst;
}

}  // namespace latchkey::cli
