// SPDX-License-Identifier: MIT
export module latchkey.flows.login_page;
import latchkey.core.time;
import latchkey.flows.token_set;
import latchkey.loopback.pages;
import latchkey.oidc.id_token;
import latchkey.session;

// What the page that a browser ends on tells of a login that went well.

export namespace latchkey {

/// Of a session that was saved. Name, e-mail address and picture are read from its id token, and
/// `identity` says what became of that.
[[nodiscard]] SuccessContext describe_login(const OAuthSession& session, IdentityCheck identity,
                                            TimePoint now);
/// Of tokens that a program takes into its own hands. `claims`: null if there is no id token.
[[nodiscard]] SuccessContext describe_login(const GrantedTokens& tokens, IdentityCheck identity,
                                            const IdTokenClaims* claims, TimePoint now);

}  // namespace latchkey
