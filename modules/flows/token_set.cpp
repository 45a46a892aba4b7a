// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.token_set;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.token;
import latchkey.oidc.id_token;

namespace latchkey {
namespace {

const SecretString* pointer_to(const std::optional<SecretString>& token) noexcept {
  return token ? &*token : nullptr;
}

}  // namespace

GrantedTokens::GrantedTokens(TokenAnswer answer, TimePoint requested_at,
                             std::string requested_scope, std::string dpop_jkt)
    : answer_(std::move(answer)),
      issued_at_(requested_at),
      scope_(answer_.scope.value_or(std::move(requested_scope))),
      dpop_jkt_(std::move(dpop_jkt)) {
  answer_.token_type = canonical_token_type(answer_.token_type);
}

const SecretString* GrantedTokens::refresh_token() const noexcept {
  return pointer_to(answer_.refresh_token);
}

const SecretString* GrantedTokens::raw_id_token() const noexcept {
  return pointer_to(answer_.id_token);
}

std::optional<TimePoint> GrantedTokens::expires_at() const noexcept {
  if (!answer_.expires_in) return std::nullopt;
  return issued_at_ + *answer_.expires_in;
}

bool GrantedTokens::is_expired(TimePoint now) const noexcept {
  const auto end = expires_at();
  return end && now >= *end;
}

bool GrantedTokens::needs_refresh(TimePoint now, Duration threshold) const noexcept {
  const auto end = expires_at();
  return end && *end - now <= threshold;
}

const SecretString* GrantedTokens::other_member(std::string_view name) const noexcept {
  const auto found = std::find_if(answer_.others.begin(), answer_.others.end(),
                                  [&](const auto& member) { return member.first == name; });
  return found == answer_.others.end() ? nullptr : &found->second;
}

Result<IdTokenClaims> read_claims(const GrantedTokens& tokens, IdTokenValidator& validator,
                                  IdTokenExpectations expectations, std::stop_token stop) {
  const SecretString* id_token = tokens.raw_id_token();
  if (id_token == nullptr) {
    return make_error(ErrorCode::token_invalid, "token.id_token_missing",
                      "token answer refused: it has no id token, although openid was asked for");
  }
  expectations.access_token = &tokens.access_token();
  return validator.validate(*id_token, expectations, std::move(stop));
}

Result<TokenSet<Validated>> validate(TokenSet<Unvalidated> tokens, IdTokenValidator& validator,
                                     IdTokenExpectations expectations, std::stop_token stop) {
  if (!validator.checks_signature()) {
    return make_error(ErrorCode::invalid_argument, "id_token.signature_unchecked",
                      "cannot call these tokens validated: the validator checks no signature; use "
                      "one that does");
  }
  auto claims = read_claims(tokens, validator, std::move(expectations), std::move(stop));
  if (!claims) return std::move(claims).error();
  return TokenSet<Validated>(std::move(tokens), *std::move(claims));
}

}  // namespace latchkey
