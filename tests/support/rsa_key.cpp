// SPDX-License-Identifier: MIT
module;
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.rsa_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.test.openssl;

namespace latchkey::test {
namespace {

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

void must(bool good) {
  if (!good) throw std::runtime_error("OpenSSL refused");
}

std::string number_text(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  must(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  std::vector<unsigned char> bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, bytes.data());
  BN_free(number);
  return base64url_encode(bytes);
}

BIGNUM* number_of(std::string_view jwk, std::string_view name) {
  const auto bytes = base64url_decode(JsonObject::parse(jwk, ErrorCode::invalid_key, "jwk")
                                          .value()
                                          .required_string(name)
                                          .value())
                         .value();
  return BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
}

Pkey public_key(std::string_view jwk) {
  BIGNUM *n = number_of(jwk, "n"), *e = number_of(jwk, "e");
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1);
  must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  must(EVP_PKEY_fromdata_init(context) == 1);
  must(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  BN_free(n);
  BN_free(e);
  return {key, &EVP_PKEY_free};
}

}  // namespace

struct RsaKey::Impl {
  Pkey key{nullptr, &EVP_PKEY_free};
};

RsaKey::RsaKey(unsigned bits) : impl_(std::make_unique<Impl>()) {
  impl_->key.reset(EVP_RSA_gen(bits));
  must(impl_->key != nullptr);
}

RsaKey::~RsaKey() = default;

std::string RsaKey::jwk() const {
  return R"({"kty":"RSA","n":")" + number_text(impl_->key.get(), OSSL_PKEY_PARAM_RSA_N) +
         R"(","e":")" + number_text(impl_->key.get(), OSSL_PKEY_PARAM_RSA_E) + R"("})";
}

std::string RsaKey::sign(std::string_view header, std::string_view claims) const {
  const std::string text =
      base64url_encode(as_bytes(header)) + '.' + base64url_encode(as_bytes(claims));
  const Digest context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::vector<unsigned char> signature(
      static_cast<std::size_t>(EVP_PKEY_get_size(impl_->key.get())));
  std::size_t size = signature.size();
  must(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1);
  must(EVP_DigestSign(context.get(), signature.data(), &size, as_bytes(text).data(), text.size()) ==
       1);
  return text + '.' + base64url_encode(signature);
}

bool rsa_verifies(std::string_view jws, std::string_view public_jwk) {
  const auto decoded = decode_jws(jws);
  const auto key = public_key(public_jwk);
  const Digest context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), as_bytes(decoded.signature).data(),
                          decoded.signature.size(), as_bytes(decoded.signing_input).data(),
                          decoded.signing_input.size()) == 1;
}

}  // namespace latchkey::test
