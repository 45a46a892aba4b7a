// SPDX-License-Identifier: MIT
module;
#include <openssl/sha.h>
#include <sodium.h>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>
module latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.secret;

namespace latchkey {

void ensure_sodium() {
  static const bool ready = [] {
    if (sodium_init() < 0) std::terminate();
    return true;
  }();
  static_cast<void>(ready);
}

Random::~Random() {}

void SystemRandom::fill(std::span<unsigned char> bytes) {
  ensure_sodium();
  if (bytes.empty()) return;  // libsodium takes no null pointer
  randombytes_buf(bytes.data(), bytes.size());
}

SecretString random_secret_token(Random& random, std::size_t size) {
  SecretBytes bytes(size);
  random.fill(bytes.mutable_span());
  return base64url_encode_secret(bytes.expose());
}

std::string random_token(Random& random, std::size_t size) {
  return std::string(random_secret_token(random, size).expose());
}

Sha256 sha256(std::span<const unsigned char> bytes) {
  Sha256 digest{};
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

Sha256 sha256(std::string_view text) {
  return sha256(as_bytes(text));
}

std::string sha256_base64url(std::string_view text) {
  return base64url_encode(sha256(text));
}

bool constant_time_equal(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace latchkey
