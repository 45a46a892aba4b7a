// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>
export module latchkey.cli.workspace;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.http;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;

// The store and vault that the options name, the account that a command is about, and a client for
// it.

export namespace latchkey::cli {

/// What --store says.
struct StoreName {
  enum class Kind { sqlite, file, memory } kind = Kind::sqlite;
  std::filesystem::path path{};  ///< absolute; empty for memory
};
/// Error: invalid_argument, "cli.store".
[[nodiscard]] Result<StoreName> store_name(const Options& options, const Places& where);

/// Creates what is not there yet.
[[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open_store(const StoreName& name,
                                                                  std::shared_ptr<Sealer> sealer);

/// Whether the vault has keys for stores other than the one in the data folder: --store was used
/// with it. Remembered by a file in the vault's folder.
[[nodiscard]] bool has_other_stores(const Places& where);

struct Workspace {
  std::shared_ptr<FileKeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  bool vault_serves_this_store_alone = false;
};

/// Opens both, creating what is not there yet.
[[nodiscard]] Result<Workspace> open_workspace(const Options& options);

/// All rows, over all pages.
[[nodiscard]] Result<std::vector<ListedSession>> all_sessions(OAuthTokenStore& store);

/// The session that --account names by subject or handle, or the only one there is; one that is
/// being logged out only with `also_revoking`, and if there is no other. Errors: login_required
/// ("cli.no_session", "cli.no_such_account"), invalid_argument ("cli.which_account", which lists
/// them).
enum class Choose { usable, also_revoking };
[[nodiscard]] Result<SessionSummary> choose_account(OAuthTokenStore& store, const Options& options,
                                                    Choose among = Choose::usable);

/// To addresses that others name, by the options' rules and the environment's proxy.
[[nodiscard]] Result<std::shared_ptr<HttpTransport>> strangers_transport(const Options& options);

/// `client`: the stored session's own, or a new one for a login.
[[nodiscard]] Result<AtprotoClient> make_client(const Workspace& workspace, const Options& options,
                                                LoopbackClient client);

/// Says at its end that a refresh of the account is under way, if one is: the program then waits
/// until that is saved, at most the HTTP deadline.
class WaitNotice {
 public:
  WaitNotice(AtprotoClient client, std::string subject)
      : client_(std::move(client)), subject_(std::move(subject)) {}
  WaitNotice(const WaitNotice&) = delete;
  WaitNotice& operator=(const WaitNotice&) = delete;
  ~WaitNotice();

 private:
  AtprotoClient client_;
  std::string subject_;
};

/// An account with a client that can use it.
struct Account {
  SessionSummary summary;
  AtprotoClient client;
  std::unique_ptr<WaitNotice> notice;
};
[[nodiscard]] Result<Account> open_account(const Options& options);
/// Reports a failure of a command that used the account. If its session was renewed and could not
/// be saved, the disk is given a minute first: the program would take the only good token with it.
[[nodiscard]] Exit report(const Account& account, const Error& error, Format format);

}  // namespace latchkey::cli
