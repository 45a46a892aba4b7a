// SPDX-License-Identifier: MIT
module;
#include <vector>
export module latchkey.oauth.client_key_rules;
import latchkey.core.json;
import latchkey.oauth.client_finding;

// The part of a client's metadata by which it proves who it is (C1.8, C1.9). For
// latchkey.oauth.client_lint; the hub does not export it.

export namespace latchkey {

/// Of a document whose method is private_key_jwt: "C1.8.alg_missing", "C1.8.alg_none", "C1.8.alg"
/// (not ES256), "C1.8.no_keys" (neither jwks nor jwks_uri, or an empty set), "C1.8.both_jwks",
/// "C1.8.jwks_uri" (no https URL), "C1.8.jwks" (not a JWK Set), "C1.8.private_key" (a private
/// member is published), "C1.8.kid_missing", "C1.8.kid_twice", "C1.8.key" (an EC P-256 key that is
/// none), "C1.8.no_es256_key"; "C1.9.secret".
void check_confidential_client(const JsonObject& document, std::vector<ClientFinding>& findings);

/// Of a document whose method is none: "C1.9.alg" (a signing algorithm is named), "C1.9.secret" (a
/// client_secret), and the warning "C1.9.keys" (keys that nothing is signed with). What is
/// published of a private key is "C1.8.private_key" here too.
void check_public_client(const JsonObject& document, std::vector<ClientFinding>& findings);

}  // namespace latchkey
