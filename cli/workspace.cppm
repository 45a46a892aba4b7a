// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <vector>
export module latchkey.cli.workspace;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault.file_vault;

// The store and vault that the options name, the account that a command is about, and a client for
// it.

export namespace latchkey::cli {

struct Workspace {
  std::shared_ptr<FileKeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
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

/// `client`: the stored session's own, or a new one for a login.
[[nodiscard]] Result<AtprotoClient> make_client(const Workspace& workspace, const Options& options,
                                                LoopbackClient client);

/// An account with a client that can use it.
struct Account {
  SessionSummary summary;
  AtprotoClient client;
};
[[nodiscard]] Result<Account> open_account(const Options& options);
/// Reports a failure of a command that used the account. If its session was renewed and could not
/// be saved, the disk is given a minute first: the program would take the only good token with it.
[[nodiscard]] Exit report(const Account& account, const Error& error, Format format);

}  // namespace latchkey::cli
