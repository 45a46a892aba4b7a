// SPDX-License-Identifier: MIT
module;
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <cstddef>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.jws_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.test.proof_key;

namespace latchkey::test {
namespace {

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using Octets = std::vector<unsigned char>;

void must(bool good) {
  if (!good) throw std::runtime_error("OpenSSL refused");
}

struct Curve {
  const char* crv;
  const char* group;
  std::size_t size;
};

Curve curve_of(std::string_view alg) {
  if (alg == "ES256") return {"P-256", "P-256", 32};
  if (alg == "ES384") return {"P-384", "P-384", 48};
  return {"P-521", "P-521", 66};
}

Pkey generate(std::string_view alg, unsigned rsa_bits) {
  EVP_PKEY* key = alg == "EdDSA"          ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                  : alg.starts_with("ES") ? EVP_EC_gen(curve_of(alg).group)
                                          : EVP_RSA_gen(rsa_bits);
  must(key != nullptr);
  return {key, &EVP_PKEY_free};
}

Octets number(const EVP_PKEY* key, const char* name, std::size_t width) {
  BIGNUM* raw = nullptr;
  must(EVP_PKEY_get_bn_param(key, name, &raw) == 1);
  Octets bytes(width != 0 ? width : static_cast<std::size_t>(BN_num_bytes(raw)));
  must(BN_bn2binpad(raw, bytes.data(), static_cast<int>(bytes.size())) >= 0);
  BN_free(raw);
  return bytes;
}

std::string text_of(const Octets& bytes) {
  return quoted(base64url_encode(bytes));
}

Octets raw_of(const Octets& der, std::size_t size) {
  const unsigned char* at = der.data();
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  must(signature != nullptr);
  Octets raw(2 * size);
  must(BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), static_cast<int>(size)) >= 0);
  must(BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + size, static_cast<int>(size)) >= 0);
  ECDSA_SIG_free(signature);
  return raw;
}

std::string joined(std::string_view header, std::string_view payload) {
  return base64url_encode(as_bytes(header)) + '.' + base64url_encode(as_bytes(payload));
}

Octets member(const JsonObject& jwk, std::string_view name) {
  return base64url_decode(jwk.required_string(name).value()).value();
}

}  // namespace

struct JwsKey::Impl {
  std::string alg;
  Pkey key{nullptr, &EVP_PKEY_free};
};

JwsKey::JwsKey(std::string_view alg, unsigned rsa_bits)
    : impl_(std::make_unique<Impl>(Impl{std::string(alg), generate(alg, rsa_bits)})) {}
JwsKey::JwsKey(JwsKey&&) noexcept = default;
JwsKey::~JwsKey() = default;

Members JwsKey::members() const {
  const EVP_PKEY* key = impl_->key.get();
  if (impl_->alg == "EdDSA") {
    Octets x(32);
    std::size_t size = x.size();
    must(EVP_PKEY_get_raw_public_key(key, x.data(), &size) == 1);
    return {{"kty", quoted("OKP")}, {"crv", quoted("Ed25519")}, {"x", text_of(x)}};
  }
  if (impl_->alg.starts_with("ES")) {
    const Curve curve = curve_of(impl_->alg);
    return {{"kty", quoted("EC")},
            {"crv", quoted(curve.crv)},
            {"x", text_of(number(key, OSSL_PKEY_PARAM_EC_PUB_X, curve.size))},
            {"y", text_of(number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curve.size))}};
  }
  return {{"kty", quoted("RSA")},
          {"n", text_of(number(key, OSSL_PKEY_PARAM_RSA_N, 0))},
          {"e", text_of(number(key, OSSL_PKEY_PARAM_RSA_E, 0))}};
}

std::string JwsKey::jwk(const Members& more) const {
  Members all = more;
  all.merge(members());
  return to_json(all);
}

Octets JwsKey::signature(std::string_view text, int salt) const {
  const std::string& alg = impl_->alg;
  const Digest context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_PKEY_CTX* settings = nullptr;
  const std::string hash = "SHA" + alg.substr(2);
  must(EVP_DigestSignInit_ex(context.get(), &settings, alg == "EdDSA" ? nullptr : hash.c_str(),
                             nullptr, nullptr, impl_->key.get(), nullptr) == 1);
  if (alg.starts_with("PS")) {
    must(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1);
    must(EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, salt < 0 ? RSA_PSS_SALTLEN_DIGEST : salt) == 1);
  }
  Octets bytes(static_cast<std::size_t>(EVP_PKEY_get_size(impl_->key.get())));
  std::size_t size = bytes.size();
  must(EVP_DigestSign(context.get(), bytes.data(), &size, as_bytes(text).data(), text.size()) == 1);
  bytes.resize(size);
  return alg.starts_with("ES") ? raw_of(bytes, curve_of(alg).size) : bytes;
}

std::string JwsKey::sign(std::string_view header, std::string_view payload) const {
  const std::string text = joined(header, payload);
  return text + '.' + base64url_encode(signature(text));
}

std::string JwsKey::sign(const Members& header, const Members& claims) const {
  return sign(to_json(header), to_json(claims));
}

std::string sign_hs256(std::string_view header, std::string_view payload, std::string_view key) {
  const std::string text = joined(header, payload);
  Octets mac(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_bytes(text).data(),
            text.size(), mac.data(), &size) != nullptr);
  mac.resize(size);
  return text + '.' + base64url_encode(mac);
}

std::string public_pem(std::string_view jwk) {
  const auto json = JsonObject::parse(jwk, ErrorCode::invalid_key, "jwk").value();
  const auto n = member(json, "n"), e = member(json, "e");
  BIGNUM* modulus = BN_bin2bn(n.data(), static_cast<int>(n.size()), nullptr);
  BIGNUM* exponent = BN_bin2bn(e.data(), static_cast<int>(e.size()), nullptr);
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1);
  must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  must(EVP_PKEY_fromdata_init(context) == 1);
  must(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
  BIO* out = BIO_new(BIO_s_mem());
  must(PEM_write_bio_PUBKEY(out, key) == 1);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(out, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(out);
  EVP_PKEY_free(key);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  BN_free(exponent);
  BN_free(modulus);
  return pem;
}

}  // namespace latchkey::test
