// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
module latchkey.test.certificate;

namespace latchkey::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;

constexpr long kDay = 24L * 3600L;

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("certificate: ") + what);
}

Key make_key() {
  return {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free};
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::string::size_type>(size)};
}

std::string pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  require(PEM_write_bio_X509(bio.get(), certificate) == 1, "write");
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  require(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "write key");
  return text_of(bio.get());
}

void add_extension(X509* to, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()), X509_EXTENSION_free);
  require(extension && X509_add_ext(to, extension.get(), -1) == 1, "extension");
}

Certificate make_certificate(EVP_PKEY* key, const std::string& name, X509_NAME* issuer, long from,
                             long until) {
  Certificate out(X509_new(), X509_free);
  require(X509_set_version(out.get(), X509_VERSION_3) == 1, "version");
  long serial = 0;
  require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "serial");
  ASN1_INTEGER_set(X509_get_serialNumber(out.get()), serial & 0x7fffffffL);
  X509_gmtime_adj(X509_getm_notBefore(out.get()), from);
  X509_gmtime_adj(X509_getm_notAfter(out.get()), until);
  auto* subject = X509_get_subject_name(out.get());
  require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                     0) == 1,
          "subject");
  require(X509_set_issuer_name(out.get(), issuer != nullptr ? issuer : subject) == 1, "issuer");
  require(X509_set_pubkey(out.get(), key) == 1, "key");
  return out;
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) {
    unsigned char scratch[16];
    const bool literal = ::inet_pton(AF_INET, name.c_str(), scratch) == 1 ||
                         ::inet_pton(AF_INET6, name.c_str(), scratch) == 1;
    out += (out.empty() ? "" : ",") + std::string(literal ? "IP:" : "DNS:") + name;
  }
  return out;
}

Identity sign(const Identity& authority, const std::vector<std::string>& names, long from,
              long until) {
  const Bio certificate_bio(BIO_new_mem_buf(authority.certificate_pem.data(), -1), BIO_free);
  const Bio key_bio(BIO_new_mem_buf(authority.key_pem.data(), -1), BIO_free);
  const Certificate issuer(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr),
                           X509_free);
  const Key issuer_key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr),
                       EVP_PKEY_free);
  const Key key = make_key();
  // The subject's name is none of the names, so that whoever looks there instead of at the
  // alternatives is found out.
  const auto leaf =
      make_certificate(key.get(), "leaf", X509_get_subject_name(issuer.get()), from, until);
  add_extension(leaf.get(), issuer.get(), NID_subject_alt_name, alternative_names(names));
  require(X509_sign(leaf.get(), issuer_key.get(), EVP_sha256()) > 0, "sign");
  return {pem(leaf.get()), pem(key.get())};
}

}  // namespace

Authority::Authority() {
  const Key key = make_key();
  const auto root =
      make_certificate(key.get(), "latchkey test authority", nullptr, -2 * kDay, kDay);
  add_extension(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  require(X509_sign(root.get(), key.get(), EVP_sha256()) > 0, "sign");
  self_ = {pem(root.get()), pem(key.get())};
}

Identity Authority::issue(const std::vector<std::string>& names) const {
  return sign(self_, names, -3600, kDay);
}

Identity Authority::issue(const std::vector<std::string>& names, std::chrono::seconds from,
                          std::chrono::seconds until) const {
  return sign(self_, names, from.count(), until.count());
}

Identity Authority::issue_expired(const std::vector<std::string>& names) const {
  return sign(self_, names, -2 * kDay, -kDay);
}

TemporaryFile::TemporaryFile(const std::string& content) {
  path_ = (std::filesystem::temp_directory_path() / "latchkey-test-XXXXXX").string();
  const int file = ::mkstemp(path_.data());
  require(file >= 0, "temporary file");
  const bool written =
      ::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(file);
  require(written, "temporary file");
}

TemporaryFile::~TemporaryFile() {
  ::unlink(path_.c_str());
}

}  // namespace latchkey::test
