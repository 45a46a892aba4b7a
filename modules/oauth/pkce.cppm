// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.oauth.pkce;
import latchkey.core.crypto;
import latchkey.core.secret;

// Proof Key for Code Exchange (RFC 7636), method S256 only.

export namespace latchkey {

struct Pkce {
  SecretString code_verifier;  ///< 43 characters from 32 random bytes
  std::string code_challenge;  ///< base64url(SHA-256(code_verifier))
};

[[nodiscard]] Pkce make_pkce(Random& random);
/// RFC 7636 §4.2.
[[nodiscard]] std::string code_challenge_s256(const SecretString& code_verifier);

}  // namespace latchkey
