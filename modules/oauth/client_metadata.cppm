// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.client_metadata;
import latchkey.core.error;
import latchkey.session;

// Who we are towards an authorization server: a client_id and what belongs to it. For ATProto a
// client_id is a URL; the loopback form (C1.2) needs no hosted document.

export namespace latchkey {

/// A client as the flows need it. Secret material is not in here: see latchkey.oauth.client_auth.
struct ClientIdentity {
  std::string client_id;
  std::vector<std::string>
      redirect_uris;  ///< declared; for a loopback client without a port: any port matches
  std::string scope;  ///< declared
  ClientAuthMethod auth_method = ClientAuthMethod::none;
};

/// The loopback client of the ATProto profile: http://localhost with scope and redirect_uri in its
/// query. `scope` must contain "atproto". Errors: invalid_argument, "client.scope_without_atproto",
/// "client.openid_scope", "client.redirect_path" (not a plain path) or "scope.malformed".
[[nodiscard]] Result<ClientIdentity> loopback_client_identity(
    std::string_view scope, std::string_view redirect_path = "/callback");
/// Reads a loopback client_id by the rules of C1.2 and C1.3, defaults filled in. Error:
/// invalid_argument, "client.not_loopback".
[[nodiscard]] Result<ClientIdentity> parse_loopback_client_id(std::string_view client_id);

/// True if `redirect_uri` is one of the client's: equal, or loopback where the declared one has no
/// port and all else is equal (RFC 8252 §7.3).
[[nodiscard]] bool allows_redirect(const ClientIdentity& client, std::string_view redirect_uri);

/// C1.11, before anything is sent: what is asked for is declared, has "atproto" and not "openid".
/// Errors: invalid_argument, "client.scope_not_declared", "client.scope_without_atproto",
/// "client.openid_scope" or "scope.malformed".
[[nodiscard]] Result<void> check_atproto_scope(const ClientIdentity& client,
                                               std::string_view scope);

}  // namespace latchkey
