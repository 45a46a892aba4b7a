// SPDX-License-Identifier: MIT
module;
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.dpop.verifier;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.owned;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.jwk;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.replay;

namespace latchkey {
namespace {

constexpr std::size_t kMaxProof = 8 * 1024;
constexpr std::size_t kMaxJti = 512;
constexpr std::size_t kSignatureSize = 64;

using Pkey = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using Signature = Owned<ECDSA_SIG, ECDSA_SIG_free>;

Error refused(std::string_view detail, std::string_view cause) {
  return make_error(ErrorCode::dpop_refused, detail,
                    "cannot accept the DPoP proof: " + std::string(cause) +
                        "; send a new proof for this request");
}

// The parts of a compact JWS, the first two parsed.
struct Parts {
  JsonObject header, claims;
  std::string_view signed_text;
  Bytes signature;
};

std::optional<JsonObject> parse_part(std::string_view part) {
  const auto bytes = base64url_decode(part);
  if (!bytes) return std::nullopt;
  auto object = JsonObject::parse(as_text(*bytes), ErrorCode::dpop_refused, "proof");
  if (!object) return std::nullopt;
  return *std::move(object);
}

Result<Parts> parse_jws(std::string_view jws) {
  if (jws.size() > kMaxProof) return refused("proof.too_large", "it is over 8 KiB");
  const auto first = jws.find('.'), last = jws.rfind('.');
  if (first == std::string_view::npos || first == last) {
    return refused("proof.malformed", "it does not have three parts");
  }
  auto header = parse_part(jws.substr(0, first));
  auto claims = parse_part(jws.substr(first + 1, last - first - 1));
  auto signature = base64url_decode(jws.substr(last + 1));
  if (!header || !claims || !signature) {
    return refused("proof.malformed", "a part of it is not what a JWS has there");
  }
  return Parts{*std::move(header), *std::move(claims), jws.substr(0, last), *std::move(signature)};
}

bool is_text(const JsonObject& object, std::string_view name, std::string_view wanted) {
  const auto text = object.string(name);
  return text && *text && **text == wanted;
}

Result<P256Coordinates> check_header(const JsonObject& header) {
  if (!is_text(header, "typ", "dpop+jwt")) return refused("proof.typ", "its typ is not dpop+jwt");
  if (!is_text(header, "alg", "ES256")) return refused("proof.alg", "its alg is not ES256");
  if (header.contains("crit")) {
    return refused("proof.crit", "it has critical extensions, and none is known here");
  }
  const auto jwk = header.object("jwk");
  if (!jwk || !*jwk) return refused("proof.jwk", "its header has no jwk");
  for (const std::string_view secret : {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}) {
    if ((*jwk)->contains(secret)) {
      return refused("proof.jwk_private", "its jwk has private members");
    }
  }
  const auto parsed = parse_p256_jwk(header.json_text("jwk").value_or(""));
  if (!parsed) return refused("proof.jwk", "its jwk is not a P-256 key");
  return parsed->point;
}

// Null if the point is not on the curve.
Pkey public_key(const P256Coordinates& point) {
  std::array<unsigned char, 65> octets{POINT_CONVERSION_UNCOMPRESSED};
  std::copy(point.x.begin(), point.x.end(), octets.begin() + 1);
  std::copy(point.y.begin(), point.y.end(), octets.begin() + 33);
  char group[] = SN_X9_62_prime256v1;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets.data(), octets.size()),
      OSSL_PARAM_construct_end()};
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return Pkey(key);
}

// From the 64 bytes of JWS to DER; empty if OpenSSL fails.
std::vector<unsigned char> der_of(std::span<const unsigned char> raw) {
  const Signature signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(raw.data(), 32, nullptr);
  BIGNUM* s = BN_bin2bn(raw.data() + 32, 32, nullptr);
  if (!signature || r == nullptr || s == nullptr || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* out = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &out);
  if (size <= 0) return {};
  std::vector<unsigned char> der(out, out + size);
  OPENSSL_free(out);
  return der;
}

bool verifies(EVP_PKEY* key, std::string_view text, const Bytes& signature) {
  if (signature.size() != kSignatureSize) return false;
  const auto der = der_of(signature);
  const DigestContext context(EVP_MD_CTX_new());
  const bool good = !der.empty() && context &&
                    EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
                    EVP_DigestVerify(context.get(), der.data(), der.size(), as_bytes(text).data(),
                                     text.size()) == 1;
  ERR_clear_error();
  return good;
}

struct Claims {
  std::string jti, htm, htu;
  TimePoint iat;
  std::optional<std::string> ath, nonce;
};

Result<Claims> read_claims(const JsonObject& object) {
  auto jti = object.string("jti"), htm = object.string("htm"), htu = object.string("htu");
  auto ath = object.string("ath"), nonce = object.string("nonce");
  const auto iat = object.number("iat");
  if (!jti || !*jti || !htm || !*htm || !htu || !*htu || !iat || !*iat || !ath || !nonce) {
    return refused("proof.claims",
                   "one of jti, htm, htu and iat is missing, or a claim is of the "
                   "wrong type");
  }
  // Far outside of every window, and still a time that can be reckoned with.
  constexpr double kLimit = 1e11;
  const double seconds = std::clamp(**iat, -kLimit, kLimit);
  return Claims{**std::move(jti), **std::move(htm),
                **std::move(htu), TimePoint(Duration(static_cast<std::int64_t>(seconds * 1000))),
                *std::move(ath),  *std::move(nonce)};
}

Result<void> check_request(const Claims& claims, const ProofExpectation& expected) {
  if (claims.jti.empty() || claims.jti.size() > kMaxJti) {
    return refused("proof.jti", "its jti is empty or over 512 characters");
  }
  if (claims.htm != expected.htm) return refused("proof.htm", "it is for another method");
  const auto htu = Url::parse(claims.htu);
  if (!htu || htu->htu() != expected.htu.htu()) {
    return refused("proof.htu", "it is for another URL than " + expected.htu.htu());
  }
  return {};
}

Result<void> check_token(const Claims& claims, const ProofExpectation& expected) {
  if (expected.access_token == nullptr) {
    if (claims.ath) return refused("proof.ath_unexpected", "it has an ath, and there is no token");
    return {};
  }
  if (!claims.ath) return refused("proof.ath_missing", "it has no ath");
  if (!constant_time_equal(*claims.ath, sha256_base64url(expected.access_token->expose()))) {
    return refused("proof.ath", "its ath is the hash of another token");
  }
  return {};
}

}  // namespace

Result<VerifiedProof> DpopVerifier::verify(const std::vector<std::string_view>& headers,
                                           const ProofExpectation& expected) {
  if (headers.empty()) return refused("proof.missing", "there is none");
  if (headers.size() > 1) return refused("proof.several", "there is more than one");
  const auto parts = parse_jws(headers.front());
  if (!parts) return parts.error();
  const auto point = check_header(parts->header);
  if (!point) return point.error();
  const auto key = public_key(*point);
  if (!key) return refused("proof.key", "its key is not a point of P-256");
  if (!verifies(key.get(), parts->signed_text, parts->signature)) {
    return refused("proof.signature", "its signature is wrong");
  }

  auto claims = read_claims(parts->claims);
  if (!claims) return std::move(claims).error();
  if (auto fits = check_request(*claims, expected); !fits) return std::move(fits).error();
  const TimePoint now = options_.clock->now();
  // Before the time, so that a client whose clock is wrong is answered with ours and a nonce.
  if (options_.nonces) {
    if (!claims->nonce) return refused("proof.nonce_missing", "it has no nonce");
    if (!options_.nonces->accepts(*claims->nonce, now)) {
      return refused("proof.nonce_stale", "its nonce is not one of now");
    }
  }
  if (claims->iat < now - options_.max_age) return refused("proof.expired", "its iat is too old");
  if (claims->iat > now + options_.max_lead) {
    return refused("proof.future", "its iat is in the future");
  }
  if (auto fits = check_token(*claims, expected); !fits) return std::move(fits).error();
  std::string jkt = jwk_thumbprint(*point);
  if (!expected.jkt.empty() && !constant_time_equal(jkt, expected.jkt)) {
    return refused("proof.key_mismatch", "it is of another key than the one that was bound");
  }
  switch (seen_.remember(jkt, claims->jti, claims->iat + options_.max_age, now)) {
    case ReplayCache::Outcome::first_use:
      break;
    case ReplayCache::Outcome::replayed:
      return refused("proof.replayed", "it was used before");
    case ReplayCache::Outcome::quota:
      return make_error(ErrorCode::rate_limited, "proof.key_quota",
                        "cannot accept the DPoP proof: too many have come of its key; send fewer "
                        "requests, and try again later");
    case ReplayCache::Outcome::full:
      return make_error(ErrorCode::rate_limited, "proof.cache_full",
                        "cannot accept the DPoP proof: too many have come to remember one more; "
                        "try again later");
  }
  return VerifiedProof{std::move(jkt), std::move(claims->jti), claims->iat};
}

bool needs_nonce(const Error& error) noexcept {
  return error.detail == "proof.nonce_missing" || error.detail == "proof.nonce_stale";
}

}  // namespace latchkey
