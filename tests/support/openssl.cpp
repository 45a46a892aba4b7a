// SPDX-License-Identifier: MIT
module;
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
module latchkey.test.openssl;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;

namespace latchkey::test {
namespace {

std::string decode(std::string_view text) {
  const auto bytes = base64url_decode(text);
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

// SubjectPublicKeyInfo of a P-256 key.
std::string spki(std::string_view x, std::string_view y) {
  const auto head = hex_decode("3059301306072a8648ce3d020106082a8648ce3d03010703420004").value();
  return std::string(as_text(head)).append(x).append(y);
}

std::string der_signature(std::string_view raw) {
  if (raw.size() != 64) return {};
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(),
                                                                        &ECDSA_SIG_free);
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes, 32, nullptr),
                 BN_bin2bn(bytes + 32, 32, nullptr));
  unsigned char* out = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &out);
  std::string der(reinterpret_cast<const char*>(out), static_cast<std::size_t>(size));
  OPENSSL_free(out);
  return der;
}

std::string coordinate(std::string_view jwk, std::string_view name) {
  return decode(
      JsonObject::parse(jwk, ErrorCode::invalid_key, "jwk").value().required_string(name).value());
}

}  // namespace

DecodedJws decode_jws(std::string_view jws) {
  const auto first = jws.find('.'), last = jws.rfind('.');
  if (first == std::string_view::npos || last == first) return {};
  return {.header = decode(jws.substr(0, first)),
          .payload = decode(jws.substr(first + 1, last - first - 1)),
          .signing_input = std::string(jws.substr(0, last)),
          .signature = decode(jws.substr(last + 1))};
}

bool evp_verifies(std::string_view jws, std::string_view x, std::string_view y) {
  const auto decoded = decode_jws(jws);
  const std::string key_der = spki(x, y), signature = der_signature(decoded.signature);
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  const unsigned char* at = bytes(key_der);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      d2i_PUBKEY(nullptr, &at, static_cast<long>(key_der.size())), &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  return key != nullptr && !signature.empty() &&
         EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(),
                          bytes(decoded.signing_input), decoded.signing_input.size()) == 1;
}

bool evp_verifies(std::string_view jws, std::string_view public_jwk) {
  return evp_verifies(jws, coordinate(public_jwk, "x"), coordinate(public_jwk, "y"));
}

OpensslTool::OpensslTool() {
  std::string name = (std::filesystem::temp_directory_path() / "latchkey-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  folder_ = name;
}

OpensslTool::~OpensslTool() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

bool OpensslTool::run(const std::string& arguments) const {
  return std::system(
             ("cd '" + folder_.string() + "' && openssl " + arguments + " 2>error.txt").c_str()) ==
         0;
}

void OpensslTool::write(const std::string& name, std::string_view content) const {
  std::ofstream(folder_ / name, std::ios::binary) << content;
}

std::string OpensslTool::read(const std::string& name) const {
  std::ifstream in(folder_ / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool OpensslTool::verifies(std::string_view jws, std::string_view public_jwk) const {
  const auto decoded = decode_jws(jws);
  write("key.der", spki(coordinate(public_jwk, "x"), coordinate(public_jwk, "y")));
  write("input", decoded.signing_input);
  write("signature", der_signature(decoded.signature));
  return run("dgst -sha256 -verify key.der -keyform DER -signature signature input >output");
}

}  // namespace latchkey::test
