// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <vector>
export module latchkey.cli.workspace;
import latchkey.atproto.client;
import latchkey.cli.options;
export import latchkey.cli.store_name;
import latchkey.core.error;
import latchkey.http;
import latchkey.http.policy;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.store.vault.managed;

// The store and vault that the options name, and the ways to the network that they allow.

export namespace latchkey::cli {

/// Of a store in a database: connects, and by default makes or migrates the tables; null for any
/// other.
/// Errors: those of PostgresDatabase::open.
[[nodiscard]] Result<std::shared_ptr<PostgresDatabase>> open_database(
    const StoreName& name, const PostgresOptions& options = {});
/// Creates what is not there yet. `database`: what open_database gave.
[[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open_store(
    const StoreName& name, std::shared_ptr<PostgresDatabase> database,
    std::shared_ptr<Sealer> sealer);

/// Whether the vault has keys for stores other than the one in the data folder: --store was used
/// with it. Remembered by a file in the vault's folder.
[[nodiscard]] bool has_other_stores(const Places& where);

struct Workspace {
  std::shared_ptr<ManagedKeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<PostgresDatabase> database;  ///< both are kept in it; null: in files
  /// Whether keys can be collected by what this store refers to. Not so in a database: a site has
  /// its own sweep, and one login should not read a million records.
  bool vault_serves_this_store_alone = false;
};

enum class Opening { make, existing };

/// Opens both; `make` creates what is not there yet, `existing` nothing at all. The vault of a
/// store in a database is in the same database. Errors: those of opening them; with `existing`
/// invalid_argument, "cli.no_store" (there is no such store, or no vault for it).
[[nodiscard]] Result<Workspace> open_workspace(const Options& options,
                                               Opening opening = Opening::make);

/// All rows, over all pages.
[[nodiscard]] Result<std::vector<ListedSession>> all_sessions(OAuthTokenStore& store);

/// What the environment says of the network.
struct EnvironmentNetwork {
  Proxy proxy;                ///< HTTPS_PROXY and NO_PROXY, or in lower case
  std::string extra_ca_file;  ///< LATCHKEY_CA_FILE
};
/// Errors: those of Proxy::parse.
[[nodiscard]] Result<EnvironmentNetwork> network_of_environment();

/// To addresses that others name, by the options' rules and the environment's proxy.
[[nodiscard]] Result<std::shared_ptr<HttpTransport>> strangers_transport(const Options& options);
/// The same, to addresses that the options name: they may be private.
[[nodiscard]] Result<std::shared_ptr<HttpTransport>> configured_transport(const Options& options);

/// `client`: the stored session's own, or a new one for a login.
[[nodiscard]] Result<AtprotoClient> make_client(const Workspace& workspace, const Options& options,
                                                AtprotoClientIdentity client);

}  // namespace latchkey::cli
