// SPDX-License-Identifier: MIT
// A request with DPoP (RFC 9449) to any API, for those who have a key and a token already:
//
//   dpop_request KEY_FILE TOKEN_FILE METHOD URL
//
// KEY_FILE: a P-256 private key, PKCS#8 or SEC1, PEM or DER. TOKEN_FILE: the access token that is
// bound to it. Both come from files, because other users can see a program's arguments. The body of
// the answer goes to standard output, its status to standard error. Exit codes: 0 a 2xx answer, 1
// anything else, 2 usage. http is allowed to this machine only.
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

import latchkey;

namespace {

latchkey::SecretBytes read_file(const char* path) {
  auto bytes =
      latchkey::posix_file_system()->read(std::filesystem::absolute(path), 64 * 1024).value();
  if (bytes) return std::move(*bytes);
  throw latchkey::Exception(latchkey::make_error(latchkey::ErrorCode::invalid_argument,
                                                 "example.no_file",
                                                 "there is no file " + std::string(path)));
}

latchkey::SecretString read_token(const char* path) {
  const latchkey::SecretBytes bytes = read_file(path);
  std::string_view text = latchkey::as_text(bytes.expose());
  text = text.substr(0, text.find_first_of("\r\n"));
  return latchkey::SecretString(text);
}

std::shared_ptr<latchkey::DpopProver> read_key(const char* path) {
  const latchkey::SecretBytes bytes = read_file(path);
  const auto random = std::make_shared<latchkey::SystemRandom>();
  if (auto key = latchkey::P256DpopProver::from_pkcs8(bytes, random)) return *key;
  return latchkey::P256DpopProver::from_sec1(bytes, random).value();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) return std::cerr << "usage: dpop_request KEY_FILE TOKEN_FILE METHOD URL\n", 2;
  latchkey::HttpRequest request{.method = argv[3], .url = latchkey::Url::parse(argv[4]).value()};
  request.authorization =
      latchkey::Authorization{latchkey::Authorization::Scheme::dpop, read_token(argv[2])};

  // Adds the proof, learns nonces, and sends once more when the server asks for one.
  latchkey::DpopTransport transport(
      {.inner = latchkey::CpprestTransport::open(
                    {.http_rule = latchkey::HttpRule::allow_http_for_loopback})
                    .value(),
       .prover = read_key(argv[1]),
       .nonces = std::make_shared<latchkey::NonceCache>(),
       .clock = std::make_shared<latchkey::SystemClock>(),
       .skew = std::make_shared<latchkey::ClockSkew>()});
  const auto answer = transport.send(request, latchkey::resource_limits()).value();
  std::cerr << "status " << answer.status << '\n';
  std::cout << answer.body.expose() << '\n';
  return answer.status >= 200 && answer.status < 300 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "dpop_request: " << e.what() << '\n';
  return 1;
}
