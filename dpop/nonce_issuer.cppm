// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.dpop.nonce_issuer;
import latchkey.core.crypto;
import latchkey.core.secret;
import latchkey.core.time;

// The server's side of DPoP nonces (RFC 9449 §8, §9): which one to give out, and which are good.

export namespace latchkey {

/// Nonces that change by the clock and need no memory: a keyed hash of the time's interval.
/// Thread-safe. A nonce is good in the interval in which it was given out and in the next, so it
/// lives between one and two intervals. Servers that share a key know each other's nonces.
class NonceIssuer {
 public:
  /// `interval`: at least a millisecond.
  NonceIssuer(SecretBytes key, Duration interval);
  /// With a key of its own.
  NonceIssuer(Random& random, Duration interval);

  [[nodiscard]] std::string current(TimePoint now) const;
  /// Takes the same time whatever is wrong with the nonce.
  [[nodiscard]] bool accepts(std::string_view nonce, TimePoint now) const;

 private:
  [[nodiscard]] std::string at(long long slot) const;
  [[nodiscard]] long long slot_of(TimePoint time) const noexcept;
  SecretBytes key_;
  Duration interval_;
};

}  // namespace latchkey
