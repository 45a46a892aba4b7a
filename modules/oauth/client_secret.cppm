// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
export module latchkey.oauth.client_secret;
import latchkey.core.secret;
import latchkey.oauth.client_auth;

// Clients that share a secret with the server (RFC 6749 §2.3.1). For those whose secret is really
// one: what is shipped to users is a public client.

export namespace latchkey {

/// The secret in the Authorization header, id and secret form-encoded first. The form of token
/// requests stays without client_id. Its apply() gives invalid_client, "client.no_secret" if the
/// secret is empty.
[[nodiscard]] std::shared_ptr<ClientAuthenticator> client_secret_basic(std::string client_id,
                                                                       SecretString secret);
/// The secret in the form, for servers that don't take the header. apply() as above.
[[nodiscard]] std::shared_ptr<ClientAuthenticator> client_secret_post(std::string client_id,
                                                                      SecretString secret);

}  // namespace latchkey
