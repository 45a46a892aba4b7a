// SPDX-License-Identifier: MIT
module;
#include <array>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.dpop.jwk;
import latchkey.core.error;
import latchkey.core.secret;

// JSON Web Keys as far as DPoP needs them: P-256 keys in and out, and thumbprints.

export namespace latchkey {

/// Coordinates of a P-256 public key, big-endian. Nothing here has checked that the point is on the
/// curve.
struct P256Coordinates {
  std::array<unsigned char, 32> x{};
  std::array<unsigned char, 32> y{};
  [[nodiscard]] bool operator==(const P256Coordinates&) const = default;
};

/// A parsed EC P-256 JWK; `d` only for private keys.
struct P256Jwk {
  P256Coordinates point;
  std::optional<SecretBytes> d;
};

/// Strict: an object with kty "EC" and crv "P-256", x and y (and d, if there) of exactly 32 bytes
/// in base64url, no duplicate members, at most 8 KiB. Other members (kid, use, alg ES256) are
/// allowed and ignored; an `alg` other than ES256 is not. Error: invalid_key ("key.not_jwk",
/// "key.wrong_type", "key.wrong_curve").
[[nodiscard]] Result<P256Jwk> parse_p256_jwk(std::string_view jwk);

/// The public JWK with its members in RFC 7638 order: {"crv":"P-256","kty":"EC","x":"…","y":"…"}.
[[nodiscard]] std::string public_jwk_text(const P256Coordinates& point);
/// RFC 7638 thumbprint (SHA-256, base64url) of a P-256 key.
[[nodiscard]] std::string jwk_thumbprint(const P256Coordinates& point);
/// RFC 7638 thumbprint of any EC, OKP, RSA or oct JWK. Error: invalid_key.
[[nodiscard]] Result<std::string> jwk_thumbprint(std::string_view jwk);

}  // namespace latchkey
