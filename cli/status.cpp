// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.account;
import latchkey.cli.live_check;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.cli.report;
import latchkey.cli.standing;
import latchkey.cli.vault_key;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault.master_key;

// How everything stands, in one list: accounts, profiles, keys, and what can't be read.

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Row {
  std::string name;
  SessionSummary session{};  // without a session: its subject alone
  std::optional<Standing> standing{};
  std::optional<Error> error{};           // instead of a standing
  std::optional<Result<void>> checked{};  // with --check
};

struct Overview {
  std::vector<Row> rows;
  std::string current;  // subject; empty: none was chosen
  MasterKey::Kind kind{};
};

Row row_of(OAuthTokenStore& store, ListedSession listed, TimePoint now) {
  Row row{.name = printable(listed.name, 200)};
  if (listed.error) {
    row.error = std::move(listed.error);
    return row;
  }
  // Read with the vault's key: what is told is what was sealed.
  auto session = store.load(listed.summary->subject);
  row.session = *std::move(listed.summary);
  row.name = name_of(row.session);
  if (!session) {
    row.error = std::move(session).error();
  } else if (*session) {
    row.standing = standing_of(**session, now);
  }
  return row;
}

Result<Overview> look(const Workspace& workspace, const Places& where, TimePoint now) {
  const ProfileFolder profiles(where.config);
  auto listed = all_sessions(*workspace.store);
  if (!listed) return std::move(listed).error();
  auto configured = profiles.list();
  if (!configured) return std::move(configured).error();
  auto current = profiles.current();
  if (!current) return std::move(current).error();
  const auto kind = vault_kind(where, workspace.database);
  if (!kind) return kind.error();
  Overview overview{.rows = {},
                    .current = (*current).value_or(""),
                    .kind = (*kind).value_or(MasterKey::Kind::key_file)};
  for (ListedSession& session : *listed) {
    Row row = row_of(*workspace.store, std::move(session), now);
    if (row.standing || row.error) overview.rows.push_back(std::move(row));
  }
  for (ListedProfile& profile : *configured) {
    const auto has_session = [&](const Row& row) { return row.session.subject == profile.name; };
    if (profile.error) {
      overview.rows.push_back({.name = profile.name, .error = std::move(profile.error)});
    } else if (std::none_of(overview.rows.begin(), overview.rows.end(), has_session)) {
      overview.rows.push_back(
          {.name = profile.name, .standing = standing_of(profile.name, *profile.profile)});
    }
  }
  return overview;
}

void check_all(Overview& overview, const Workspace& workspace, const Options& options) {
  LiveCheck check(workspace, options, std::chrono::seconds{10});
  for (Row& row : overview.rows) {
    if (row.standing && row.standing->state == StandingState::ready)
      row.checked = check(row.session);
  }
}

Json time_json(const std::optional<TimePoint>& time) {
  return time ? Json(format_rfc3339(*time)) : Json(nullptr);
}

Json json_of(const Row& row, const std::string& current) {
  if (row.error) {
    Json json = Json::parse(error_json(*row.error));
    json["name"] = row.name;
    return json;
  }
  const Standing& standing = *row.standing;
  Json json{{"subject", standing.subject},
            {"kind", to_string(standing.kind)},
            {"default", standing.subject == current},
            {"state", to_string(standing.state)},
            {"text", standing.text},
            {"handle", row.session.handle},
            {"issuer", row.session.issuer},
            {"scope", row.session.scope},
            {"expires_at", time_json(row.session.expires_at)},
            {"login_needed_at", time_json(standing.login_needed_at)},
            {"renewable", standing.renewable},
            {"bound", standing.bound}};
  if (row.checked) {
    json["check"] = *row.checked ? Json{{"ok", true}}
                                 : Json{{"ok", false},
                                        {"detail", row.checked->error().detail},
                                        {"message", row.checked->error().message}};
  }
  return json;
}

std::string line_of(const Row& row, const std::string& current) {
  if (row.error) return "unreadable\t" + row.name + "\t" + row.error->message;
  const Standing& standing = *row.standing;
  std::string line(to_string(standing.state));
  line +=
      "\t" + row.name + (standing.subject == current ? " [default]" : "") + "\t" + standing.text;
  const bool has_token = standing.state == StandingState::ready;
  if (has_token)
    line += standing.bound ? "; bound to its key" : "; whoever has the token can use it";
  if (row.checked)
    line += *row.checked ? "; checked" : "; check failed: " + row.checked->error().message;
  return line;
}

void print_overview(const Overview& overview, Format format) {
  if (format == Format::text) {
    for (const Row& row : overview.rows) print(line_of(row, overview.current));
    if (overview.rows.empty())
      say("nobody is logged in here: run latchkey login HANDLE, or latchkey login --issuer URL "
          "--client-id ID");
    say("tokens are sealed; the vault's master key is " + std::string(to_string(overview.kind)) +
        ": this " + std::string(protection_of(overview.kind)));
    return;
  }
  Json json{{"sessions", Json::array()},
            {"vault",
             {{"kind", to_string(overview.kind)}, {"protection", protection_of(overview.kind)}}}};
  for (const Row& row : overview.rows) json["sessions"].push_back(json_of(row, overview.current));
  print(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Exit exit_for(const Overview& overview) {
  Exit exit = Exit::ok;
  for (const Row& row : overview.rows) {
    if (row.error) return Exit::failed;
    if (row.checked && !*row.checked && exit_of(row.checked->error()) != Exit::login_needed)
      return Exit::failed;
    if (row.standing->state == StandingState::moving && exit == Exit::ok) exit = Exit::locked;
    if (row.standing->state == StandingState::login_needed || (row.checked && !*row.checked))
      exit = Exit::login_needed;
  }
  return exit;
}

}  // namespace

Exit run_status(const Options& options, const StatusCommand& command) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  auto overview = look(*workspace, *where, SystemClock{}.now());
  if (!overview) return report(overview.error(), options.format);
  if (command.check) check_all(*overview, *workspace, options);
  print_overview(*overview, options.format);
  return exit_for(*overview);
}

}  // namespace latchkey::cli
