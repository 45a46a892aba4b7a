// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.sandbox.jose;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;

// Signatures of the sandbox's authorization server: id tokens that it signs, and client assertions
// that it checks (RFC 7515, RFC 7518). The one place in the sandbox that calls OpenSSL.

export namespace latchkey::sandbox {

enum class JwsAlg { es256, rs256 };
/// As in a header: "ES256", "RS256".
[[nodiscard]] std::string_view to_string(JwsAlg alg) noexcept;
/// Nothing for every other name: "none" and the HMAC ones are never good here.
[[nodiscard]] std::optional<JwsAlg> parse_alg(std::string_view name) noexcept;

/// A pair of keys made here or kept from an earlier run. Movable; not to be used by two threads at
/// once.
class SigningKey {
 public:
  /// P-256, or RSA of 2048 bits. Error: invalid_key, "sandbox.key_not_generated".
  [[nodiscard]] static Result<SigningKey> generate(JwsAlg alg);
  /// What der() gave. Nothing if it is no such key.
  [[nodiscard]] static std::optional<SigningKey> parse(std::span<const unsigned char> der);
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  [[nodiscard]] JwsAlg alg() const noexcept;
  /// The RFC 7638 thumbprint of the public key.
  [[nodiscard]] const std::string& kid() const noexcept;
  /// With kid, alg and use.
  [[nodiscard]] const std::string& public_jwk() const noexcept;
  /// A compact JWT with typ "JWT". Error: invalid_key, "sandbox.key_not_usable".
  [[nodiscard]] Result<std::string> sign(std::string_view claims) const;
  /// The pair, as SEC 1 (RFC 5915) or PKCS #1 (RFC 8017) has it.
  [[nodiscard]] const SecretBytes& der() const noexcept;

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  [[nodiscard]] static std::optional<SigningKey> complete(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A public key of somebody else's. A value; its copies share the key, which never changes.
class VerifyingKey {
 public:
  /// A P-256 or RSA key of 2048 to 8192 bits, with a kid, without private members, whose `alg`, if
  /// there, fits it. Error: invalid_key, "jwk.private", "jwk.kid", "jwk.kind", "jwk.alg",
  /// "jwk.key".
  [[nodiscard]] static Result<VerifyingKey> parse(const JsonObject& jwk);

  [[nodiscard]] const std::string& kid() const noexcept;
  /// The one algorithm that it is good for.
  [[nodiscard]] JwsAlg alg() const noexcept;
  /// RFC 7638.
  [[nodiscard]] const std::string& thumbprint() const noexcept;
  [[nodiscard]] bool verifies(std::string_view signed_text, const Bytes& signature) const;

 private:
  struct Impl;
  explicit VerifyingKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// The parts of a compact JWS, nothing of it checked.
struct CompactJws {
  JsonObject header, claims;
  std::string signed_text;
  Bytes signature;
};
/// Nothing unless these are three parts of base64url, the first two JSON objects without duplicate
/// members, in at most 8 KiB.
[[nodiscard]] std::optional<CompactJws> parse_jws(std::string_view text);

}  // namespace latchkey::sandbox
