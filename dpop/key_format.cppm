// SPDX-License-Identifier: MIT
module;
#include <span>
#include <vector>
export module latchkey.dpop.key_format;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.dpop.jwk;

// Files with a P-256 private key: PKCS#8 (RFC 5958) and SEC1 (RFC 5915), as DER or PEM (RFC 7468).
// Both are a few fixed bytes around the key, so they are read and written here: strictly, with the
// exact cause of a refusal, and without unwiped copies. Internal to dpop; the hub does not export
// it.

export namespace latchkey {

/// What a key file holds, before any check that the numbers are a key.
struct P256KeyFile {
  SecretBytes d;  ///< 32 bytes
  std::vector<unsigned char>
      point;  ///< the public key as in SEC1 §2.3.3; empty if the file has none
};

/// Unencrypted PKCS#8, DER or PEM.
/// Error: invalid_key, "key.not_pkcs8", "key.encrypted", "key.wrong_type", "key.wrong_curve".
[[nodiscard]] Result<P256KeyFile> parse_pkcs8(std::span<const unsigned char> file);
/// SEC1 ECPrivateKey, DER or PEM (an EC PARAMETERS block before it is skipped).
/// Error: invalid_key, "key.not_sec1", "key.encrypted", "key.wrong_curve".
[[nodiscard]] Result<P256KeyFile> parse_sec1(std::span<const unsigned char> file);

/// `d` has 32 bytes.
[[nodiscard]] SecretString pkcs8_pem(const SecretBytes& d, const P256Coordinates& point);
[[nodiscard]] SecretString sec1_pem(const SecretBytes& d, const P256Coordinates& point);

}  // namespace latchkey
