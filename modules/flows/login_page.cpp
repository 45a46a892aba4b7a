// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.login_page;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.grant;
import latchkey.flows.token_set;
import latchkey.loopback.pages;
import latchkey.oauth.scope;
import latchkey.oidc.id_token;
import latchkey.session;

namespace latchkey {
namespace {

std::vector<std::string> scopes_in(std::string_view text) {
  const auto scopes = ScopeSet::parse(text);
  return scopes ? scopes->tokens() : std::vector<std::string>{};
}

void add_person(const IdTokenClaims& claims, IdentityCheck identity, SuccessContext& page) {
  page.identity = identity;
  page.subject = claims.subject;
  page.name = claims.name;
  page.picture = claims.picture;
  if (page.account.empty()) page.account = display_name(claims);
  if (!claims.email) return;
  page.email = claims.email->address;
  page.email_verified = claims.email->verified;
}

}  // namespace

SuccessContext describe_login(const OAuthSession& session, IdentityCheck identity, TimePoint now) {
  SuccessContext page{.account = session.handle.empty() ? session.subject : session.handle,
                      .subject = session.subject,
                      .scopes = scopes_in(session.scope),
                      .expires_in = session.time_until_expiry(now),
                      .has_refresh_token = session.refresh_token.has_value()};
  const auto claims = session.id_token ? read_id_token(*session.id_token) : std::nullopt;
  if (claims && identity != IdentityCheck::none) add_person(*claims, identity, page);
  return page;
}

SuccessContext describe_login(const GrantedTokens& tokens, IdentityCheck identity,
                              const IdTokenClaims* claims, TimePoint now) {
  SuccessContext page{.scopes = scopes_in(tokens.scope()),
                      .has_refresh_token = tokens.refresh_token() != nullptr};
  if (const auto end = tokens.expires_at()) page.expires_in = *end - now;
  if (claims != nullptr) add_person(*claims, identity, page);
  return page;
}

}  // namespace latchkey
