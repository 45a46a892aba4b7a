// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.oidc.verification_key;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.oidc.jws_algorithm;

// A provider's public key, and whether a signature is its (RFC 7515 §5.2). A key does what its type
// and curve can do, and what its JWK allows, whatever a token says.

export namespace latchkey {

/// A public key out of a JWK. A value; copies share the key, which never changes. Thread-safe.
class VerificationKey {
 public:
  /// RSA of 2048 to 8192 bits with an odd exponent of 2 to 32 bits; P-256, P-384, P-521; Ed25519.
  /// Errors: invalid_key, "jwk.private" (it has private members), "jwk.kind" (kty or crv),
  /// "jwk.use" (not "sig"), "jwk.key_ops" (without "verify"), "jwk.alg" (not one of ours, or not
  /// for such a key), "jwk.kid" (longer than kMaxKid), "jwk.key" (malformed, off the curve, too
  /// small), and "jwk.wrong_type".
  [[nodiscard]] static Result<VerificationKey> from_jwk(const JsonObject& jwk);

  [[nodiscard]] const std::optional<std::string>& kid() const noexcept { return kid_; }
  /// Is it a key for this algorithm, by its type, its curve and its `alg`?
  [[nodiscard]] bool fits(JwsAlgorithm algorithm) const noexcept;
  /// Did it sign `text`? False also if it does not fit. The signature is as JWS has it: r||s for
  /// ECDSA, PSS with a salt as long as the hash.
  [[nodiscard]] bool verifies(JwsAlgorithm algorithm, std::string_view text,
                              std::span<const unsigned char> signature) const;

 private:
  struct Impl;
  VerificationKey(std::shared_ptr<const Impl> impl, KeyKind kind) noexcept
      : impl_(std::move(impl)), kind_(kind) {}

  std::shared_ptr<const Impl> impl_;
  KeyKind kind_;
  std::optional<JwsAlgorithm> only_{};  // its `alg`
  std::optional<std::string> kid_{};
};

}  // namespace latchkey
