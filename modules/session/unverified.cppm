// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
export module latchkey.session.unverified;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

// What a token that happens to be a JWT says of itself (RFC 7519 §4.1). Nobody has checked its
// signature: for display, and to know when a token of ours will end. Never to decide who somebody
// is; that is what an IdTokenValidator is for.

export namespace latchkey {

/// Empty where the token does not say.
struct UnverifiedClaims {
  std::string issuer{};
  std::string subject{};
  std::string scope{};
  std::optional<TimePoint> issued_at{};
  std::optional<TimePoint> expires_at{};
};

/// Errors, all invalid_argument: "unverified.not_a_jwt" (not three parts), "unverified.encoding"
/// (the claims are not base64url), "unverified.not_json", "unverified.duplicate_member",
/// "unverified.wrong_type", "unverified.bad_time" (not between 1970 and 9999). Many tokens are no
/// JWTs: that is no reason to refuse them.
[[nodiscard]] Result<UnverifiedClaims> peek_claims(const SecretString& token);

}  // namespace latchkey
