// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.loopback.certificate;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.owned;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

using Bio = Owned<BIO, BIO_free>;
using Certificate = Owned<X509, X509_free>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;

// What OpenSSL notes about a failure must not be found by the next one who looks.
struct ErrorsForgotten {
  ErrorsForgotten() = default;
  ErrorsForgotten(const ErrorsForgotten&) = delete;
  ErrorsForgotten& operator=(const ErrorsForgotten&) = delete;
  ~ErrorsForgotten() { ERR_clear_error(); }
};

// An encrypted PEM would make OpenSSL ask at the terminal.
int no_pass_phrase(char*, int, int, void*) {
  return -1;
}

Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Error no_certificate(ErrorCode code, std::string_view detail, const std::string& why) {
  return make_error(code, detail, "cannot use the certificate: " + why);
}

Result<std::vector<Certificate>> parse_chain(std::string_view pem) {
  std::vector<Certificate> chain;
  const Bio bio = reader(pem);
  while (Certificate next{PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr)}) {
    chain.push_back(std::move(next));
  }
  // The end of the text, too, is an error to OpenSSL: that no further PEM block begins.
  const auto ending = ERR_peek_last_error();
  if (ERR_GET_LIB(ending) != ERR_LIB_PEM || ERR_GET_REASON(ending) != PEM_R_NO_START_LINE) {
    return no_certificate(ErrorCode::invalid_argument, "certificate.parse_cert",
                          "its text is no valid PEM certificate; make it anew");
  }
  if (chain.empty()) {
    return no_certificate(ErrorCode::invalid_argument, "certificate.no_certificates",
                          "there is none in its text; it needs a BEGIN CERTIFICATE block");
  }
  return chain;
}

Result<Key> parse_key(const SecretString& pem) {
  const Bio bio = reader(pem.expose());
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (key) return key;
  return no_certificate(ErrorCode::invalid_key, "certificate.parse_key",
                        "its private key is no PEM key, or has a pass phrase; give it unencrypted");
}

TimePoint time_point(const ASN1_TIME* time) {
  tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return kMalformedTime;
  return TimePoint(std::chrono::seconds(::timegm(&fields)));
}

Result<void> check_time(X509* certificate, TimePoint now) {
  const auto from = time_point(X509_get0_notBefore(certificate));
  const auto until = time_point(X509_get0_notAfter(certificate));
  if (now >= until) {
    return no_certificate(ErrorCode::invalid_argument, "certificate.expired",
                          "it expired at " + format_rfc3339(until) + "; make it anew");
  }
  if (now < from) {
    return no_certificate(ErrorCode::invalid_argument, "certificate.not_yet_valid",
                          "it is valid from " + format_rfc3339(from) +
                              " on; check this machine's clock, or make it anew");
  }
  return {};
}

// Not as it was given: a file that holds the key too must not be kept as if it were public.
std::string chain_text(const std::vector<Certificate>& chain) {
  const Bio bio(BIO_new(BIO_s_mem()));
  for (const auto& certificate : chain) PEM_write_bio_X509(bio.get(), certificate.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  std::string text(INET6_ADDRSTRLEN, '\0');
  const int size = ASN1_STRING_length(bytes);
  const int family = size == 4 ? AF_INET : AF_INET6;
  if (size != 4 && size != 16) return {};
  if (::inet_ntop(family, ASN1_STRING_get0_data(bytes), text.data(), INET6_ADDRSTRLEN) == nullptr)
    return {};
  text.resize(text.find('\0'));
  return text;
}

std::vector<std::string> hosts_of(X509* certificate) {
  std::vector<std::string> hosts;
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* value = static_cast<ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind == GEN_DNS) {
      hosts.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                         static_cast<std::size_t>(ASN1_STRING_length(value)));
    } else if (kind == GEN_IPADD) {
      hosts.push_back(address_text(value));
    }
  }
  return hosts;
}

Error read_error(const Error& cause, std::string_view detail) {
  const bool others = cause.code == ErrorCode::insecure_location;
  return make_error(others ? ErrorCode::insecure_location : ErrorCode::io,
                    others ? "certificate.permissions" : detail,
                    "cannot use the certificate: " + cause.message);
}

Result<SecretBytes> read_file(FileSystem& files, const std::filesystem::path& path,
                              std::string_view detail) {
  auto content = files.read(path, kMaxCertificateFile);
  if (!content) return read_error(content.error(), detail);
  if (*content) return **std::move(content);
  return no_certificate(ErrorCode::io, detail,
                        "there is no file " + printable(path.native(), 300) + "; check its name");
}

}  // namespace

TlsCertificate::TlsCertificate(std::string chain, SecretString key, TimePoint expires_at,
                               std::vector<std::string> hosts)
    : chain_(std::move(chain)),
      key_(std::move(key)),
      expires_at_(expires_at),
      hosts_(std::move(hosts)) {}

Result<std::shared_ptr<const TlsCertificate>> TlsCertificate::from_pem(std::string_view chain,
                                                                       SecretString key,
                                                                       TimePoint now) {
  const ErrorsForgotten forgotten;
  const auto certificates = parse_chain(chain);
  if (!certificates) return certificates.error();
  const auto private_key = parse_key(key);
  if (!private_key) return private_key.error();
  X509* const leaf = certificates->front().get();
  if (X509_check_private_key(leaf, private_key->get()) != 1) {
    return no_certificate(ErrorCode::invalid_key, "certificate.key_mismatch",
                          "its private key belongs to another one; give the pair that was made "
                          "together, the server's own certificate first");
  }
  if (auto timely = check_time(leaf, now); !timely) return std::move(timely).error();
  return std::shared_ptr<const TlsCertificate>(
      new TlsCertificate(chain_text(*certificates), std::move(key),
                         time_point(X509_get0_notAfter(leaf)), hosts_of(leaf)));
}

Result<std::shared_ptr<const TlsCertificate>> TlsCertificate::from_pem_files(
    const std::filesystem::path& chain, const std::filesystem::path& key, TimePoint now) {
  const auto files = posix_file_system();
  auto chain_text = read_file(*files, chain, "certificate.read_cert");
  if (!chain_text) return std::move(chain_text).error();
  if (auto ours = files->check_private(key); !ours)
    return read_error(ours.error(), "certificate.read_key");
  auto key_text = read_file(*files, key, "certificate.read_key");
  if (!key_text) return std::move(key_text).error();
  return from_pem(as_text(chain_text->expose()), SecretString(*std::move(key_text)), now);
}

bool TlsCertificate::covers(std::string_view host) const {
  for (const auto& known : hosts_) {
    if (known == host) return true;
  }
  return false;
}

}  // namespace latchkey
