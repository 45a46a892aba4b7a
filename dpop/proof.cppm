// SPDX-License-Identifier: MIT
module;
#include <array>
#include <span>
#include <string>
#include <string_view>
export module latchkey.dpop.proof;
import latchkey.core.error;
import latchkey.dpop.jwk;
import latchkey.dpop.prover;

// How a DPoP proof is written down (RFC 9449 §4.2), apart from keys and signing. Internal to dpop;
// the hub does not export it.

export namespace latchkey {

/// 16 random bytes; jti is their base64url form.
using ProofId = std::array<unsigned char, 16>;
/// base64url of a SHA-256, as in ath.
using TokenHash = std::array<char, 43>;
/// ECDSA r and s on P-256, 32 bytes each (RFC 7518 §3.4).
using RawSignature = std::array<unsigned char, 64>;

/// Error: invalid_argument, "dpop.htm", "dpop.htu", "dpop.nonce".
[[nodiscard]] Result<void> check_proof_input(const ProofInput& input);

/// base64url of the header of all proofs of a key: typ, alg and the public key.
[[nodiscard]] std::string proof_header(const P256Coordinates& point);

/// Replaces `out` by the claims as JSON. `input` was checked; `ath` is nullptr without an access
/// token.
void write_claims(std::string& out, const ProofInput& input, const ProofId& id,
                  const TokenHash* ath);

/// The form of JWS from the form of OpenSSL. False if `der` is not exactly one well-formed P-256
/// signature.
[[nodiscard]] bool raw_signature(std::span<const unsigned char> der, RawSignature& out) noexcept;

}  // namespace latchkey
