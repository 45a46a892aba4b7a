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
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.dpop.p256;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.owned;
import latchkey.core.secret;
import latchkey.dpop.jwk;
import latchkey.dpop.key_format;
import latchkey.dpop.proof;
import latchkey.dpop.prover;

namespace latchkey {
namespace {

using Pkey = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Digest = Owned<EVP_MD, EVP_MD_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using SecretNumber = Owned<BIGNUM, BN_clear_free>;
using Group = Owned<EC_GROUP, EC_GROUP_free>;
using Point = Owned<EC_POINT, EC_POINT_clear_free>;

constexpr unsigned char kFormat = 1;
constexpr std::size_t kMaxIdleSigners = 16;
using PointOctets = std::array<unsigned char, 65>;  // SEC1 §2.3.3, uncompressed

constexpr std::array<unsigned char, 32> kOrder{
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

Error refused(std::string_view detail, std::string_view cause) {
  ERR_clear_error();
  return make_error(ErrorCode::invalid_key, detail,
                    "cannot use a private key: " + std::string(cause) + "; use another key");
}

Error not_signed() {
  ERR_clear_error();
  return make_error(ErrorCode::invalid_key, "dpop.sign_failed",
                    "cannot sign a DPoP proof: OpenSSL refused the key; check its configuration");
}

// 0 < d < n, in constant time.
bool in_range(std::span<const unsigned char> d) {
  unsigned any = 0, borrow = 0;
  for (std::size_t i = kOrder.size(); i-- > 0;) {
    any |= d[i];
    borrow = ((0u + d[i] - kOrder[i] - borrow) >> 8) & 1;
  }
  return any != 0 && borrow == 1;
}

PointOctets octets_of(const P256Coordinates& point) {
  PointOctets octets{POINT_CONVERSION_UNCOMPRESSED};
  std::copy(point.x.begin(), point.x.end(), octets.begin() + 1);
  std::copy(point.y.begin(), point.y.end(), octets.begin() + 33);
  return octets;
}

P256Coordinates coordinates_of(std::span<const unsigned char> octets) {
  P256Coordinates point;
  std::copy_n(octets.begin() + 1, 32, point.x.begin());
  std::copy_n(octets.begin() + 33, 32, point.y.begin());
  return point;
}

// d times the generator; nullopt only if OpenSSL fails.
std::optional<P256Coordinates> public_point(const SecretBytes& d) {
  const Group group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const SecretNumber scalar(BN_bin2bn(d.expose().data(), 32, nullptr));
  const Point point(group ? EC_POINT_new(group.get()) : nullptr);
  if (!scalar || !point) return std::nullopt;
  BN_set_flags(scalar.get(), BN_FLG_CONSTTIME);
  PointOctets octets{};
  if (EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, octets.data(),
                         octets.size(), nullptr) != octets.size()) {
    return std::nullopt;
  }
  return coordinates_of(octets);
}

// Null if the point is not on the curve. `d` is in range; whether it belongs to the point is not
// checked.
Pkey make_pkey(const SecretBytes& d, const P256Coordinates& point) {
  auto octets = octets_of(point);
  // OpenSSL takes numbers in the machine's byte order.
  const SecretNumber scalar(BN_bin2bn(d.expose().data(), 32, nullptr));
  SecretBytes native(32);
  if (!scalar || BN_bn2nativepad(scalar.get(), native.mutable_span().data(), 32) != 32)
    return nullptr;
  char group[] = SN_X9_62_prime256v1;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets.data(), octets.size()),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native.mutable_span().data(), 32),
      OSSL_PARAM_construct_end()};
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params) != 1) {
    return nullptr;
  }
  return Pkey(key);
}

// Tells whether a token is the one whose hash is kept, without keeping it: a hash under a random
// key, much cheaper than SHA-256. Two tokens look the same once in 2^64, and that would cost one
// refused request.
class TokenPrinter {
 public:
  explicit TokenPrinter(Random& random) {
    random.fill({reinterpret_cast<unsigned char*>(key_.data()), sizeof key_});
  }

  [[nodiscard]] std::uint64_t print(std::string_view token) const noexcept {
    std::array<std::uint64_t, 4> words{};
    std::uint64_t a = key_[0] ^ token.size(), b = key_[1];
    while (!token.empty()) {
      const std::size_t size = std::min(token.size(), sizeof words);
      if (size < sizeof words) words = {};
      std::memcpy(words.data(), token.data(), size);
      a = fold(words[0] ^ key_[2] ^ a, words[1] ^ key_[3]);
      b = fold(words[2] ^ key_[4] ^ b, words[3] ^ key_[5]);
      token.remove_prefix(size);
    }
    return fold(a ^ key_[6], b ^ key_[7]);
  }

 private:
  static std::uint64_t fold(std::uint64_t x, std::uint64_t y) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(x) * y;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  std::array<std::uint64_t, 8> key_{};
};

// What one signature needs. Not to be shared while in use: OpenSSL's contexts are not thread-safe.
struct Signer {
  PkeyContext key;
  DigestContext digest;
  std::string claims;
  // The ath of the last token.
  bool has_ath = false;
  std::uint64_t print = 0;
  TokenHash ath{};
};

}  // namespace

struct P256DpopProver::Impl {
  explicit Impl(std::shared_ptr<Random> source) : random(std::move(source)), printer(*random) {}

  std::shared_ptr<Random> random;
  TokenPrinter printer;
  SecretBytes d;
  P256Coordinates point;
  Pkey key;
  Digest sha256;
  std::string jkt;
  std::string public_jwk;
  std::string header;
  std::mutex mutex;
  std::vector<std::unique_ptr<Signer>> idle;

  std::unique_ptr<Signer> take() {
    {
      const std::scoped_lock lock(mutex);
      if (!idle.empty()) {
        auto signer = std::move(idle.back());
        idle.pop_back();
        return signer;
      }
    }
    auto signer = std::make_unique<Signer>();
    signer->key.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
    signer->digest.reset(EVP_MD_CTX_new());
    if (!signer->key || !signer->digest || EVP_PKEY_sign_init(signer->key.get()) != 1 ||
        EVP_PKEY_CTX_set_signature_md(signer->key.get(), sha256.get()) != 1) {
      return nullptr;
    }
    return signer;
  }

  void give_back(std::unique_ptr<Signer> signer) {
    const std::scoped_lock lock(mutex);
    if (idle.size() < kMaxIdleSigners) idle.push_back(std::move(signer));
  }

  bool hash(Signer& signer, std::string_view text, Sha256& out) const {
    return EVP_DigestInit_ex2(signer.digest.get(), sha256.get(), nullptr) == 1 &&
           EVP_DigestUpdate(signer.digest.get(), text.data(), text.size()) == 1 &&
           EVP_DigestFinal_ex(signer.digest.get(), out.data(), nullptr) == 1;
  }

  bool remember_ath(Signer& signer, std::string_view token) const {
    const auto print = printer.print(token);
    if (signer.has_ath && signer.print == print) return true;
    Sha256 digest{};
    if (!hash(signer, token, digest)) return false;
    base64url_encode_to(digest, signer.ath.data());
    signer.print = print;
    signer.has_ath = true;
    return true;
  }

  bool sign(Signer& signer, std::string_view text, RawSignature& out) const {
    Sha256 digest{};
    std::array<unsigned char, 80> der{};
    std::size_t size = der.size();
    return hash(signer, text, digest) &&
           EVP_PKEY_sign(signer.key.get(), der.data(), &size, digest.data(), digest.size()) == 1 &&
           raw_signature(std::span(der).first(size), out);
  }
};

namespace {

using Made = Result<std::shared_ptr<P256DpopProver>>;
using Impl = P256DpopProver::Impl;

Made assemble(SecretBytes d, const P256Coordinates& point, Pkey key,
              std::shared_ptr<Random> random) {
  auto impl = std::make_unique<Impl>(std::move(random));
  impl->d = std::move(d);
  impl->point = point;
  impl->key = std::move(key);
  impl->sha256.reset(EVP_MD_fetch(nullptr, "SHA2-256", nullptr));
  if (!impl->sha256) return not_signed();
  impl->public_jwk = public_jwk_text(point);
  impl->jkt = jwk_thumbprint(point);
  impl->header = proof_header(point);
  return std::make_shared<P256DpopProver>(std::move(impl));
}

// A key from outside. Without a point (some files have none) it is computed.
Made import_key(SecretBytes d, std::optional<P256Coordinates> point,
                std::shared_ptr<Random> random) {
  if (!in_range(d.expose()))
    return refused("key.scalar_range", "its private number is not between 1 and n - 1");
  if (!point) point = public_point(d);
  auto key = point ? make_pkey(d, *point) : nullptr;
  if (!key) return refused("key.off_curve", "its public point is not on P-256");
  // make_pkey has seen that the point is on the curve, but not whose it is.
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!context || EVP_PKEY_pairwise_check(context.get()) != 1) {
    return refused("key.mismatch", "its public and private halves do not belong together");
  }
  return assemble(std::move(d), *point, std::move(key), std::move(random));
}

Made import_file(Result<P256KeyFile> file, std::shared_ptr<Random> random) {
  if (!file) return std::move(file).error();
  const auto& octets = file->point;
  if (octets.empty()) return import_key(std::move(file->d), std::nullopt, std::move(random));
  if (octets.size() == 65 && octets[0] == POINT_CONVERSION_UNCOMPRESSED) {
    return import_key(std::move(file->d), coordinates_of(octets), std::move(random));
  }
  // A compressed point is x and the parity of y. It is compared with what d gives instead of being
  // computed.
  if (octets.size() != 33 || (octets[0] & ~1) != POINT_CONVERSION_COMPRESSED) {
    return refused("key.off_curve", "its public point is not one of SEC 1");
  }
  auto made = import_key(std::move(file->d), std::nullopt, std::move(random));
  if (!made) return made;
  const auto parts = (*made)->to_bytes();
  const auto x = parts.expose().subspan(33, 32);
  if (!std::equal(x.begin(), x.end(), octets.begin() + 1) ||
      (parts.expose()[96] & 1) != (octets[0] & 1)) {
    return refused("key.mismatch", "its public and private halves do not belong together");
  }
  return made;
}

}  // namespace

P256DpopProver::P256DpopProver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

P256DpopProver::~P256DpopProver() {}

Made P256DpopProver::generate(std::shared_ptr<Random> random) {
  // A number out of range comes once in 2^32; several in a row mean that the source is broken.
  for (int tries = 0; tries < 8; ++tries) {
    SecretBytes d(32);
    random->fill(d.mutable_span());
    if (!in_range(d.expose())) continue;
    const auto point = public_point(d);
    auto key = point ? make_pkey(d, *point) : nullptr;
    if (!key) break;
    return assemble(std::move(d), *point, std::move(key), std::move(random));
  }
  ERR_clear_error();
  return make_error(
      ErrorCode::invalid_key, "key.not_generated",
      "cannot make a new key: the source of random numbers or OpenSSL fails; check the system");
}

Made P256DpopProver::from_private_jwk(const SecretString& jwk, std::shared_ptr<Random> random) {
  auto parsed = parse_p256_jwk(jwk.expose());
  if (!parsed) return std::move(parsed).error();
  if (!parsed->d) return refused("key.not_private", "it is a public key only");
  return import_key(std::move(*parsed->d), parsed->point, std::move(random));
}

Made P256DpopProver::from_pkcs8(const SecretBytes& key, std::shared_ptr<Random> random) {
  return import_file(parse_pkcs8(key.expose()), std::move(random));
}

Made P256DpopProver::from_sec1(const SecretBytes& key, std::shared_ptr<Random> random) {
  return import_file(parse_sec1(key.expose()), std::move(random));
}

Made P256DpopProver::from_bytes(const SecretBytes& key, std::shared_ptr<Random> random) {
  const auto bytes = key.expose();
  if (bytes.size() != 97 || bytes[0] != kFormat) {
    return refused("key.not_bytes", "it is not 97 bytes of format 1");
  }
  // coordinates_of skips one byte, which is the last of d here.
  return import_key(SecretBytes(bytes.subspan(1, 32)), coordinates_of(bytes.subspan(32)),
                    std::move(random));
}

SecretString P256DpopProver::to_private_jwk() const {
  SecretBuilder jwk;
  jwk.append(R"({"crv":"P-256","d":")").append(base64url_encode_secret(impl_->d.expose()).expose());
  jwk.append(R"(","kty":"EC","x":")").append(base64url_encode(impl_->point.x));
  jwk.append(R"(","y":")").append(base64url_encode(impl_->point.y)).append(R"("})");
  return std::move(jwk).finish();
}

Result<SecretString> P256DpopProver::to_pkcs8_pem() const {
  return pkcs8_pem(impl_->d, impl_->point);
}

Result<SecretString> P256DpopProver::to_sec1_pem() const {
  return sec1_pem(impl_->d, impl_->point);
}

SecretBytes P256DpopProver::to_bytes() const {
  SecretBytes bytes(97);
  const auto out = bytes.mutable_span();
  out[0] = kFormat;
  std::copy_n(impl_->d.expose().begin(), 32, out.begin() + 1);
  std::copy_n(impl_->point.x.begin(), 32, out.begin() + 33);
  std::copy_n(impl_->point.y.begin(), 32, out.begin() + 65);
  return bytes;
}

Result<std::string> P256DpopProver::proof(const ProofInput& input) {
  if (auto checked = check_proof_input(input); !checked) return std::move(checked).error();
  auto signer = impl_->take();
  if (!signer) return not_signed();
  ProofId id{};
  impl_->random->fill(id);
  const bool bound = input.access_token != nullptr;
  if (bound && !impl_->remember_ath(*signer, input.access_token->expose())) return not_signed();
  write_claims(signer->claims, input, id, bound ? &signer->ath : nullptr);

  // header.claims.signature, each written straight into its place.
  const std::size_t claims_at = impl_->header.size() + 1;
  const std::size_t signature_at = claims_at + base64url_size(signer->claims.size()) + 1;
  std::string out(signature_at + base64url_size(RawSignature{}.size()), '.');
  std::copy(impl_->header.begin(), impl_->header.end(), out.begin());
  base64url_encode_to(as_bytes(signer->claims), out.data() + claims_at);
  RawSignature signature{};
  if (!impl_->sign(*signer, std::string_view(out).substr(0, signature_at - 1), signature))
    return not_signed();
  base64url_encode_to(signature, out.data() + signature_at);
  impl_->give_back(std::move(signer));
  return out;
}

Result<std::array<unsigned char, 64>> P256DpopProver::sign(std::string_view text) {
  auto signer = impl_->take();
  RawSignature signature{};
  if (!signer || !impl_->sign(*signer, text, signature)) return not_signed();
  impl_->give_back(std::move(signer));
  return signature;
}

const std::string& P256DpopProver::jkt() const noexcept {
  return impl_->jkt;
}

const std::string& P256DpopProver::public_jwk() const noexcept {
  return impl_->public_jwk;
}

}  // namespace latchkey
