// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.oauth.revocation;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.session;

// Ending a token at the server (RFC 7009).

export namespace latchkey {

enum class TokenKind { access_token, refresh_token };

/// Error: invalid_argument, "revocation.no_endpoint".
[[nodiscard]] Result<HttpRequest> build_revocation_request(const SessionSummary& session,
                                                           const SecretString& token,
                                                           TokenKind kind,
                                                           ClientAuthenticator& client);
/// Any 2xx is success (RFC 7009 §2.2). Otherwise the server's OAuth error.
[[nodiscard]] Result<void> process_revocation_response(const HttpResponse& response, TimePoint now);

}  // namespace latchkey
