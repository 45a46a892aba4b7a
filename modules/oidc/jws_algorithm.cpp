// SPDX-License-Identifier: MIT
module;
#include <openssl/evp.h>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
module latchkey.oidc.jws_algorithm;
import latchkey.core.encoding;

namespace latchkey {
namespace {

using enum JwsAlgorithm;

struct Row {
  std::string_view name;
  KeyKind kind;
  const char* digest;
};

// In the order of the enumerators.
constexpr std::array<JwsAlgorithm, 11> kAlgorithms{rs256, rs384, rs512, ps256, ps384,  ps512,
                                                   es256, es384, es512, eddsa, ed25519};
constexpr std::array<Row, kAlgorithms.size()> kRows{{
    {"RS256", KeyKind::rsa, "SHA256"},
    {"RS384", KeyKind::rsa, "SHA384"},
    {"RS512", KeyKind::rsa, "SHA512"},
    {"PS256", KeyKind::rsa, "SHA256"},
    {"PS384", KeyKind::rsa, "SHA384"},
    {"PS512", KeyKind::rsa, "SHA512"},
    {"ES256", KeyKind::p256, "SHA256"},
    {"ES384", KeyKind::p384, "SHA384"},
    {"ES512", KeyKind::p521, "SHA512"},
    {"EdDSA", KeyKind::ed25519, "SHA512"},
    {"Ed25519", KeyKind::ed25519, "SHA512"},
}};

const Row& row(JwsAlgorithm algorithm) noexcept {
  return kRows[static_cast<std::size_t>(algorithm)];
}

}  // namespace

std::span<const JwsAlgorithm> jws_algorithms() noexcept {
  return kAlgorithms;
}

std::string_view to_string(JwsAlgorithm algorithm) noexcept {
  return row(algorithm).name;
}

std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name) noexcept {
  for (const JwsAlgorithm algorithm : kAlgorithms) {
    if (to_string(algorithm) == name) return algorithm;
  }
  return std::nullopt;
}

KeyKind key_kind(JwsAlgorithm algorithm) noexcept {
  return row(algorithm).kind;
}

const char* digest_name(JwsAlgorithm algorithm) noexcept {
  return row(algorithm).digest;
}

std::string half_hash(JwsAlgorithm algorithm, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, digest_name(algorithm), nullptr, text.data(), text.size(),
                   digest.data(), &size) != 1) {
    return {};
  }
  return base64url_encode(std::span(digest).first(size / 2));
}

}  // namespace latchkey
