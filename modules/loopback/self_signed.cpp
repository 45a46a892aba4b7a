// SPDX-License-Identifier: MIT
module;
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.loopback.certificate;
import latchkey.core.error;
import latchkey.core.owned;
import latchkey.core.secret;
import latchkey.core.time;

// A certificate that signs itself, without a file.

namespace latchkey {
namespace {

using Bio = Owned<BIO, BIO_free>;
using Certificate = Owned<X509, X509_free>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;

// Clocks that differ a little do not matter.
constexpr std::chrono::hours kBefore{1};
constexpr std::chrono::hours kLifetime{24};

bool set_serial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and of full length
  const Owned<BIGNUM, BN_free> number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_times(X509* certificate, TimePoint now) {
  const auto seconds = [](TimePoint time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  };
  return ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(now - kBefore)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(now + kLifetime)) != nullptr;
}

bool set_name(X509* certificate) {
  constexpr std::string_view name = "latchkey, for development only";
  auto* const subject = X509_get_subject_name(certificate);
  return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1;
}

bool add_extension(X509* certificate, int kind, const char* value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool fill(X509* certificate, EVP_PKEY* key, TimePoint now) {
  return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
         set_times(certificate, now) && set_name(certificate) &&
         X509_set_pubkey(certificate, key) == 1 &&
         add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
         add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
         X509_sign(certificate, key, EVP_sha256()) > 0;
}

std::string_view text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

Result<std::shared_ptr<const TlsCertificate>> TlsCertificate::self_signed_for_development(
    TimePoint now) {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const Certificate certificate(X509_new());
  const Bio chain(BIO_new(BIO_s_mem()));
  // This kind of memory is zeroed when it is freed.
  const Bio key_text(BIO_new(BIO_s_secmem()));
  const bool made =
      key && certificate && chain && key_text && fill(certificate.get(), key.get(), now) &&
      PEM_write_bio_X509(chain.get(), certificate.get()) == 1 &&
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
          1;
  if (!made) {
    ERR_clear_error();
    return make_error(ErrorCode::io, "certificate.not_made",
                      "cannot make a certificate for development: OpenSSL refused; check its "
                      "configuration, or use one that mkcert made");
  }
  return from_pem(text_of(chain.get()), SecretString(text_of(key_text.get())), now);
}

}  // namespace latchkey
