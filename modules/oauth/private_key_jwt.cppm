// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
export module latchkey.oauth.private_key_jwt;
import latchkey.core.crypto;
import latchkey.core.time;
import latchkey.dpop.transport;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_keys;

// Confidential clients without a shared secret: each request carries an assertion, signed with one
// of the client's keys (RFC 7523 §2.2, §3; the ATProto profile's "private_key_jwt").

export namespace latchkey {

/// What assertions are made with, besides the keys. All are shared and thread-safe.
struct AssertionContext {
  std::shared_ptr<Clock> clock;
  std::shared_ptr<Random> random;
  /// What is known of the servers' clocks; null: nothing.
  std::shared_ptr<ClockSkew> skew{};
};

/// client_id, client_assertion_type and a new client_assertion for every attempt (C8.4): iss and
/// sub are the client_id, aud is the issuer (one string), jti has 16 random bytes, exp is 60 s
/// after iat. iat is 3 s ago by the server's clock, because servers refuse one in their future and
/// differ from us by up to 2 s unnoticed. kid() is the newest key's; apply() signs with the
/// session's, or with the newest if its `kid` is empty. Errors of apply() and of a repeated
/// attempt: invalid_client, "client.key_gone"; invalid_key, "dpop.sign_failed".
[[nodiscard]] std::shared_ptr<ClientAuthenticator> private_key_jwt(
    std::string client_id, std::shared_ptr<const ClientKeys> keys, AssertionContext context);

}  // namespace latchkey
