// SPDX-License-Identifier: MIT
module;
export module latchkey.sandbox.userinfo;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

// OpenID Connect's UserInfo endpoint (Core §5.3), with Bearer and DPoP tokens.

export namespace latchkey::sandbox {

/// GET or POST. Each refusal is a 400, 401 or 403 with a challenge for both schemes (RFC 6750 §3,
/// RFC 9449 §7.1). The token stands in the Authorization header and nowhere else. Details of
/// refusals: those of check_bound_token, "access.missing", "access.malformed", "access.scheme",
/// "access.bound" (a token with a key, sent as Bearer), "scope.missing".
[[nodiscard]] Response userinfo(const Request& request, Accounts& accounts,
                                const TokenLedger& ledger, ProofGate& proofs);

}  // namespace latchkey::sandbox
