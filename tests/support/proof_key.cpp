// SPDX-License-Identifier: MIT
module;
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.proof_key;
import latchkey.core.encoding;

namespace latchkey::test {
namespace {

void must(bool good) {
  if (!good) throw std::runtime_error("OpenSSL refused");
}

std::string number_text(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  must(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  std::array<unsigned char, 32> bytes{};
  must(BN_bn2binpad(number, bytes.data(), 32) == 32);
  BN_clear_free(number);
  return base64url_encode(bytes);
}

// r and s from OpenSSL's DER.
std::vector<unsigned char> raw_of(const std::vector<unsigned char>& der) {
  const unsigned char* at = der.data();
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), &ECDSA_SIG_free);
  must(signature != nullptr);
  std::vector<unsigned char> raw(64);
  must(BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), 32) == 32);
  must(BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + 32, 32) == 32);
  return raw;
}

}  // namespace

struct ProofKey::Impl {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{nullptr, &EVP_PKEY_free};
};

ProofKey::ProofKey() : impl_(std::make_unique<Impl>()) {
  impl_->key.reset(EVP_EC_gen("P-256"));
  must(impl_->key != nullptr);
}

ProofKey::ProofKey(ProofKey&&) noexcept = default;
ProofKey& ProofKey::operator=(ProofKey&&) noexcept = default;
ProofKey::~ProofKey() = default;

std::string ProofKey::jwk() const {
  return to_json({{"crv", quoted("P-256")},
                  {"kty", quoted("EC")},
                  {"x", quoted(number_text(impl_->key.get(), OSSL_PKEY_PARAM_EC_PUB_X))},
                  {"y", quoted(number_text(impl_->key.get(), OSSL_PKEY_PARAM_EC_PUB_Y))}});
}

std::string ProofKey::private_jwk() const {
  const std::string open = jwk();
  return "{\"d\":" + quoted(number_text(impl_->key.get(), OSSL_PKEY_PARAM_PRIV_KEY)) + ',' +
         open.substr(1);
}

std::string ProofKey::thumbprint() const {
  return hash_text(jwk());
}

Members ProofKey::header() const {
  return {{"typ", quoted("dpop+jwt")}, {"alg", quoted("ES256")}, {"jwk", jwk()}};
}

std::string ProofKey::sign(std::string_view header, std::string_view claims) const {
  const std::string text =
      base64url_encode(as_bytes(header)) + '.' + base64url_encode(as_bytes(claims));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  std::vector<unsigned char> der(128);
  std::size_t size = der.size();
  must(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1);
  must(EVP_DigestSign(context.get(), der.data(), &size, as_bytes(text).data(), text.size()) == 1);
  der.resize(size);
  return text + '.' + base64url_encode(raw_of(der));
}

std::string ProofKey::sign(const Members& header, const Members& claims) const {
  return sign(to_json(header), to_json(claims));
}

std::string to_json(const Members& members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ',';
    out += quoted(name) + ':' + value;
  }
  return out + '}';
}

Members proof_claims(std::string_view htm, std::string_view htu, std::int64_t iat) {
  std::array<unsigned char, 16> id{};
  must(RAND_bytes(id.data(), static_cast<int>(id.size())) == 1);
  return {{"jti", quoted(base64url_encode(id))},
          {"htm", quoted(htm)},
          {"htu", quoted(htu)},
          {"iat", std::to_string(iat)}};
}

std::string hash_text(std::string_view text) {
  std::array<unsigned char, 32> hash{};
  unsigned size = 0;
  must(EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr) == 1);
  return base64url_encode(hash);
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

}  // namespace latchkey::test
