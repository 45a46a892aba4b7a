// SPDX-License-Identifier: MIT
// Who is this? A login at an OpenID provider whose id token is checked here, against the keys that
// the provider publishes.
//
//   jwks_check ISSUER CLIENT_ID
//
// Exit codes: 0 logged in, 1 failed, 2 usage, 4 what came back is not to be believed. Development
// servers on this machine: LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>

import latchkey;

int main(int argc, char** argv) try {
  if (argc != 3) return std::cerr << "usage: jwks_check ISSUER CLIENT_ID\n", 2;
  const auto rule = std::getenv("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK") != nullptr
                        ? latchkey::HttpRule::allow_http_for_loopback
                        : latchkey::HttpRule::https_only;
  const auto transport = std::shared_ptr<latchkey::HttpTransport>(
      latchkey::CpprestTransport::open({.http_rule = rule}).value());
  const auto provider = latchkey::discover_openid(*transport, argv[1], {.http_rule = rule}).value();

  // Keeps the keys for all logins to come: one for each provider, for the life of the program.
  const auto validator = latchkey::JwksIdTokenValidator::create(
                             {.transport = transport,
                              .clock = std::make_shared<latchkey::SystemClock>(),
                              .jwks_uri = provider.server.jwks_uri,
                              .algorithms = provider.id_token_signing_alg_values_supported,
                              .http_rule = rule})
                             .value();
  const auto flow = latchkey::AuthorizationCodeFlow::builder()
                        .client_id(argv[2])
                        .discovered(provider)
                        .validate_id_token_with(validator)
                        .scope(latchkey::Scope::profile)
                        .scope(latchkey::Scope::email)
                        .application_name("jwks_check")
                        .build();
  const auto tokens = flow.authorize({.http_rule = rule, .transport = transport});
  if (!tokens && tokens.error().code == latchkey::ErrorCode::token_invalid) {
    return std::cerr << tokens.error().detail << ": " << tokens.error().message << '\n', 4;
  }

  const latchkey::IdTokenClaims& who = tokens.value().claims();
  std::cout << who.subject << (who.email && who.email->verified ? ' ' + who.email->address : "")
            << '\n';
  return 0;
} catch (const std::exception& e) {
  std::cerr << "jwks_check: " << e.what() << '\n';
  return 1;
}
