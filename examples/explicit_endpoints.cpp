// SPDX-License-Identifier: MIT
// A login at a provider that publishes nothing about itself: its two endpoints are written down,
// and there is no id token.
//
//   explicit_endpoints CLIENT_ID AUTHORIZATION_ENDPOINT TOKEN_ENDPOINT SCOPE
//
// The browser opens; the program has the tokens when the person has agreed, and keeps none of them.
// Exit codes: 0 logged in, 1 failed, 2 usage. Development servers on this machine:
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <cstdlib>
#include <exception>
#include <iostream>

import latchkey;

int main(int argc, char** argv) try {
  if (argc != 5) {
    return std::cerr << "usage: explicit_endpoints CLIENT_ID AUTHORIZATION_ENDPOINT "
                        "TOKEN_ENDPOINT SCOPE\n",
           2;
  }
  const bool http = std::getenv("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK") != nullptr;
  const auto flow =
      latchkey::AuthorizationCodeFlow::builder()
          .client_id(argv[1])
          .authorization_endpoint(argv[2])
          .token_endpoint(argv[3])  // without one of these three, build() does not compile
          .scope(argv[4])
          .extra_parameter("prompt", "consent")
          .application_name("explicit_endpoints")
          .interaction({.on_url =
                            [](const latchkey::Url& url) {
                              std::cerr << "log in at " << url.text() << '\n';
                            }})
          .build();
  const auto tokens =
      flow.authorize({.http_rule = http ? latchkey::HttpRule::allow_http_for_loopback
                                        : latchkey::HttpRule::https_only})
          .value();

  std::cout << "logged in; granted: " << tokens.scope() << '\n';
  // An API gets the token as tokens.token_type() says; expose() is the one place to look for leaks.
  std::cerr << tokens.access_token().expose().size() << " bytes of " << tokens.token_type()
            << " token, " << (tokens.refresh_token() ? "with" : "without") << " a refresh token\n";
  return 0;
} catch (const std::exception& e) {
  std::cerr << "explicit_endpoints: " << e.what() << '\n';
  return 1;
}
