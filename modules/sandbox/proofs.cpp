// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.proofs;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.verifier;
import latchkey.http;
import latchkey.sandbox.message;

namespace latchkey::sandbox {

ProofGate::ProofGate(std::string origin, std::shared_ptr<Clock> clock, Random& random,
                     std::chrono::milliseconds nonce_rotation)
    : origin_(std::move(origin)), clock_(std::move(clock)), random_(random) {
  set_nonce_rotation(nonce_rotation);
}

// Under new nonces no proof seen before is good, so that none of them need be remembered.
void ProofGate::set_nonce_rotation(std::chrono::milliseconds nonce_rotation) {
  nonces_ = std::make_shared<NonceIssuer>(random_, nonce_rotation);
  verifier_ =
      std::make_unique<DpopVerifier>(DpopVerifierOptions{.clock = clock_, .nonces = nonces_});
}

Result<VerifiedProof> ProofGate::check(const Request& request, std::string_view access_token,
                                       std::string_view jkt) {
  auto url = Url::parse(origin_ + request.path);
  if (!url) return std::move(url).error();
  const SecretString token(access_token);
  return verifier_->verify(request.headers.all("DPoP"),
                           {.htm = request.method,
                            .htu = *std::move(url),
                            .access_token = access_token.empty() ? nullptr : &token,
                            .jkt = jkt});
}

std::string ProofGate::nonce() const {
  return nonces_->current(clock_->now());
}

std::string ProofGate::bad_nonce() {
  return random_token(random_, 18);
}

Error proof_refusal(const Error& error, int status) {
  if (error.code == ErrorCode::rate_limited) {
    return refusal("temporarily_unavailable", error.detail, error.message, 503);
  }
  return refusal(needs_nonce(error) ? "use_dpop_nonce" : "invalid_dpop_proof", error.detail,
                 error.message, status);
}

}  // namespace latchkey::sandbox
