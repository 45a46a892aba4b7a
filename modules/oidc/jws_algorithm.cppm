// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
export module latchkey.oidc.jws_algorithm;

// The signature algorithms that id tokens may have (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2),
// and what each demands of its key. "none" and the HMAC ones are not among them, and so cannot be
// asked for.

export namespace latchkey {

enum class JwsAlgorithm : std::uint8_t {
  rs256,
  rs384,
  rs512,
  ps256,
  ps384,
  ps512,
  es256,
  es384,
  es512,
  eddsa,    ///< with Ed25519 only
  ed25519,  ///< the same by its newer name
};

/// All of them.
[[nodiscard]] std::span<const JwsAlgorithm> jws_algorithms() noexcept;
/// As in a header: "RS256", "EdDSA".
[[nodiscard]] std::string_view to_string(JwsAlgorithm algorithm) noexcept;
/// Nothing for every other name, and for another case.
[[nodiscard]] std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name) noexcept;

/// What a key must be to be used with an algorithm.
enum class KeyKind : std::uint8_t { rsa, p256, p384, p521, ed25519 };
[[nodiscard]] KeyKind key_kind(JwsAlgorithm algorithm) noexcept;

/// OpenSSL's name of the digest, e.g. "SHA256"; SHA-512 for Ed25519, whose hash it is.
[[nodiscard]] const char* digest_name(JwsAlgorithm algorithm) noexcept;

/// base64url of the left half of the algorithm's digest of `text`: at_hash (OpenID Connect Core
/// §3.1.3.6).
[[nodiscard]] std::string half_hash(JwsAlgorithm algorithm, std::string_view text);

}  // namespace latchkey
