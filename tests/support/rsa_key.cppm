// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.rsa_key;

// RS256 by OpenSSL alone.

export namespace latchkey::test {

/// A new RSA key. Not to be used by two threads at once.
class RsaKey {
 public:
  explicit RsaKey(unsigned bits = 2048);
  RsaKey(const RsaKey&) = delete;
  RsaKey& operator=(const RsaKey&) = delete;
  ~RsaKey();

  /// The public key: kty, n and e.
  [[nodiscard]] std::string jwk() const;
  /// Compact JWS with RS256, whatever the header says.
  [[nodiscard]] std::string sign(std::string_view header, std::string_view claims) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Does EVP_DigestVerify accept the RS256 signature of `jws` under this public JWK?
[[nodiscard]] bool rsa_verifies(std::string_view jws, std::string_view public_jwk);

}  // namespace latchkey::test
