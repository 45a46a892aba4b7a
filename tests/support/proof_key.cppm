// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.proof_key;

// DPoP proofs made by OpenSSL alone, right or wrong in any way a test wants.

export namespace latchkey::test {

/// Members of a JSON object: name and JSON text.
using Members = std::map<std::string, std::string>;
[[nodiscard]] std::string to_json(const Members& members);

/// A new P-256 key. Not to be used by two threads at once.
class ProofKey {
 public:
  ProofKey();
  ProofKey(ProofKey&&) noexcept;
  ProofKey& operator=(ProofKey&&) noexcept;
  ~ProofKey();

  /// The public key, members in RFC 7638 order.
  [[nodiscard]] std::string jwk() const;
  /// With its d.
  [[nodiscard]] std::string private_jwk() const;
  [[nodiscard]] std::string thumbprint() const;
  /// typ, alg and jwk as they should be.
  [[nodiscard]] Members header() const;
  /// Compact JWS with ES256, whatever the header says.
  [[nodiscard]] std::string sign(std::string_view header, std::string_view claims) const;
  [[nodiscard]] std::string sign(const Members& header, const Members& claims) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// jti (a new one), htm, htu and iat (seconds).
[[nodiscard]] Members proof_claims(std::string_view htm, std::string_view htu, std::int64_t iat);
/// base64url of SHA-256, by OpenSSL.
[[nodiscard]] std::string hash_text(std::string_view text);
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace latchkey::test
