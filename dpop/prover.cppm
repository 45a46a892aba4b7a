// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.dpop.prover;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

// The contract of everything that can prove possession of a key with DPoP (RFC 9449):
// P256DpopProver is ours; a hardware key or a test double can stand in.

export namespace latchkey {

/// What one proof is about (RFC 9449 §4.2).
struct ProofInput {
  std::string_view htm;                        ///< the method as sent
  std::string_view htu;                        ///< Url::htu(): no query, no fragment, normalised
  TimePoint iat;                               ///< corrected for clock skew
  const SecretString* access_token = nullptr;  ///< set for requests to a resource server: `ath`
  std::optional<std::string_view> nonce{};     ///< the last nonce of that server, if any
};

/// Thread-safe.
class DpopProver {
 public:
  DpopProver() = default;
  DpopProver(const DpopProver&) = delete;
  DpopProver& operator=(const DpopProver&) = delete;
  virtual ~DpopProver();

  /// A new proof with a new `jti`, in JWS compact form. Errors: invalid_key ("dpop.sign_failed"),
  /// invalid_argument
  /// ("dpop.htm", "dpop.htu", "dpop.nonce") for input that cannot be put into a proof.
  [[nodiscard]] virtual Result<std::string> proof(const ProofInput& input) = 0;
  /// RFC 7638 thumbprint of the public key, base64url.
  [[nodiscard]] virtual const std::string& jkt() const noexcept = 0;
  /// The public key as JWK text: {"crv":"P-256","kty":"EC","x":"...","y":"..."}.
  [[nodiscard]] virtual const std::string& public_jwk() const noexcept = 0;
};

}  // namespace latchkey
