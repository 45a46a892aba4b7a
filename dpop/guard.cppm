// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.dpop.guard;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.verifier;
import latchkey.http;

// A resource server's door: from the fields of a request to "may pass", or to the exact answer that
// tells a client what to do (RFC 9449 §7). Access tokens that are bound to a key only. It knows no
// server library: hand over the fields, and send what it gives.

export namespace latchkey {

/// What the guard looks at of a request.
struct GuardedRequest {
  std::string_view method;  ///< as it came
  /// As the client called it: behind a proxy that ends TLS, the public address. Query and fragment
  /// do not count.
  Url url;
  std::vector<std::string_view> authorization;  ///< the values of all Authorization fields
  std::vector<std::string_view> dpop;           ///< the values of all DPoP fields
};

/// To whom a token belongs, as the server knows it by introspection (RFC 7662) or from the JWT that
/// the token is.
struct KnownToken {
  std::string jkt;  ///< cnf.jkt (RFC 9449 §6); empty: it is bound to no key
};
/// Empty: no such token, or it is over, or not meant for this server. An error says that this can't
/// be found out now.
using TokenLookup = std::function<Result<std::optional<KnownToken>>(const SecretString& token)>;

/// What to answer a request that may not pass.
struct GuardAnswer {
  int status = 401;
  Headers headers{};
};

/// Thread-safe, as far as the clock that it is given is.
class DpopGuard {
 public:
  explicit DpopGuard(DpopVerifierOptions options);

  /// Whether a request may pass: one Authorization of scheme DPoP with a token that `lookup` knows
  /// to be bound to the key of the one proof, which is for this request and new. `lookup` is asked
  /// before the proof is remembered, so that only who has a token can use up the memory for that.
  /// Errors: login_required, "guard.token_missing"; invalid_argument,
  /// "guard.authorization_several", "guard.authorization_malformed"; token_invalid,
  /// "guard.scheme" (Bearer or another one, whatever the token), "guard.token_unknown",
  /// "guard.token_unbound"; those of DpopVerifier::verify and of `lookup`.
  [[nodiscard]] Result<VerifiedProof> check(const GuardedRequest& request,
                                            const TokenLookup& lookup);

  /// The answer to a request that check() refused with `error` (RFC 9449 §7.1, §9, RFC 6750 §3.1):
  /// 400 invalid_request for an Authorization that nobody can read; 401 with use_dpop_nonce,
  /// invalid_dpop_proof, invalid_token, or no error where no token came; 429 for a key that sends
  /// more proofs than can be remembered (RFC 6585 §4); 503 where the server can't judge now. A
  /// challenge names the algorithms. Nothing of the request comes back in it.
  [[nodiscard]] GuardAnswer answer_to(const Error& error) const;

  /// What a request that passed is answered with besides its own fields: the DPoP-Nonce of now, and
  /// Cache-Control: no-store with it (RFC 9449 §8.2). Nothing without nonces.
  [[nodiscard]] Headers answer_fields() const;

 private:
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<NonceIssuer> nonces_;
  DpopVerifier verifier_;
};

}  // namespace latchkey
