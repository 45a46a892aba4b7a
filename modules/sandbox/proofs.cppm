// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.sandbox.proofs;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.verifier;
import latchkey.sandbox.message;

// The check of every DPoP proof that reaches one of the servers, with nonces of its own.

export namespace latchkey::sandbox {

class ProofGate {
 public:
  /// `origin`: as clients call the server.
  ProofGate(std::string origin, std::shared_ptr<Clock> clock, Random& random,
            std::chrono::milliseconds nonce_rotation);

  /// `access_token`: empty at the authorization server. `jkt`: empty for any key. Errors:
  /// dpop_refused as of DpopVerifier.
  [[nodiscard]] Result<VerifiedProof> check(const Request& request, std::string_view access_token,
                                            std::string_view jkt);
  /// Nonces given out before are no longer good.
  void set_nonce_rotation(std::chrono::milliseconds nonce_rotation);
  [[nodiscard]] std::string nonce() const;
  /// One that will not be accepted.
  [[nodiscard]] std::string bad_nonce();

 private:
  std::string origin_;
  std::shared_ptr<Clock> clock_;
  Random& random_;
  std::shared_ptr<NonceIssuer> nonces_;
  std::unique_ptr<DpopVerifier> verifier_;
};

/// The refusal of a bad proof: use_dpop_nonce or invalid_dpop_proof.
[[nodiscard]] Error proof_refusal(const Error& error, int status);

}  // namespace latchkey::sandbox
