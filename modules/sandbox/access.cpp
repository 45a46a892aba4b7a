// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
module latchkey.sandbox.access;
import latchkey.core.error;
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {

Result<Grant> check_bound_token(const Request& request, std::string_view token,
                                const TokenLedger& ledger, ProofGate& proofs) {
  const auto access = ledger.find_access(token);
  const auto proof = proofs.check(request, token, access ? access->grant.jkt : std::string());
  if (!proof && proof.error().detail == "proof.key_mismatch") {
    return invalid_token("access.wrong_key", "The proof is of another key than the token");
  }
  if (!proof) return proof_refusal(proof.error(), 401);
  if (!access) return invalid_token("access.unknown", "Unknown token");
  if (access->grant.jkt.empty()) {
    return invalid_token("access.not_bound", "The token is bound to no key");
  }
  if (!access->problem.empty()) return invalid_token(access->problem, "The token is over");
  return access->grant;
}

Error invalid_token(std::string_view detail, std::string_view description) {
  return refusal("invalid_token", detail, std::string(description), 401);
}

}  // namespace latchkey::sandbox
