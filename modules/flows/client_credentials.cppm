// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.flows.client_credentials;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;

// Tokens for a program itself (RFC 6749 §4.4): no person, no login, no refresh token; when one runs
// out, the next is asked for in the same way.

export namespace latchkey {

/// What the program asks for.
struct ClientCredentialsRequest {
  std::string token_endpoint;
  std::string issuer;  ///< the audience of an assertion; needed for private_key_jwt only
  std::string scope;
  std::vector<std::string> resources{};  ///< RFC 8707
};

/// What it gets.
struct ClientCredentialsToken {
  TokenAnswer answer;     ///< without a refresh token (RFC 6749 §4.4.3): one that came is dropped
  TimePoint issued_at{};  ///< before the request was sent
  std::optional<TimePoint> expires_at{};  ///< empty: the server did not say
};

/// Errors: invalid_argument, "client_credentials.public_client" (only a client that authenticates
/// may ask); those of parse_endpoint() and ClientAuthenticator::apply.
[[nodiscard]] Result<HttpRequest> build_client_credentials_request(
    const ClientCredentialsRequest& request, ClientAuthenticator& client);

/// Sends it. `transport` with proofs gives tokens that are bound to its key. Errors: those of
/// building it, of the transport, and of process_token_response, step "client_credentials".
[[nodiscard]] Result<ClientCredentialsToken> obtain_client_credentials_token(
    HttpTransport& transport, const ClientCredentialsRequest& request, ClientAuthenticator& client,
    const Clock& clock, std::stop_token stop = {});

}  // namespace latchkey
