// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.dpop.verifier;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.replay;

// The other side of DPoP: what a resource server or authorization server checks of a proof
// (RFC 9449 §4.3). Proofs with ES256 only.

export namespace latchkey {

struct DpopVerifierOptions {
  std::shared_ptr<Clock> clock;
  /// Null: proofs need no nonce, and one they have is not looked at.
  std::shared_ptr<NonceIssuer> nonces{};
  /// How old a proof may be, and how far in the future: clocks differ.
  Duration max_age = std::chrono::minutes{3};
  Duration max_lead = std::chrono::minutes{3};
  /// Proofs remembered at most, up to 200 bytes each.
  std::size_t replay_capacity = 200'000;
  /// The same of one key, so that its holder can't use up the room of all others. As many come from
  /// one in `max_age` at 100 requests a second.
  std::size_t replay_capacity_per_key = 20'000;
};

/// What a proof must be about.
struct ProofExpectation {
  std::string_view htm;  ///< the request's method
  Url htu;               ///< the URL that the client called; query and fragment do not count
  /// At a resource server: `ath` must be its hash. Null: there must be no `ath`.
  const SecretString* access_token = nullptr;
  /// The key that the token or code is bound to (cnf.jkt); empty: any.
  std::string_view jkt{};
};

struct VerifiedProof {
  std::string jkt;  ///< RFC 7638 thumbprint of the key that signed it
  std::string jti;
  TimePoint iat;
};

/// Thread-safe.
class DpopVerifier {
 public:
  explicit DpopVerifier(DpopVerifierOptions options)
      : options_(std::move(options)),
        seen_(options_.replay_capacity, options_.replay_capacity_per_key) {}

  /// `headers`: the values of all DPoP fields of the request. Remembers the proof if all else was
  /// right. Errors: dpop_refused, in the order of the checks:
  /// "proof.missing", "proof.several", "proof.too_large", "proof.malformed" (not a compact JWS of
  /// JSON objects without duplicate members), "proof.typ", "proof.alg", "proof.crit",
  /// "proof.jwk" (missing or not a P-256 key), "proof.jwk_private", "proof.key" (not on the curve),
  /// "proof.signature", "proof.claims" (one is missing or has the wrong type), "proof.jti" (empty
  /// or over 512 characters), "proof.htm", "proof.htu", "proof.nonce_missing",
  /// "proof.nonce_stale", "proof.expired", "proof.future", "proof.ath_missing",
  /// "proof.ath_unexpected", "proof.ath", "proof.key_mismatch", "proof.replayed"; and rate_limited,
  /// "proof.key_quota" (this key has sent too many) and "proof.cache_full".
  [[nodiscard]] Result<VerifiedProof> verify(const std::vector<std::string_view>& headers,
                                             const ProofExpectation& expected);

 private:
  DpopVerifierOptions options_;
  ReplayCache seen_;
};

/// True for the two failures that are answered with use_dpop_nonce and a nonce (RFC 9449 §8, §9).
[[nodiscard]] bool needs_nonce(const Error& error) noexcept;

}  // namespace latchkey
