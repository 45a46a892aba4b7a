// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.cli.workspace;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.cli.store_name;
import latchkey.cli.vault_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.process;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.memory;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.managed;

namespace latchkey::cli {
namespace {

// A file that says that the vault's keys are not those of one store alone.
constexpr std::string_view kOtherStores = "other-stores";

// What a store in memory needs ends with the program.
bool is_another(const StoreName& name, const Places& where) {
  return name.kind != StoreName::Kind::memory && name != own_store(where);
}

// Before the first key for that store can be made.
Result<void> remember_other_store(const Places& where) {
  const auto files = posix_file_system();
  const auto created = files->create(where.vault / kOtherStores);
  if (created) return files->sync_folder(where.vault);
  if (created.error().detail == "file.exists") return {};
  return created.error();
}

Result<std::shared_ptr<HttpTransport>> curl_transport(const Options& options, AddressRule rule) {
  auto network = network_of_environment();
  if (!network) return std::move(network).error();
  auto transport = CurlTransport::open({.address_rule = rule,
                                        .http_rule = http_rule_of(options),
                                        .extra_ca_file = std::move(network->extra_ca_file),
                                        .proxy = std::move(network->proxy)});
  if (!transport) return std::move(transport).error();
  return traced(*std::move(transport), options.tracer);
}

}  // namespace

Result<std::shared_ptr<PostgresDatabase>> open_database(const StoreName& name,
                                                        const PostgresOptions& options) {
  if (name.kind != StoreName::Kind::postgres) return std::shared_ptr<PostgresDatabase>();
  return PostgresDatabase::open(name.address->clone(), options);
}

Result<std::shared_ptr<OAuthTokenStore>> open_store(const StoreName& name,
                                                    std::shared_ptr<PostgresDatabase> database,
                                                    std::shared_ptr<Sealer> sealer) {
  switch (name.kind) {
    case StoreName::Kind::memory:
      return MemoryOAuthTokenStore::create(std::move(sealer));
    case StoreName::Kind::file:
      return FilesystemOAuthTokenStore::open(name.path, std::move(sealer));
    case StoreName::Kind::postgres:
      return PostgresOAuthTokenStore::open(std::move(database), std::move(sealer));
    case StoreName::Kind::sqlite:
      break;
  }
  return SqliteOAuthTokenStore::open(name.path, std::move(sealer));
}

bool has_other_stores(const Places& where) {
  // What can't be told counts as yes: keys are kept then.
  const auto there = posix_file_system()->modified_at(where.vault / kOtherStores);
  return !there || there->has_value();
}

namespace {

Error no_store(const StoreName& name, const std::string& cause) {
  return make_error(ErrorCode::invalid_argument, "cli.no_store",
                    "cannot use the store " + shown(name) + ": " + cause +
                        "; check its name, or log in to make it");
}

// So that a mistyped name is not taken for an empty store.
Result<void> check_there(const StoreName& name) {
  std::error_code fault;
  const auto status = std::filesystem::status(name.path, fault);
  const bool is_there =
      name.kind == StoreName::Kind::sqlite
          ? std::filesystem::is_regular_file(status)
          : std::filesystem::is_directory(status) && !std::filesystem::is_empty(name.path, fault);
  if (name.kind == StoreName::Kind::memory || is_there) return {};
  return no_store(name, "there is none");
}

Result<void> check_has_vault(const StoreName& name, const Places& where,
                             const std::shared_ptr<PostgresDatabase>& database) {
  const auto kind = vault_kind(where, database);
  if (!kind) return kind.error();
  if (*kind) return {};
  return no_store(name, database ? "the database has no vault for it"
                                 : "there is no vault in " + printable(where.vault.native(), 300));
}

Result<Workspace> open_in_database(const Options& options, const Places& where,
                                   const StoreName& name, Opening opening) {
  auto database = open_database(name, {.migrate = opening == Opening::make});
  if (!database) return std::move(database).error();
  if (opening == Opening::existing) {
    if (auto there = check_has_vault(name, where, *database); !there)
      return std::move(there).error();
  }
  auto vault = open_fleet_vault(options, where, *database);
  if (!vault) return std::move(vault).error();
  auto store = PostgresOAuthTokenStore::open(*database, *vault);
  if (!store) return std::move(store).error();
  return Workspace{.vault = *std::move(vault),
                   .store = *std::move(store),
                   .database = *std::move(database),
                   .vault_serves_this_store_alone = false};
}

}  // namespace

Result<Workspace> open_workspace(const Options& options, Opening opening) {
  const auto where = places(options);
  if (!where) return where.error();
  const auto name = store_name(options, *where);  // before anything is made
  if (!name) return name.error();
  if (name->kind == StoreName::Kind::postgres)
    return open_in_database(options, *where, *name, opening);
  if (opening == Opening::existing) {
    if (auto there = check_there(*name); !there) return std::move(there).error();
    if (auto there = check_has_vault(*name, *where, nullptr); !there)
      return std::move(there).error();
  }
  auto vault = open_vault(options, *where, nullptr);
  if (!vault) return std::move(vault).error();
  if (is_another(*name, *where)) {
    if (auto remembered = remember_other_store(*where); !remembered)
      return std::move(remembered).error();
  }
  auto store = open_store(*name, nullptr, (*vault)->sealer());
  if (!store) return std::move(store).error();
  return Workspace{.vault = *std::move(vault),
                   .store = *std::move(store),
                   .database = nullptr,
                   .vault_serves_this_store_alone =
                       name->kind != StoreName::Kind::memory && !has_other_stores(*where)};
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

Result<EnvironmentNetwork> network_of_environment() {
  auto proxy = Proxy::parse(
      environment_variable("HTTPS_PROXY")
          .value_or(environment_variable("https_proxy").value_or("")),
      environment_variable("NO_PROXY").value_or(environment_variable("no_proxy").value_or("")));
  if (!proxy) return std::move(proxy).error();
  return EnvironmentNetwork{.proxy = *std::move(proxy),
                            .extra_ca_file = environment_variable("LATCHKEY_CA_FILE").value_or("")};
}

Result<std::shared_ptr<HttpTransport>> strangers_transport(const Options& options) {
  return curl_transport(
      options, options.allow_http_for_loopback ? AddressRule::any : AddressRule::public_only);
}

Result<std::shared_ptr<HttpTransport>> configured_transport(const Options& options) {
  return curl_transport(options, AddressRule::any);
}

Result<AtprotoClient> make_client(const Workspace& workspace, const Options& options,
                                  AtprotoClientIdentity client) {
  auto network = network_of_environment();
  if (!network) return std::move(network).error();
  return AtprotoClient::create(
      {.client = std::move(client),
       .store = workspace.store,
       .vault = workspace.vault,
       .vault_serves_this_store_alone = workspace.vault_serves_this_store_alone,
       .plc_url = options.plc_url,
       .resolve_handles_at = options.resolve_handles_at,
       .http_rule = http_rule_of(options),
       .proxy = std::move(network->proxy),
       .extra_ca_file = std::move(network->extra_ca_file),
       .tracer = options.tracer});
}

}  // namespace latchkey::cli
