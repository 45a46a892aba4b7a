// SPDX-License-Identifier: MIT
module;
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.dpop.nonce_issuer;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kNonceBytes = 18;

SecretBytes draw_key(Random& random) {
  SecretBytes key(kKeySize);
  random.fill(key.mutable_span());
  return key;
}

}  // namespace

NonceIssuer::NonceIssuer(SecretBytes key, Duration interval)
    : key_(std::move(key)), interval_(std::max(interval, Duration{1})) {}

NonceIssuer::NonceIssuer(Random& random, Duration interval)
    : NonceIssuer(draw_key(random), interval) {}

long long NonceIssuer::slot_of(TimePoint time) const noexcept {
  return time.time_since_epoch() / interval_;
}

std::string NonceIssuer::at(long long slot) const {
  const std::string text = std::to_string(slot);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  const auto key = key_.expose();
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_bytes(text).data(), text.size(),
       mac.data(), &size);
  return base64url_encode(std::span(mac).first(kNonceBytes));
}

std::string NonceIssuer::current(TimePoint now) const {
  return at(slot_of(now));
}

bool NonceIssuer::accepts(std::string_view nonce, TimePoint now) const {
  const long long slot = slot_of(now);
  const bool is_current = constant_time_equal(nonce, at(slot));
  const bool is_previous = constant_time_equal(nonce, at(slot - 1));
  return is_current || is_previous;
}

}  // namespace latchkey
