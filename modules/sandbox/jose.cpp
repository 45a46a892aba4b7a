// SPDX-License-Identifier: MIT
module;
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.jose;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.owned;
import latchkey.core.secret;
import latchkey.dpop.jwk;

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kMaxJws = 8 * 1024;
constexpr unsigned kRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr std::size_t kCoordinate = 32;

using Pkey = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using Signature = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using Number = Owned<BIGNUM, BN_free>;
using ParamBuilder = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Params = Owned<OSSL_PARAM, OSSL_PARAM_free>;

Error bad_jwk(std::string_view detail, std::string_view cause) {
  return make_error(ErrorCode::invalid_key, detail,
                    "cannot use this JWK: " + std::string(cause) + "; register another key");
}

// The public member as base64url, at least `width` bytes. Empty if OpenSSL has no such number.
std::string number_text(const EVP_PKEY* key, const char* name, std::size_t width) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Number number(raw);
  Bytes bytes(std::max<std::size_t>(width, static_cast<std::size_t>(BN_num_bytes(raw))));
  if (BN_bn2binpad(raw, bytes.data(), static_cast<int>(bytes.size())) < 0) return {};
  return base64url_encode(bytes);
}

// The members that RFC 7638 hashes, in its order, without the closing brace.
std::string public_members(const EVP_PKEY* key, JwsAlg alg) {
  if (alg == JwsAlg::rs256) {
    return R"({"e":")" + number_text(key, OSSL_PKEY_PARAM_RSA_E, 1) + R"(","kty":"RSA","n":")" +
           number_text(key, OSSL_PKEY_PARAM_RSA_N, 1) + '"';
  }
  return R"({"crv":"P-256","kty":"EC","x":")" +
         number_text(key, OSSL_PKEY_PARAM_EC_PUB_X, kCoordinate) + R"(","y":")" +
         number_text(key, OSSL_PKEY_PARAM_EC_PUB_Y, kCoordinate) + '"';
}

// From OpenSSL's DER to the 64 bytes of a JWS (RFC 7518 §3.4).
Bytes raw_of(const Bytes& der) {
  const unsigned char* at = der.data();
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  Bytes raw(2 * kCoordinate);
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), kCoordinate) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + kCoordinate, kCoordinate) < 0) {
    return {};
  }
  return raw;
}

// And back. Empty if it has another length.
Bytes der_of(const Bytes& raw) {
  if (raw.size() != 2 * kCoordinate) return {};
  const Signature signature(ECDSA_SIG_new());
  Number r(BN_bin2bn(raw.data(), kCoordinate, nullptr));
  Number s(BN_bin2bn(raw.data() + kCoordinate, kCoordinate, nullptr));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* out = der.data();
  i2d_ECDSA_SIG(signature.get(), &out);
  return der;
}

Bytes sign_text(EVP_PKEY* key, JwsAlg alg, std::string_view text) {
  const DigestContext context(EVP_MD_CTX_new());
  Bytes signature(static_cast<std::size_t>(EVP_PKEY_get_size(key)));
  std::size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, as_bytes(text).data(), text.size()) !=
          1) {
    ERR_clear_error();
    return {};
  }
  signature.resize(size);
  return alg == JwsAlg::es256 ? raw_of(signature) : signature;
}

// Empty if OpenSSL refuses.
SecretBytes private_der(const EVP_PKEY* key) {
  const int size = i2d_PrivateKey(key, nullptr);
  SecretBytes der(size > 0 ? static_cast<std::size_t>(size) : 0);
  unsigned char* out = der.mutable_span().data();
  if (size > 0 && i2d_PrivateKey(key, &out) == size) return der;
  ERR_clear_error();
  return {};
}

bool is_p256(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         std::string_view(group.data()) == SN_X9_62_prime256v1;
}

Pkey key_from(const char* kind, OSSL_PARAM* params) {
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return Pkey(key);
}

// Null if it is no key: a point that is not on the curve, or too small an RSA key.
Pkey ec_key(const P256Coordinates& point) {
  std::array<unsigned char, 2 * kCoordinate + 1> octets{POINT_CONVERSION_UNCOMPRESSED};
  std::copy(point.x.begin(), point.x.end(), octets.begin() + 1);
  std::copy(point.y.begin(), point.y.end(), octets.begin() + 1 + kCoordinate);
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1,
                                  0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, octets.data(),
                                   octets.size());
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  return key_from("EC", params.get());
}

Pkey rsa_key(const Bytes& n, const Bytes& e) {
  const Number modulus(BN_bin2bn(n.data(), static_cast<int>(n.size()), nullptr));
  const Number exponent(BN_bin2bn(e.data(), static_cast<int>(e.size()), nullptr));
  const int bits = modulus ? BN_num_bits(modulus.get()) : 0;
  if (bits < static_cast<int>(kRsaBits) || bits > kMaxRsaBits || !exponent ||
      BN_is_odd(exponent.get()) == 0 || BN_is_one(exponent.get()) == 1) {
    return nullptr;
  }
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  return key_from("RSA", params.get());
}

std::string text_of(const JsonObject& object, std::string_view name) {
  const auto text = object.string(name);
  return text ? text->value_or("") : std::string();
}

std::string json_of(const JsonObject& object) {
  std::string out;
  for (const auto& name : object.names()) {
    out += (out.empty() ? '{' : ',') + json_quote(name) + ':' + *object.json_text(name);
  }
  return out.empty() ? "{}" : out + '}';
}

Pkey import_key(const JsonObject& jwk, std::string_view text, JwsAlg alg) {
  if (alg == JwsAlg::es256) {
    const auto parsed = parse_p256_jwk(text);
    return parsed ? ec_key(parsed->point) : nullptr;
  }
  const auto n = base64url_decode(text_of(jwk, "n")), e = base64url_decode(text_of(jwk, "e"));
  return n && e && !n->empty() && !e->empty() ? rsa_key(*n, *e) : nullptr;
}

std::optional<JsonObject> parse_part(std::string_view part) {
  const auto bytes = base64url_decode(part);
  if (!bytes) return std::nullopt;
  auto object = JsonObject::parse(as_text(*bytes), ErrorCode::invalid_argument, "jws");
  if (!object) return std::nullopt;
  return *std::move(object);
}

}  // namespace

std::string_view to_string(JwsAlg alg) noexcept {
  return alg == JwsAlg::es256 ? "ES256" : "RS256";
}

std::optional<JwsAlg> parse_alg(std::string_view name) noexcept {
  for (const JwsAlg alg : {JwsAlg::es256, JwsAlg::rs256}) {
    if (to_string(alg) == name) return alg;
  }
  return std::nullopt;
}

struct SigningKey::Impl {
  JwsAlg alg{};
  Pkey key;
  std::string kid, public_jwk;
  SecretBytes der;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

// With all that follows from alg and key. Nothing without a key.
std::optional<SigningKey> SigningKey::complete(std::unique_ptr<Impl> impl) {
  if (!impl->key) {
    ERR_clear_error();
    return std::nullopt;
  }
  const std::string members = public_members(impl->key.get(), impl->alg);
  auto kid = jwk_thumbprint(members + '}');
  impl->der = private_der(impl->key.get());
  if (!kid || impl->der.empty()) return std::nullopt;
  impl->kid = *std::move(kid);
  impl->public_jwk = members + R"(,"kid":)" + json_quote(impl->kid) + R"(,"alg":)" +
                     json_quote(to_string(impl->alg)) + R"(,"use":"sig"})";
  return SigningKey(std::move(impl));
}

Result<SigningKey> SigningKey::generate(JwsAlg alg) {
  auto impl = std::make_unique<Impl>();
  impl->alg = alg;
  impl->key.reset(alg == JwsAlg::es256 ? EVP_EC_gen(SN_X9_62_prime256v1) : EVP_RSA_gen(kRsaBits));
  auto made = complete(std::move(impl));
  if (made) return *std::move(made);
  return make_error(ErrorCode::invalid_key, "sandbox.key_not_generated",
                    "cannot make a signing key: OpenSSL refused; check its configuration");
}

std::optional<SigningKey> SigningKey::parse(std::span<const unsigned char> der) {
  auto impl = std::make_unique<Impl>();
  const unsigned char* at = der.data();
  impl->key.reset(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
  if (impl->key && is_p256(impl->key.get())) {
    impl->alg = JwsAlg::es256;
  } else if (impl->key && EVP_PKEY_is_a(impl->key.get(), "RSA") == 1) {
    impl->alg = JwsAlg::rs256;
  } else {
    impl->key.reset();
  }
  return complete(std::move(impl));
}

JwsAlg SigningKey::alg() const noexcept {
  return impl_->alg;
}

const std::string& SigningKey::kid() const noexcept {
  return impl_->kid;
}

const std::string& SigningKey::public_jwk() const noexcept {
  return impl_->public_jwk;
}

const SecretBytes& SigningKey::der() const noexcept {
  return impl_->der;
}

Result<std::string> SigningKey::sign(std::string_view claims) const {
  const std::string header = R"({"alg":)" + json_quote(to_string(impl_->alg)) +
                             R"(,"typ":"JWT","kid":)" + json_quote(impl_->kid) + '}';
  const std::string text =
      base64url_encode(as_bytes(header)) + '.' + base64url_encode(as_bytes(claims));
  const Bytes signature = sign_text(impl_->key.get(), impl_->alg, text);
  if (signature.empty()) {
    return make_error(ErrorCode::invalid_key, "sandbox.key_not_usable",
                      "cannot sign an id token: OpenSSL refused; check its configuration");
  }
  return text + '.' + base64url_encode(signature);
}

struct VerifyingKey::Impl {
  JwsAlg alg{};
  Pkey key;
  std::string kid, thumbprint;
};

Result<VerifyingKey> VerifyingKey::parse(const JsonObject& jwk) {
  for (const std::string_view secret : {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}) {
    if (jwk.contains(secret)) return bad_jwk("jwk.private", "it has private members");
  }
  auto impl = std::make_shared<Impl>();
  impl->kid = text_of(jwk, "kid");
  if (impl->kid.empty()) return bad_jwk("jwk.kid", "it has no kid");
  const std::string kind = text_of(jwk, "kty");
  if (kind != "EC" && kind != "RSA") return bad_jwk("jwk.kind", "its kty is neither EC nor RSA");
  impl->alg = kind == "EC" ? JwsAlg::es256 : JwsAlg::rs256;
  if (jwk.contains("alg") && text_of(jwk, "alg") != to_string(impl->alg)) {
    return bad_jwk("jwk.alg", "its alg is not " + std::string(to_string(impl->alg)));
  }
  const std::string text = json_of(jwk);
  impl->key = import_key(jwk, text, impl->alg);
  auto thumbprint = jwk_thumbprint(text);
  if (!impl->key || !thumbprint) {
    return bad_jwk("jwk.key", "it is neither a P-256 point nor RSA of 2048 to 8192 bits");
  }
  impl->thumbprint = *std::move(thumbprint);
  return VerifyingKey(std::move(impl));
}

const std::string& VerifyingKey::kid() const noexcept {
  return impl_->kid;
}

JwsAlg VerifyingKey::alg() const noexcept {
  return impl_->alg;
}

const std::string& VerifyingKey::thumbprint() const noexcept {
  return impl_->thumbprint;
}

bool VerifyingKey::verifies(std::string_view signed_text, const Bytes& signature) const {
  const Bytes wanted = impl_->alg == JwsAlg::es256 ? der_of(signature) : signature;
  const DigestContext context(EVP_MD_CTX_new());
  const bool good =
      !wanted.empty() && context &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1 &&
      EVP_DigestVerify(context.get(), wanted.data(), wanted.size(), as_bytes(signed_text).data(),
                       signed_text.size()) == 1;
  ERR_clear_error();
  return good;
}

std::optional<CompactJws> parse_jws(std::string_view text) {
  const auto first = text.find('.'), last = text.rfind('.');
  if (text.size() > kMaxJws || first == std::string_view::npos || first == last) {
    return std::nullopt;
  }
  auto header = parse_part(text.substr(0, first));
  auto claims = parse_part(text.substr(first + 1, last - first - 1));
  auto signature = base64url_decode(text.substr(last + 1));
  if (!header || !claims || !signature) return std::nullopt;
  return CompactJws{*std::move(header), *std::move(claims), std::string(text.substr(0, last)),
                    *std::move(signature)};
}

}  // namespace latchkey::sandbox
