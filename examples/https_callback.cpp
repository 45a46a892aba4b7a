// SPDX-License-Identifier: MIT
// A login at a provider that sends the browser back over https only, to a port that is registered.
//
//   https_callback CLIENT_ID AUTHORIZATION_ENDPOINT TOKEN_ENDPOINT PORT FOLDER
//
// The redirect URI is https://localhost:PORT/callback. Its certificate is made with mkcert, kept in
// FOLDER, and made anew before it expires. Exit codes: 0 logged in, 1 failed, 2 usage. Development
// servers on this machine: LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

import latchkey;

int main(int argc, char** argv) try {
  if (argc != 6) {
    return std::cerr << "usage: https_callback CLIENT_ID AUTHORIZATION_ENDPOINT TOKEN_ENDPOINT "
                        "PORT FOLDER\n",
           2;
  }
  const auto port = static_cast<std::uint16_t>(std::stoul(argv[4]));
  const auto certificate =
      latchkey::TlsCertificate::ensure_localhost(std::filesystem::absolute(argv[5]));
  if (!certificate) {
    return std::cerr << certificate.error().message << '\n'
                     << latchkey::kLocalhostCertificateGuide,
           1;
  }
  const bool http = std::getenv("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK") != nullptr;
  const auto flow = latchkey::AuthorizationCodeFlow::builder()
                        .client_id(argv[1])
                        .authorization_endpoint(argv[2])
                        .token_endpoint(argv[3])
                        .scope(latchkey::Scope::profile)
                        .https(*certificate)
                        .redirect_host(latchkey::LoopbackHost::localhost)
                        .port(port, latchkey::PortPolicy::required)
                        .application_name("https_callback")
                        .build();
  const auto tokens =
      flow.authorize({.http_rule = http ? latchkey::HttpRule::allow_http_for_loopback
                                        : latchkey::HttpRule::https_only})
          .value();
  std::cout << "logged in with a " << tokens.token_type() << " token\n";
  return 0;
} catch (const std::exception& e) {
  std::cerr << "https_callback: " << e.what() << '\n';
  return 1;
}
