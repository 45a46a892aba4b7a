// SPDX-License-Identifier: MIT
#include <chrono>
#include <memory>
#include <string>
#include <utility>

import latchkey.core;
import latchkey.flows.authorization_code;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;

// What a flow must not compile without. Every statement below a `refused: TEXT` is an error of
// that text when the file is compiled with LATCHKEY_REFUSED; without it the file compiles, and has
// each of them with what was missing. refused.py checks both.

#ifdef LATCHKEY_REFUSED
#define REFUSED(...) __VA_ARGS__
#else
#define REFUSED(...)
#endif

using namespace latchkey;

namespace {

template <class T>
void use(T&&) {}

auto start() {
  return AuthorizationCodeFlow::builder();
}
auto pages() {
  return start().authorization_endpoint("https://op.test/a").token_endpoint("https://op.test/t");
}

}  // namespace

void needs_a_client() {
  use(pages().client_id("c").build());
  // refused: 'build': constraints not satisfied
  REFUSED(use(pages().build()));
}

void needs_an_authorization_endpoint() {
  use(start().client_id("c").token_endpoint("t").authorization_endpoint("a").build());
  // refused: 'build': constraints not satisfied
  REFUSED(use(start().client_id("c").token_endpoint("t").build()));
}

void needs_a_token_endpoint() {
  use(start().client_id("c").authorization_endpoint("a").token_endpoint("t").build());
  // refused: 'build': constraints not satisfied
  REFUSED(use(start().client_id("c").authorization_endpoint("a").build()));
}

void needs_a_decision_about_id_tokens() {
  use(pages().client_id("c").openid().validate_id_token_with(nullptr).build());
  use(pages().client_id("c").openid().without_jwks_validation().build());
  // refused: 'build': constraints not satisfied
  REFUSED(use(pages().client_id("c").openid().build()));
}

void needs_a_decision_after_discovery(const OpenIdProvider& found) {
  use(start().client_id("c").discovered(found).without_jwks_validation().build());
  // refused: 'build': constraints not satisfied
  REFUSED(use(start().client_id("c").discovered(found).build()));
}

void decides_once() {
  use(pages().openid().without_jwks_validation());
  // refused: 'validate_id_token_with': constraints not satisfied
  REFUSED(use(pages().openid().without_jwks_validation().validate_id_token_with({})));
}

void has_an_issuer_only_with_id_tokens() {
  use(pages().openid().issuer("https://op.test"));
  // refused: 'issuer': constraints not satisfied
  REFUSED(use(pages().issuer("https://op.test")));
}

void has_a_secret_only_with_a_client() {
  use(start().client_id("c").client_secret_basic(SecretString("s")));
  // refused: 'client_secret_basic': constraints not satisfied
  REFUSED(use(start().client_secret_basic(SecretString("s"))));
}

void shows_claims_only_when_validated(const TokenSet<Validated>& yes,
                                      const TokenSet<Unvalidated>& no) {
  use(yes.claims());
  use(no.raw_id_token());
  // refused: no member named 'claims'
  REFUSED(use(no.claims()));
}

void is_validated_by_a_validator_only(TokenSet<Unvalidated> tokens, IdTokenValidator& validator,
                                      const IdTokenClaims& claims) {
  use(claims);
  // refused: calling a private constructor
  REFUSED(use(TokenSet<Validated>(std::move(tokens), claims)));
  use(validate(std::move(tokens), validator, {}));
}
