// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.cli.profile.client;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.flows.client_options;
import latchkey.oauth.client_auth;
import latchkey.oauth.server_metadata;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

// What a stored profile's session needs to be used: a client of its provider, made of the session
// and the profile's file, without asking the network for anything.

export namespace latchkey::cli {

/// The file of the session's profile; empty if it is gone, or is not the one that configures this
/// session (is_configured_by). Errors: those of ProfileFolder::load.
[[nodiscard]] Result<std::optional<Profile>> stored_profile(const Options& options,
                                                            const SessionSummary& session);

/// The sessions that the profile's file is for: the one under its name, and those kept beside it
/// until the server knows of their end. Errors: those of OAuthTokenStore::list.
[[nodiscard]] Result<std::vector<SessionSummary>> sessions_of_profile(OAuthTokenStore& store,
                                                                      std::string_view name);

/// The client as it authenticates: with its secret, which is read when it is first sent. A
/// password manager is not asked before that. Without a source, apply() gives invalid_client,
/// "profile.secret_missing".
[[nodiscard]] std::shared_ptr<ClientAuthenticator> profile_authenticator(std::string client_id,
                                                                         ClientAuthMethod method,
                                                                         SecretSource secret,
                                                                         std::stop_token stop);

/// May a login of this client at this server have the name? Not while a session of another client
/// or server has it (without an issuer, one of another token endpoint): it would be replaced, and
/// could not be revoked in this one's name. An API key is of no client and no server, so that it
/// takes no login's name, nor a login its. Errors: conflict, "profile.taken"; those of
/// OAuthTokenStore::load.
[[nodiscard]] Result<void> check_name_free(OAuthTokenStore& store, const std::string& name,
                                           const std::string& client_id,
                                           const ServerMetadata& server);

/// What is the same for a login and for a stored session: store, vault, network and client. Errors:
/// those of the environment's proxy.
[[nodiscard]] Result<OAuthClientOptions> profile_client_options(const Workspace& workspace,
                                                                const Options& options);

/// Renews and ends the session. `profile`: its file, as stored_profile gives it. Errors: those of
/// OAuthClient::create.
[[nodiscard]] Result<std::shared_ptr<SessionKeeper>> profile_keeper(
    const Workspace& workspace, const Options& options, const SessionSummary& session,
    const std::optional<Profile>& profile);

/// Of a key that nothing renews.
[[nodiscard]] Result<std::shared_ptr<SessionKeeper>> api_key_keeper(const Workspace& workspace,
                                                                    const Options& options);

}  // namespace latchkey::cli
