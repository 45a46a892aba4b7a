// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.oidc.id_token_claims;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.oidc.id_token;
import latchkey.oidc.jws_algorithm;

// What must be true of the claims of an id token (OpenID Connect Core §3.1.3.7 and §12.2), whoever
// signed it.

export namespace latchkey {

/// Reads the payload. `sub`, `iss`, `aud`, `exp` and `iat` must be there; times are whole seconds.
/// Claims that are for display only and have the wrong form count as absent. Errors: token_invalid,
/// "id_token.not_json", "id_token.duplicate_member", "id_token.wrong_type",
/// "id_token.missing_member", "id_token.time" (before 1970 or after 9999),
/// "id_token.subject_malformed" (not 1 to 255 printable ASCII characters).
[[nodiscard]] Result<IdTokenClaims> parse_id_token_claims(std::string_view payload);

/// The checks of IdTokenValidator but for the signature, in the order of the errors that it lists.
/// `algorithm`: of the token, whose hash at_hash is.
[[nodiscard]] Result<void> check_id_token_claims(const IdTokenClaims& claims,
                                                 const IdTokenExpectations& expectations,
                                                 JwsAlgorithm algorithm, TimePoint now);

}  // namespace latchkey
