// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
export module latchkey.oidc.jws;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.oidc.jws_algorithm;

// The envelope of an id token: a JWS in compact form (RFC 7515 §7.1), taken apart by its grammar
// alone. Whose signature it is, is for latchkey.oidc.verification_key to say.

export namespace latchkey {

/// No id token is larger. A token answer has 64 KiB.
inline constexpr std::size_t kMaxIdToken = std::size_t{32} * 1024;
/// No key id is longer.
inline constexpr std::size_t kMaxKid = 512;

struct CompactJws {
  JwsAlgorithm algorithm{};
  std::optional<std::string> kid{};  ///< empty text is a kid too
  std::string_view signed_text{};    ///< header and payload; points into the text that was parsed
  SecretBytes payload{};
  Bytes signature{};
};

/// Strict: three parts of canonical base64url; a header that is one JSON object without duplicate
/// members. Keys that the token itself names or brings (jku, x5u, jwk, x5c) are never looked at.
/// Errors: token_invalid, "id_token.missing" (empty), "id_token.too_large", "id_token.encrypted"
/// (five parts), "id_token.malformed", "id_token.header.not_json",
/// "id_token.header.duplicate_member", "id_token.header.wrong_type", "id_token.alg_missing",
/// "id_token.alg_unsupported" (none, HMAC or unknown), "id_token.alg_not_allowed" (one of ours, but
/// not in `allowed`), "id_token.crit" (RFC 7515 §4.1.11: we know no extension), "id_token.b64"
/// (RFC 7797), "id_token.typ" (another kind of JWT, RFC 8725 §3.11), "id_token.kid_malformed"
/// (longer than kMaxKid, or with control characters).
[[nodiscard]] Result<CompactJws> parse_compact_jws(std::string_view text,
                                                   std::span<const JwsAlgorithm> allowed);

}  // namespace latchkey
