// SPDX-License-Identifier: MIT
module;
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oidc.verification_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.owned;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;

namespace latchkey {
namespace {

using Pkey = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using EcdsaSignature = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using Number = Owned<BIGNUM, BN_free>;
using ParamBuilder = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Params = Owned<OSSL_PARAM, OSSL_PARAM_free>;

constexpr int kMinRsaBits = 2048, kMaxRsaBits = 8192, kMaxExponentBits = 32;
constexpr std::size_t kEd25519Bytes = 32;

struct Curve {
  KeyKind kind;
  std::string_view crv;
  const char* group;
  std::size_t coordinate;  // bytes
};
constexpr Curve kCurves[] = {
    {KeyKind::p256, "P-256", "prime256v1", 32},
    {KeyKind::p384, "P-384", "secp384r1", 48},
    {KeyKind::p521, "P-521", "secp521r1", 66},
};

Error bad_jwk(std::string_view fact, const std::string& cause) {
  return make_error(
      ErrorCode::invalid_key, "jwk." + std::string(fact),
      "cannot verify with this key: " + cause + "; the provider must publish another");
}

Error bad_key() {
  return bad_jwk("key", "it is malformed, too small, or not on its curve");
}

// Empty if it is absent or no base64url.
Result<Bytes> bytes_of(const JsonObject& jwk, std::string_view name) {
  const auto text = jwk.string(name);
  if (!text) return text.error();
  auto bytes = base64url_decode(text->value_or(""));
  return bytes ? std::move(*bytes) : Bytes{};
}

Pkey key_from(const char* type, ParamBuilder builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return Pkey(key);
}

Number number_of(const Bytes& bytes) {
  return Number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}

// RFC 7518 §6.3.1. Null if its numbers are none that we accept.
Pkey rsa_key(const Bytes& modulus, const Bytes& exponent) {
  const Number n = number_of(modulus), e = number_of(exponent);
  if (!n || !e || BN_num_bits(n.get()) < kMinRsaBits || BN_num_bits(n.get()) > kMaxRsaBits ||
      BN_is_odd(n.get()) != 1 || BN_is_odd(e.get()) != 1 || BN_is_one(e.get()) == 1 ||
      BN_num_bits(e.get()) > kMaxExponentBits) {
    return nullptr;
  }
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  return key_from("RSA", std::move(builder));
}

// RFC 7518 §6.2.1. Null if the coordinates have another length or are no point of the curve.
Pkey ec_key(const Curve& curve, const Bytes& x, const Bytes& y) {
  if (x.size() != curve.coordinate || y.size() != curve.coordinate) return nullptr;
  Bytes point{POINT_CONVERSION_UNCOMPRESSED};
  point.insert(point.end(), x.begin(), x.end());
  point.insert(point.end(), y.begin(), y.end());
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return key_from("EC", std::move(builder));
}

// RFC 8037 §2.
Pkey ed25519_key(const Bytes& x) {
  if (x.size() != kEd25519Bytes) return nullptr;
  return Pkey(EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, x.data(), x.size()));
}

struct TypedKey {
  Pkey key;
  KeyKind kind{};
};

Result<TypedKey> import_ec(const JsonObject& jwk, std::string_view crv) {
  const auto* curve = std::find_if(std::begin(kCurves), std::end(kCurves),
                                   [&](const Curve& each) { return each.crv == crv; });
  if (curve == std::end(kCurves)) return bad_jwk("kind", "its curve is none that we know");
  const auto x = bytes_of(jwk, "x"), y = bytes_of(jwk, "y");
  if (!x) return x.error();
  if (!y) return y.error();
  return TypedKey{ec_key(*curve, *x, *y), curve->kind};
}

Result<TypedKey> import_okp(const JsonObject& jwk, std::string_view crv) {
  if (crv != "Ed25519") return bad_jwk("kind", "its curve is none that we know");
  const auto x = bytes_of(jwk, "x");
  if (!x) return x.error();
  return TypedKey{ed25519_key(*x), KeyKind::ed25519};
}

Result<TypedKey> import_rsa(const JsonObject& jwk) {
  const auto n = bytes_of(jwk, "n"), e = bytes_of(jwk, "e");
  if (!n) return n.error();
  if (!e) return e.error();
  return TypedKey{rsa_key(*n, *e), KeyKind::rsa};
}

Result<TypedKey> import_key(const JsonObject& jwk) {
  const auto kty = jwk.string("kty"), crv = jwk.string("crv");
  if (!kty) return kty.error();
  if (!crv) return crv.error();
  if (*kty == "RSA") return import_rsa(jwk);
  if (*kty == "EC") return import_ec(jwk, crv->value_or(""));
  if (*kty == "OKP") return import_okp(jwk, crv->value_or(""));
  return bad_jwk("kind", "its type is none that we know");
}

// RFC 7517 §4.2, §4.3: what its owner says it is for.
Result<void> check_purpose(const JsonObject& jwk) {
  for (const std::string_view name : {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}) {
    if (jwk.contains(name)) return bad_jwk("private", "it has private members");
  }
  const auto use = jwk.string("use");
  if (!use) return use.error();
  if (*use && *use != "sig") return bad_jwk("use", "it is not for signatures");
  const auto operations = jwk.strings("key_ops");
  if (!operations) return operations.error();
  if (*operations &&
      std::find((*operations)->begin(), (*operations)->end(), "verify") == (*operations)->end()) {
    return bad_jwk("key_ops", "it is not for verifying");
  }
  return {};
}

// Its `alg`, if it has one.
Result<std::optional<JwsAlgorithm>> read_algorithm(const JsonObject& jwk, KeyKind kind) {
  const auto name = jwk.string("alg");
  if (!name) return name.error();
  if (!*name) return std::nullopt;
  const auto algorithm = parse_jws_algorithm(**name);
  if (!algorithm || key_kind(*algorithm) != kind) {
    return bad_jwk("alg", "its algorithm is none that we know, or not for such a key");
  }
  return algorithm;
}

bool is_pss(JwsAlgorithm algorithm) {
  return algorithm == JwsAlgorithm::ps256 || algorithm == JwsAlgorithm::ps384 ||
         algorithm == JwsAlgorithm::ps512;
}

// From the r||s of RFC 7518 §3.4 to the DER that OpenSSL takes. Empty if it has another length.
Bytes ecdsa_der(KeyKind kind, std::span<const unsigned char> raw) {
  const auto* curve = std::find_if(std::begin(kCurves), std::end(kCurves),
                                   [&](const Curve& each) { return each.kind == kind; });
  if (raw.size() != 2 * curve->coordinate) return {};
  const auto width = static_cast<int>(curve->coordinate);
  const EcdsaSignature signature(ECDSA_SIG_new());
  Number r(BN_bin2bn(raw.data(), width, nullptr));
  Number s(BN_bin2bn(raw.data() + curve->coordinate, width, nullptr));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());  // the signature owns them now
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  Bytes der(size > 0 ? static_cast<std::size_t>(size) : 0);
  unsigned char* out = der.data();
  i2d_ECDSA_SIG(signature.get(), &out);
  return der;
}

// Prepares `context` for the algorithm, of which `key` is a key.
bool begin(EVP_MD_CTX* context, JwsAlgorithm algorithm, EVP_PKEY* key) {
  EVP_PKEY_CTX* settings = nullptr;  // owned by context
  const bool ed25519 = key_kind(algorithm) == KeyKind::ed25519;
  const char* digest = ed25519 ? nullptr : digest_name(algorithm);
  if (EVP_DigestVerifyInit_ex(context, &settings, digest, nullptr, nullptr, key, nullptr) != 1) {
    return false;
  }
  if (!is_pss(algorithm)) return true;
  return EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md_name(settings, digest, nullptr) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

struct VerificationKey::Impl {
  Pkey key;
};

Result<VerificationKey> VerificationKey::from_jwk(const JsonObject& jwk) {
  if (auto purpose = check_purpose(jwk); !purpose) return std::move(purpose).error();
  auto kid = jwk.string("kid");
  if (!kid) return std::move(kid).error();
  if (*kid && (*kid)->size() > kMaxKid) return bad_jwk("kid", "its id is too long");
  auto typed = import_key(jwk);
  if (!typed) return std::move(typed).error();
  if (!typed->key) return bad_key();
  auto only = read_algorithm(jwk, typed->kind);
  if (!only) return std::move(only).error();
  VerificationKey out(std::make_shared<Impl>(Impl{std::move(typed->key)}), typed->kind);
  out.only_ = *only;
  out.kid_ = std::move(*kid);
  return out;
}

bool VerificationKey::fits(JwsAlgorithm algorithm) const noexcept {
  // The two names of Ed25519 mean the same.
  const bool allowed = !only_ || *only_ == algorithm || kind_ == KeyKind::ed25519;
  return allowed && kind_ == key_kind(algorithm);
}

bool VerificationKey::verifies(JwsAlgorithm algorithm, std::string_view text,
                               std::span<const unsigned char> signature) const {
  if (!fits(algorithm)) return false;
  const bool ecdsa = kind_ != KeyKind::rsa && kind_ != KeyKind::ed25519;
  const Bytes der = ecdsa ? ecdsa_der(kind_, signature) : Bytes{};
  const std::span<const unsigned char> wanted = ecdsa ? std::span(der) : signature;
  const DigestContext context(EVP_MD_CTX_new());
  const bool good = !wanted.empty() && context &&
                    begin(context.get(), algorithm, impl_->key.get()) &&
                    EVP_DigestVerify(context.get(), wanted.data(), wanted.size(),
                                     as_bytes(text).data(), text.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace latchkey
