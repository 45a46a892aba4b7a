// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.atproto.scope_report;
import latchkey.cli.hosted_client;
import latchkey.cli.interaction;
import latchkey.cli.options;
import latchkey.cli.profile.api_key;
import latchkey.cli.profile.assembly;
import latchkey.cli.profile.login;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.flows.interaction;
import latchkey.oauth.client_keys;
import latchkey.session;
import latchkey.store;

// Logging in: an AT Protocol account here, everything else in latchkey.cli.profile.login.

namespace latchkey::cli {
namespace {

Error usage(std::string message) {
  return make_error(ErrorCode::invalid_argument, "cli.usage",
                    std::move(message) + "; run latchkey login --help");
}

Meeting meeting_of(const LoginCommand& command) {
  if (command.paste) return Meeting::paste;
  return command.no_browser ? Meeting::no_browser : Meeting::open;
}

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

// The server may have granted something else than what was asked for (C9.5).
void say_scope_difference(const std::string& requested, const SessionSummary& session) {
  const std::string difference = compare_scopes(requested, session.scope).text();
  if (!difference.empty()) say("the permissions are not as requested: " + difference);
}

Result<HostedClient> own_client(const Options& options, const LoginCommand& command) {
  auto document = read_client_document(options, command.client_metadata);
  if (!document) return std::move(document).error();
  HostedClient client{.document = *std::move(document), .keys_file = {}};
  if (!command.client_keys.empty()) {
    client.keys_file = std::filesystem::absolute(command.client_keys).native();
  }
  return client;
}

// The client is remembered for all of its sessions: those of before must stay usable with it.
Result<void> check_sessions_keep_keys(OAuthTokenStore& store,
                                      const AtprotoClientIdentity& identity) {
  const auto rows = all_sessions(store);
  if (!rows) return rows.error();
  for (const ListedSession& row : *rows) {
    if (!row.summary || row.summary->client_id != identity.description()->client_id) continue;
    const SessionSummary& session = *row.summary;
    const bool dead = session.state == SessionState::dead;
    if (dead || session.client_auth_method != ClientAuthMethod::private_key_jwt) continue;
    if (identity.keys() && identity.keys()->contains(session.client_auth_kid)) continue;
    return make_error(ErrorCode::client_mismatch, "client.key_in_use",
                      "cannot log in with these keys: the session of " + name_of(session) +
                          " needs the client's key " + printable(session.client_auth_kid, 64) +
                          ", which they lack; add it to --client-keys, or log that session out");
  }
  return {};
}

Result<SessionSummary> login_as(const Workspace& workspace, const Options& options,
                                const LoginCommand& command, const std::string& scope,
                                AtprotoClientIdentity identity) {
  const auto description = identity.description();
  auto client = make_client(workspace, options, std::move(identity));
  if (!client) return std::move(client).error();
  const Meeting meeting = meeting_here(meeting_of(command), false);
  LoginInteraction interaction = interaction_for(options, meeting, command.timeout_seconds);
  if (!command.client_metadata.empty()) interaction.scope = scope;
  auto session = client->login(command.who, interaction);
  if (session) say_scope_difference(scope.empty() ? description->scope : scope, *session);
  return session;
}

Result<SessionSummary> login_as_own(const Workspace& workspace, const Options& options,
                                    const LoginCommand& command) {
  const auto client = own_client(options, command);
  if (!client) return client.error();
  auto identity = identity_of(*client);
  if (!identity) return std::move(identity).error();
  const auto& description = identity->description();
  if (!description) return description.error();
  if (auto kept = check_sessions_keep_keys(*workspace.store, *identity); !kept) {
    return std::move(kept).error();
  }
  // Before the login: a session whose client nobody knows could not even be ended.
  auto remembered = RememberedClient::put(options, description->client_id, *client);
  if (!remembered) return std::move(remembered).error();
  auto session =
      login_as(workspace, options, command, command.scope.value_or(""), *std::move(identity));
  if (!session) remembered->put_back();
  return session;
}

Result<SessionSummary> login_account(const Options& options, const LoginCommand& command) {
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  if (!command.client_metadata.empty()) return login_as_own(*workspace, options, command);
  const std::string scope = command.scope.value_or("atproto transition:generic");
  return login_as(*workspace, options, command, scope, loopback_client(scope));
}

Result<SessionSummary> login_profile(const Options& options, const LoginCommand& command) {
  if (!command.api_key_file.empty())
    return store_api_key(options, command.api_key_file, command.profile);
  ProfileFlags flags = command.profile;
  flags.scope = command.scope;
  return login_profile(options, flags,
                       {.meeting = meeting_of(command),
                        .timeout_seconds = command.timeout_seconds,
                        .device = command.device || command.resume,
                        .resume = command.resume,
                        .qr_code = !command.no_qr});
}

Result<SessionSummary> login(const Options& options, const LoginCommand& command) {
  const bool of_profile = command.profile.is_any_set() || command.device || command.resume ||
                          !command.api_key_file.empty();
  if (command.who.empty() && !of_profile && options.profile.empty())
    return usage("say who logs in: HANDLE, or --issuer URL --client-id ID, or --profile NAME");
  if (command.who.empty()) return login_profile(options, command);
  if (!of_profile) return login_account(options, command);
  return usage("an AT Protocol account (" + command.who +
               ") has no client, device or API key options: leave out one or the other");
}

}  // namespace

Exit run_login(const Options& options, const LoginCommand& command) {
  const auto session = login(options, command);
  if (!session) return report(with_remedy(session.error()), options.format);
  print(options.format == Format::json ? session_json(*session)
                                       : "logged in as " + name_of(*session));
  return Exit::ok;
}

}  // namespace latchkey::cli
