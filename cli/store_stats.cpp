// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.census;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.vault.managed;

// What a store holds, by numbers.

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTop = 10;

struct Stats {
  std::string kind;
  Census census;
  std::size_t pending = 0, expired_pending = 0, claims = 0, keys = 0, quarantined = 0;
  std::optional<std::string> server{};          // of a database, as it calls itself
  std::optional<std::int64_t> bytes{};          // of a database that can tell
  std::optional<PostgresCounts> connections{};  // of ours
};

Result<void> add_side(OAuthTokenStore& store, TimePoint now, Stats& stats) {
  const auto side = store.side_records();
  if (!side) return side.error();
  stats.claims = side->claims.size();
  stats.pending = side->pending.size();
  for (const ListedPending& row : side->pending)
    stats.expired_pending += row.pending && row.pending->expires_at <= now;
  return {};
}

Result<void> add_vault(ManagedKeyVault& vault, Stats& stats) {
  const auto status = vault.status();
  if (!status) return status.error();
  stats.keys = status->unreadable.size();
  for (const DataKeyUse& use : status->data_keys) stats.keys += use.keys;
  const auto aside = vault.quarantined();
  if (!aside) return aside.error();
  stats.quarantined += aside->size();
  return {};
}

// Not every engine that speaks PostgreSQL's language can tell its size.
Result<void> add_database(PostgresDatabase& database, Stats& stats) {
  const auto version = database.run("SELECT version()");
  if (!version) return version.error();
  if (const auto text = version->text(0, 0)) stats.server = std::string(*text);
  if (const auto size = database.run("SELECT pg_database_size(current_database())"))
    stats.bytes = size->integer(0, 0);
  stats.connections = database.counts();
  return {};
}

Result<Stats> take_stats(const Workspace& workspace, const StoreName& name) {
  const TimePoint now = SystemClock{}.now();
  auto census = take_census(*workspace.store, now);
  if (!census) return std::move(census).error();
  const auto aside = workspace.store->quarantined();
  if (!aside) return aside.error();
  Stats stats{.kind = shown(name), .census = *std::move(census), .quarantined = aside->size()};
  if (auto done = add_side(*workspace.store, now, stats); !done) return std::move(done).error();
  if (auto done = add_vault(*workspace.vault, stats); !done) return std::move(done).error();
  if (workspace.database) {
    if (auto done = add_database(*workspace.database, stats); !done) return std::move(done).error();
  }
  return stats;
}

Json names_json(const NameCounts& names) {
  Json json = Json::array();
  for (const auto& [name, count] : names.top(kTop))
    json.push_back({{"name", name}, {"sessions", count}});
  return json;
}

Json json_of(const Stats& stats) {
  const Census& census = stats.census;
  Json json{{"store", stats.kind},
            {"sessions", census.sessions},
            {"active", census.active},
            {"dead", census.dead},
            {"revoking", census.revoking},
            {"moving", census.moving},
            {"expired", census.expired},
            {"login_expired", census.login_expired},
            {"unreadable", census.unreadable},
            {"issuers", names_json(census.issuers)},
            {"clients", names_json(census.clients)},
            {"pending", stats.pending},
            {"pending_expired", stats.expired_pending},
            {"claims", stats.claims},
            {"keys", stats.keys},
            {"quarantined", stats.quarantined}};
  if (!stats.connections) return json;
  json["database"] = {{"server", stats.server.value_or("")},
                      {"bytes", stats.bytes ? Json(*stats.bytes) : Json(nullptr)},
                      {"connections", stats.connections->connections},
                      {"connects", stats.connections->connects},
                      {"statements", stats.connections->statements},
                      {"repeated", stats.connections->repeated}};
  return json;
}

void print_names(const std::string& what, const NameCounts& names) {
  for (const auto& [name, count] : names.top(kTop))
    print(what + "\t" + std::to_string(count) + "\t" +
          (name.empty() ? "(none)" : printable(name, 200)));
  if (names.others() > 0)
    print(what + "\t" + std::to_string(names.others()) + "\t(others, not told apart)");
}

void print_stats(const Stats& stats) {
  const Census& census = stats.census;
  const auto line = [](const std::string& what, std::size_t count, const std::string& more = {}) {
    print(what + "\t" + std::to_string(count) + more);
  };
  print("store\t" + stats.kind);
  line("sessions", census.sessions);
  line("active", census.active,
       ", of them " + std::to_string(census.expired) + " with an expired token, " +
           std::to_string(census.login_expired) + " with an expired login");
  line("dead", census.dead,
       census.moving > 0
           ? ", of them " + std::to_string(census.moving) + " on their way to another store"
           : "");
  line("revoking", census.revoking);
  line("unreadable", census.unreadable);
  print_names("issuer", census.issuers);
  print_names("client", census.clients);
  line("logins under way", stats.pending,
       ", of them " + std::to_string(stats.expired_pending) + " expired");
  line("refresh claims", stats.claims);
  line("keys", stats.keys);
  line("quarantined", stats.quarantined);
  if (!stats.connections) return;
  print("server\t" + printable(stats.server.value_or(""), 200));
  if (stats.bytes) print("size\t" + std::to_string(*stats.bytes >> 20) + " MiB, the database");
  print("connections\t" + std::to_string(stats.connections->connections) + " open, " +
        std::to_string(stats.connections->statements) + " round trips, " +
        std::to_string(stats.connections->repeated) + " repeated");
}

}  // namespace

Exit run_store_stats(const Options& options) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  const auto name = store_name(options, *where);
  if (!name) return report(name.error(), options.format);
  const auto workspace = open_workspace(options, Opening::existing);
  if (!workspace) return report(workspace.error(), options.format);
  const auto stats = take_stats(*workspace, *name);
  if (!stats) return report(stats.error(), options.format);
  if (options.format == Format::json) {
    print(json_of(*stats).dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    print_stats(*stats);
  }
  return Exit::ok;
}

}  // namespace latchkey::cli
