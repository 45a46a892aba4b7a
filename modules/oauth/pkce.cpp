// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <utility>
module latchkey.oauth.pkce;
import latchkey.core.crypto;
import latchkey.core.secret;

namespace latchkey {
namespace {
constexpr std::size_t kVerifierBytes = 32;
}

Pkce make_pkce(Random& random) {
  SecretString verifier = random_secret_token(random, kVerifierBytes);
  std::string challenge = code_challenge_s256(verifier);
  return {std::move(verifier), std::move(challenge)};
}

std::string code_challenge_s256(const SecretString& code_verifier) {
  return sha256_base64url(code_verifier.expose());
}

}  // namespace latchkey
