// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <string>
#include <string_view>
export module latchkey.test.openssl;

// Second opinions on keys and signatures: OpenSSL's own API and its command line, without the
// library's code for either (but for base64url).

export namespace latchkey::test {

/// The three parts of a JWS, the first two decoded.
struct DecodedJws {
  std::string header;
  std::string payload;
  std::string signing_input;
  std::string signature;  ///< as bytes
};

/// Empty members where `jws` is not three parts of base64url.
[[nodiscard]] DecodedJws decode_jws(std::string_view jws);

/// Does EVP_DigestVerify accept the ES256 signature of `jws` under the key with these 32-byte
/// coordinates?
[[nodiscard]] bool evp_verifies(std::string_view jws, std::string_view x, std::string_view y);
/// The same, with x and y taken from a JWK text.
[[nodiscard]] bool evp_verifies(std::string_view jws, std::string_view public_jwk);

/// The openssl command in a folder of its own, which goes with the object.
class OpensslTool {
 public:
  OpensslTool();
  OpensslTool(const OpensslTool&) = delete;
  OpensslTool& operator=(const OpensslTool&) = delete;
  ~OpensslTool();

  /// Runs `openssl <arguments>` in the folder; true if it exits with 0.
  [[nodiscard]] bool run(const std::string& arguments) const;
  void write(const std::string& name, std::string_view content) const;
  [[nodiscard]] std::string read(const std::string& name) const;
  /// `openssl dgst -sha256 -verify` on the signature of `jws`.
  [[nodiscard]] bool verifies(std::string_view jws, std::string_view public_jwk) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace latchkey::test
