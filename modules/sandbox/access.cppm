// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.sandbox.access;
import latchkey.core.error;
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

// What a request may do whose access token came with a DPoP proof (RFC 9449 §7.1).

export namespace latchkey::sandbox {

/// The grant behind the token. Errors, as of refusal: invalid_dpop_proof and use_dpop_nonce;
/// invalid_token, 401, "access.wrong_key", "access.unknown", "access.not_bound" (a Bearer token),
/// "access.expired", "access.replaced", "access.ended".
[[nodiscard]] Result<Grant> check_bound_token(const Request& request, std::string_view token,
                                              const TokenLedger& ledger, ProofGate& proofs);

/// The refusal of a token, 401.
[[nodiscard]] Error invalid_token(std::string_view detail, std::string_view description);

}  // namespace latchkey::sandbox
