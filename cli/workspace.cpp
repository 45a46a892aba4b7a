// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.cli.workspace;
import latchkey.atproto.client;
import latchkey.atproto.identifier;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.vault_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.url;
import latchkey.http.policy;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.memory;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;

namespace latchkey::cli {
namespace {

struct StoreName {
  enum class Kind { sqlite, file, memory } kind = Kind::sqlite;
  std::filesystem::path path;
};

Result<StoreName> parse_store(const std::string& name, const Places& where) {
  if (name.empty())
    return StoreName{.kind = StoreName::Kind::sqlite, .path = where.data / "sessions.db"};
  const auto colon = name.find(':');
  const std::string kind = name.substr(0, colon),
                    text = colon == std::string::npos ? "" : name.substr(colon + 1);
  if (name == "memory:") return StoreName{.kind = StoreName::Kind::memory, .path = {}};
  std::error_code fault;
  const auto path = std::filesystem::absolute(text, fault);
  if (kind == "sqlite" && !text.empty() && !fault)
    return StoreName{.kind = StoreName::Kind::sqlite, .path = path};
  if (kind == "file" && !text.empty() && !fault)
    return StoreName{.kind = StoreName::Kind::file, .path = path};
  return make_error(ErrorCode::invalid_argument, "cli.store",
                    "cannot use the store " + printable(name, 200) +
                        ": write sqlite:PATH, file:FOLDER or memory:");
}

Result<std::shared_ptr<OAuthTokenStore>> open_store(const StoreName& name,
                                                    std::shared_ptr<Sealer> sealer) {
  switch (name.kind) {
    case StoreName::Kind::memory:
      return MemoryOAuthTokenStore::create(std::move(sealer));
    case StoreName::Kind::file:
      return FilesystemOAuthTokenStore::open(name.path, std::move(sealer));
    case StoreName::Kind::sqlite:
      break;
  }
  return SqliteOAuthTokenStore::open(name.path, std::move(sealer));
}

bool names(const SessionSummary& session, std::string_view account) {
  if (session.subject == account) return true;
  const auto handle = parse_handle(account);
  return handle && !session.handle.empty() && session.handle == *handle;
}

}  // namespace

Result<Workspace> open_workspace(const Options& options) {
  const auto where = places(options);
  if (!where) return where.error();
  const auto name = parse_store(options.store, *where);  // before anything is made
  if (!name) return name.error();
  auto vault = open_vault(options, *where);
  if (!vault) return std::move(vault).error();
  auto store = open_store(*name, (*vault)->sealer());
  if (!store) return std::move(store).error();
  return Workspace{.vault = *std::move(vault), .store = *std::move(store)};
}

Result<std::vector<ListedSession>> all_sessions(OAuthTokenStore& store) {
  std::vector<ListedSession> sessions;
  for (std::string cursor;;) {
    auto page = store.list(cursor, 500);
    if (!page) return std::move(page).error();
    for (ListedSession& row : page->sessions) sessions.push_back(std::move(row));
    if (page->next.empty()) return sessions;
    cursor = std::move(page->next);
  }
}

Result<SessionSummary> choose_account(OAuthTokenStore& store, const Options& options,
                                      Choose among) {
  auto rows = all_sessions(store);
  if (!rows) return std::move(rows).error();
  std::vector<SessionSummary> candidates, revoking;
  std::optional<Error> unreadable;
  for (ListedSession& row : *rows) {
    if (row.error) unreadable = std::move(row.error);
    if (!row.summary) continue;
    if (!options.account.empty() && !names(*row.summary, options.account)) continue;
    const bool over = row.summary->state == SessionState::revoking;
    (over ? revoking : candidates).push_back(*std::move(row.summary));
  }
  if (candidates.empty() && among == Choose::also_revoking) candidates = std::move(revoking);
  if (candidates.size() == 1) return std::move(candidates.front());
  if (candidates.empty()) {
    if (unreadable) return *std::move(unreadable);
    return options.account.empty()
               ? make_error(ErrorCode::login_required, "cli.no_session",
                            "nobody is logged in here: run latchkey login HANDLE")
               : make_error(
                     ErrorCode::login_required, "cli.no_such_account",
                     "no session for " + printable(options.account, 100) +
                         ": run latchkey sessions to see who is logged in, or latchkey login");
  }
  std::string text = "several accounts are logged in: say which with --account, one of";
  for (const SessionSummary& session : candidates) {
    text += "\n  " + printable(session.subject, 200);
    if (!session.handle.empty()) text += " (" + printable(session.handle, 200) + ")";
  }
  return make_error(ErrorCode::invalid_argument, "cli.which_account", std::move(text));
}

Result<AtprotoClient> make_client(const Workspace& workspace, const Options& options,
                                  LoopbackClient client) {
  auto proxy = Proxy::parse(
      environment_variable("HTTPS_PROXY")
          .value_or(environment_variable("https_proxy").value_or("")),
      environment_variable("NO_PROXY").value_or(environment_variable("no_proxy").value_or("")));
  if (!proxy) return std::move(proxy).error();
  return AtprotoClient::create(
      {.client = std::move(client),
       .store = workspace.store,
       .vault = workspace.vault,
       .plc_url = options.plc_url,
       .resolve_handles_at = options.resolve_handles_at,
       .http_rule = options.allow_http_for_loopback ? HttpRule::allow_http_for_loopback
                                                    : HttpRule::https_only,
       .proxy = *std::move(proxy),
       .extra_ca_file = environment_variable("LATCHKEY_CA_FILE").value_or("")});
}

Result<Account> open_account(const Options& options) {
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  auto summary = choose_account(*workspace->store, options);
  if (!summary) return std::move(summary).error();
  auto client = make_client(*workspace, options, loopback_client_of(summary->client_id));
  if (!client) return std::move(client).error();
  return Account{.summary = *std::move(summary), .client = *std::move(client)};
}

Exit report(const Account& account, const Error& error, Format format) {
  const Exit exit = report(error, format);
  if (error.code != ErrorCode::session_not_durable) return exit;
  const SessionKeeper& keeper = account.client.keeper();
  say("waiting up to 60 s for the disk to take the session");
  const bool settled = account.client.keeper().settle(std::chrono::seconds{60});
  say(settled && !keeper.unsaved(account.summary.subject)
          ? "the session is saved now: run the command again"
          : "the session could not be saved and ends with this program: make room on the disk and "
            "log in again");
  return exit;
}

}  // namespace latchkey::cli
