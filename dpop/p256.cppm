// SPDX-License-Identifier: MIT
module;
#include <array>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.dpop.p256;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.dpop.prover;

// DPoP proofs with ES256 (ECDSA on P-256 with SHA-256, RFC 7518 §3.4), signed by OpenSSL. The
// header is serialised once a key, signing contexts are kept with the key, and no JSON document is
// built on this path.

export namespace latchkey {

/// A P-256 key and the proofs it signs. Thread-safe; the private key never leaves it but through
/// the to_… functions.
class P256DpopProver final : public DpopProver {
 public:
  /// A new key. Error: invalid_key, "key.not_generated".
  [[nodiscard]] static Result<std::shared_ptr<P256DpopProver>> generate(
      std::shared_ptr<Random> random);
  /// RFC 7517/7518 private JWK. Refuses other curves, points off the curve, scalars that are zero
  /// or too large, members of the wrong length or type, duplicate members, and a `d` that does not
  /// belong to `x` and `y`. Error: invalid_key with "key.not_jwk", "key.wrong_type",
  /// "key.wrong_curve", "key.off_curve", "key.scalar_range", "key.mismatch", "key.not_private".
  [[nodiscard]] static Result<std::shared_ptr<P256DpopProver>> from_private_jwk(
      const SecretString& jwk, std::shared_ptr<Random> random);
  /// PKCS#8 (RFC 5958), PEM or DER, unencrypted. Error: invalid_key, also "key.not_pkcs8",
  /// "key.encrypted".
  [[nodiscard]] static Result<std::shared_ptr<P256DpopProver>> from_pkcs8(
      const SecretBytes& key, std::shared_ptr<Random> random);
  /// SEC1 ECPrivateKey (RFC 5915), PEM or DER. Error: invalid_key, also "key.not_sec1".
  [[nodiscard]] static Result<std::shared_ptr<P256DpopProver>> from_sec1(
      const SecretBytes& key, std::shared_ptr<Random> random);
  /// The vault's form, as to_bytes() wrote it: format byte 1, d, x, y (97 bytes).
  /// Error: invalid_key, also "key.not_bytes".
  [[nodiscard]] static Result<std::shared_ptr<P256DpopProver>> from_bytes(
      const SecretBytes& key, std::shared_ptr<Random> random);
  ~P256DpopProver() override;

  [[nodiscard]] SecretString to_private_jwk() const;
  [[nodiscard]] Result<SecretString> to_pkcs8_pem() const;
  [[nodiscard]] Result<SecretString> to_sec1_pem() const;
  [[nodiscard]] SecretBytes to_bytes() const;

  [[nodiscard]] Result<std::string> proof(const ProofInput& input) override;
  /// The ES256 signature over `text` as JWS has it (RFC 7518 §3.4): r and s, 32 bytes each. For
  /// keys that sign other things than proofs, such as a client's assertions; a key that does both
  /// is refused elsewhere. Error: invalid_key, "dpop.sign_failed".
  [[nodiscard]] Result<std::array<unsigned char, 64>> sign(std::string_view text);
  [[nodiscard]] const std::string& jkt() const noexcept override;
  [[nodiscard]] const std::string& public_jwk() const noexcept override;

  struct Impl;
  /// Use the factory functions.
  explicit P256DpopProver(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
