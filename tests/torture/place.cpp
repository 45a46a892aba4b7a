// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
module latchkey.test.torture_place;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.loopback.browser;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.memory;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_scoreboard;
import latchkey.test.torture_watch;

namespace latchkey::test {

namespace {

MasterKey master_key_in(const std::filesystem::path& folder) {
  return MasterKey::key_file(folder / "config" / "vault.key");
}

Result<Place> open_files(const Site& site) {
  auto vault = FileKeyVault::open(site.folder / "vault", master_key_in(site.folder));
  if (!vault) return std::move(vault).error();
  auto sessions =
      site.store == "file"
          ? FilesystemOAuthTokenStore::open(site.folder / "sessions", (*vault)->sealer())
          : SqliteOAuthTokenStore::open(site.folder / "data" / "sessions.db", (*vault)->sealer());
  if (!sessions) return std::move(sessions).error();
  return Place{.vault = *std::move(vault), .store = *std::move(sessions)};
}

Result<Place> open_database(const Site& site) {
  auto database = PostgresDatabase::open(SecretString(site.address));
  if (!database) return std::move(database).error();
  auto vault = PostgresKeyVault::open(*database, master_key_in(site.folder));
  if (!vault) return std::move(vault).error();
  auto sessions = PostgresOAuthTokenStore::open(*database, *vault, {.lease_time = site.lease_time});
  if (!sessions) return std::move(sessions).error();
  return Place{.vault = *std::move(vault), .store = *std::move(sessions)};
}

}  // namespace

Result<Place> open_place(const Site& site) {
  if (site.is_database()) return open_database(site);
  if (site.store != "memory") return open_files(site);
  auto vault = memory_vault();
  auto sessions = MemoryOAuthTokenStore::create(vault->sealer());
  return Place{.vault = std::move(vault), .store = std::move(sessions)};
}

Place watched_place(const Place& place, Sabotage sabotage, std::shared_ptr<Scoreboard> board,
                    const Scene& scene) {
  return {
      .vault = place.vault,
      .store = watched_store(sabotaged(sabotage, place.store), std::move(board), scene.subjects)};
}

Result<AtprotoClient> open_client(const Place& place, const Scene& scene,
                                  std::shared_ptr<BrowserOpener> browser) {
  auto transport = CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback});
  if (!transport) return std::move(transport).error();
  return AtprotoClient::create({.client = loopback_client("atproto transition:generic"),
                                .store = place.store,
                                .vault = place.vault,
                                .plc_url = scene.plc,
                                .resolve_handles_at = scene.pds,
                                .http_rule = HttpRule::allow_http_for_loopback,
                                .transport = watched_transport(*std::move(transport)),
                                .browser = std::move(browser)});
}

}  // namespace latchkey::test
