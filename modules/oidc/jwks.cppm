// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string_view>
#include <vector>
export module latchkey.oidc.jwks;
import latchkey.core.error;
import latchkey.http;
import latchkey.oidc.jws;
import latchkey.oidc.verification_key;

// The keys that a provider publishes (JWK Set, RFC 7517 §5), and the choice among them.

export namespace latchkey {

/// The keys of a set that can verify signatures. A value.
class JwkSet {
 public:
  /// Keys that are of no use here are left out and counted, and so are those after the hundredth
  /// (RFC 7517 §5). Errors: invalid_metadata, "jwks.not_json", "jwks.duplicate_member",
  /// "jwks.wrong_type", "jwks.missing_member".
  [[nodiscard]] static Result<JwkSet> parse(std::string_view json);

  [[nodiscard]] const std::vector<VerificationKey>& keys() const noexcept { return keys_; }
  /// How many were left out.
  [[nodiscard]] std::size_t skipped() const noexcept { return skipped_; }

  /// Is the token signed by one of these keys? With a kid, by one that has it; several may. Without
  /// one there must be exactly one key that fits the algorithm (OpenID Connect Core §10.1).
  /// Errors: token_invalid, "id_token.key_not_found", "id_token.kid_missing" (several keys fit),
  /// "id_token.key_mismatch" (the key that it names is not for its algorithm),
  /// "id_token.signature".
  [[nodiscard]] Result<void> verify(const CompactJws& token) const;

 private:
  [[nodiscard]] Result<void> verify_named(const CompactJws& token) const;
  [[nodiscard]] Result<void> verify_unnamed(const CompactJws& token) const;

  std::vector<VerificationKey> keys_;
  std::size_t skipped_ = 0;
};

/// An answer of jwks_uri: exactly 200, JSON content. Errors: invalid_metadata, "jwks.status",
/// "jwks.content_type", and those of JwkSet::parse.
[[nodiscard]] Result<JwkSet> process_jwks_response(std::string_view jwks_uri,
                                                   const HttpResponse& response);

}  // namespace latchkey
