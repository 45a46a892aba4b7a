// SPDX-License-Identifier: MIT
// A login at an OpenID provider that tells its endpoints, for a program whose own backend wants to
// know who it is: the id token is handed on as it came, and the backend checks it.
//
//   discovery ISSUER CLIENT_ID BACKEND_URL
//
// Exit codes: 0 the backend said 2xx, 1 failed, 2 usage. Development servers on this machine:
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>

import latchkey;

int main(int argc, char** argv) try {
  if (argc != 4) return std::cerr << "usage: discovery ISSUER CLIENT_ID BACKEND_URL\n", 2;
  const auto rule = std::getenv("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK") != nullptr
                        ? latchkey::HttpRule::allow_http_for_loopback
                        : latchkey::HttpRule::https_only;
  const auto transport = std::shared_ptr<latchkey::HttpTransport>(
      latchkey::CpprestTransport::open({.http_rule = rule}).value());
  const auto backend = latchkey::Url::parse(argv[3]).value();

  auto provider = latchkey::discover_openid(*transport, argv[1], {.http_rule = rule}).value();
  std::cerr << "people log in at " << provider.server.authorization_endpoint << '\n';
  const auto flow = latchkey::AuthorizationCodeFlow::builder()
                        .client_id(argv[2])
                        .discovered(provider)  // asks for openid, and so for the next line
                        .without_jwks_validation()
                        .scope(latchkey::Scope::email)
                        .application_name("discovery")
                        .build();
  // TokenSet<Unvalidated>: claims() does not exist, for nobody here has checked them.
  const auto tokens = flow.authorize({.http_rule = rule, .transport = transport}).value();

  auto request = latchkey::form_post(backend, {});
  request.authorization = {latchkey::Authorization::Scheme::bearer, tokens.raw_id_token()->clone()};
  const auto answer = transport->send(request, {}).value();
  std::cout << "the backend says " << answer.status << '\n';
  return answer.status >= 200 && answer.status < 300 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "discovery: " << e.what() << '\n';
  return 1;
}
