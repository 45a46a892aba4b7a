// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.jws_key;
import latchkey.test.proof_key;

// Signatures of every kind that JWS knows, by OpenSSL alone.

export namespace latchkey::test {

/// A new pair of keys. Not to be used by two threads at once.
class JwsKey {
 public:
  /// `alg`: RS, PS or ES with 256, 384 or 512, or EdDSA. `rsa_bits` counts for RS and PS.
  explicit JwsKey(std::string_view alg, unsigned rsa_bits = 2048);
  JwsKey(JwsKey&&) noexcept;
  ~JwsKey();

  /// The public key, with these further members.
  [[nodiscard]] std::string jwk(const Members& more = {}) const;
  /// The same as members.
  [[nodiscard]] Members members() const;
  /// What JWS wants for this text: r||s for ECDSA, PSS with a salt of `salt` bytes (negative: as
  /// long as the hash).
  [[nodiscard]] std::vector<unsigned char> signature(std::string_view text, int salt = -1) const;
  /// Compact JWS, whatever the header says.
  [[nodiscard]] std::string sign(std::string_view header, std::string_view payload) const;
  [[nodiscard]] std::string sign(const Members& header, const Members& claims) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Compact JWS with an HMAC of SHA-256.
[[nodiscard]] std::string sign_hs256(std::string_view header, std::string_view payload,
                                     std::string_view key);
/// The public key as SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it.
[[nodiscard]] std::string public_pem(std::string_view jwk);

}  // namespace latchkey::test
