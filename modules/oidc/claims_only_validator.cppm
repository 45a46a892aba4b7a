// SPDX-License-Identifier: MIT
module;
#include <memory>
export module latchkey.oidc.claims_only_validator;
import latchkey.core.time;
import latchkey.oidc.id_token;

// For programs that leave the signature to their own backend, or trust the connection on which the
// id token came (OpenID Connect Core §3.1.3.7, point 6).

export namespace latchkey {

/// Makes every check but that of the signature: what it lets through, anybody may have written. Its
/// checks_signature() is false.
[[nodiscard]] std::shared_ptr<IdTokenValidator> claims_only_validator(std::shared_ptr<Clock> clock);

}  // namespace latchkey
