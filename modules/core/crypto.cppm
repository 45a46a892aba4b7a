// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
export module latchkey.core.crypto;
import latchkey.core.secret;

// Random numbers, SHA-256 and comparisons in constant time. Signing is in latchkey.dpop, sealing in
// latchkey.store.vault.

export namespace latchkey {

/// Source of random bytes. Thread-safe.
class Random {
 public:
  Random() = default;
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;
  virtual ~Random();
  virtual void fill(std::span<unsigned char> bytes) = 0;
};

/// libsodium's generator. Terminates the process if the system has no randomness.
class SystemRandom final : public Random {
 public:
  void fill(std::span<unsigned char> bytes) override;
};

/// `size` random bytes as base64url (state, jti, nonces of our own).
[[nodiscard]] std::string random_token(Random& random, std::size_t size);
/// The same for values that must not leak (code_verifier).
[[nodiscard]] SecretString random_secret_token(Random& random, std::size_t size);

using Sha256 = std::array<unsigned char, 32>;

[[nodiscard]] Sha256 sha256(std::span<const unsigned char> bytes);
[[nodiscard]] Sha256 sha256(std::string_view text);
/// base64url(SHA-256(text)), as in code_challenge, ath and jkt.
[[nodiscard]] std::string sha256_base64url(std::string_view text);

/// Takes the same time for all texts of one length.
[[nodiscard]] bool constant_time_equal(std::string_view a, std::string_view b) noexcept;

/// Must be called before other libsodium functions; idempotent and thread-safe, and called by what
/// needs it here.
void ensure_sodium();

}  // namespace latchkey
