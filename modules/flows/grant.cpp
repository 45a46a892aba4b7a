// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.grant;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.revocation;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.oidc.id_token_claims;
import latchkey.refresh.context;
import latchkey.session;

namespace latchkey {
namespace {

Error refused(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::token_invalid, "token." + std::string(fact),
                    "token answer refused: " + why);
}

// The sub in a subject that an id token named; empty for other subjects.
std::string_view sub_of(std::string_view subject, std::string_view issuer) {
  if (issuer.empty() || !subject.starts_with(issuer)) return {};
  subject.remove_prefix(issuer.size());
  return subject.starts_with('|') ? subject.substr(1) : std::string_view{};
}

Result<IdTokenClaims> validated_claims(const TokenAnswer& answer, const GrantTerms& terms,
                                       std::stop_token stop) {
  if (!answer.id_token) {
    return refused("id_token_missing", "it has no id token, although openid was asked for");
  }
  auto claims = terms.validator->validate(*answer.id_token,
                                          {.issuer = terms.server.issuer,
                                           .client_id = terms.client_id,
                                           .nonce = terms.nonce,
                                           .subject = {},
                                           .access_token = &answer.access_token,
                                           .max_age = terms.max_age},
                                          std::move(stop));
  if (!claims) return claims;
  const auto expected = sub_of(terms.subject, terms.server.issuer);
  if (!expected.empty() && claims->subject != expected) {
    return refused("sub_mismatch", "it is for " + printable(claims->subject, 100) +
                                       ", and the login is for " + printable(expected, 100));
  }
  return claims;
}

// What a request to the revocation endpoint needs to know.
SessionSummary revocable(const GrantTerms& terms) {
  SessionSummary session;
  session.subject = terms.subject;
  session.issuer = terms.server.issuer;
  session.revocation_endpoint = terms.server.revocation_endpoint;
  session.client_id = terms.client_id;
  session.client_auth_method = terms.client_auth_method;
  session.client_auth_kid = terms.client_auth_kid;
  // Also if the answer claims to be bound to no key: the revocation is proven with it.
  session.dpop_jkt = terms.dpop_jkt;
  return session;
}

}  // namespace

std::string openid_subject(std::string_view issuer, std::string_view sub) {
  return std::string(issuer) + '|' + std::string(sub);
}

std::string display_name(const IdTokenClaims& claims) {
  if (!claims.preferred_username.empty()) return claims.preferred_username;
  if (claims.email) return claims.email->address;
  return claims.name;
}

Result<void> check_token_type(const TokenAnswer& answer, std::string_view dpop_jkt) {
  const std::string type = canonical_token_type(answer.token_type);
  if (type == (dpop_jkt.empty() ? "Bearer" : "DPoP")) return {};
  return refused("type", "its token_type is " + printable(type, 32) +
                             (dpop_jkt.empty() ? ", and no key was proven: only Bearer will do"
                                               : ", although a key was proven: only DPoP will do"));
}

OAuthSession new_session(const TokenAnswer& answer, const GrantTerms& terms,
                         TimePoint requested_at) {
  OAuthSession session;
  session.subject = terms.subject;
  session.issuer = terms.server.issuer;
  session.resource_server = terms.resource_server;
  session.token_endpoint = terms.server.token_endpoint;
  session.revocation_endpoint = terms.server.revocation_endpoint;
  session.par_endpoint = terms.server.pushed_authorization_request_endpoint;
  session.client_id = terms.client_id;
  session.client_auth_method = terms.client_auth_method;
  session.client_auth_kid = terms.client_auth_kid;
  session.redirect_uri = terms.redirect_uri;
  session.scope = answer.scope.value_or(terms.scope);
  session.token_type = canonical_token_type(answer.token_type);
  if (session.token_type == "DPoP") session.dpop_jkt = terms.dpop_jkt;
  session.handle = terms.handle;
  session.session_started_at = requested_at;
  session.issued_at = requested_at;
  if (answer.expires_in) session.expires_at = requested_at + *answer.expires_in;
  session.access_token = answer.access_token.clone();
  session.refresh_token = clone(answer.refresh_token);
  session.id_token = clone(answer.id_token);
  return session;
}

Result<OAuthSession> session_from_grant(const TokenAnswer& answer, const GrantTerms& terms,
                                        TimePoint requested_at, std::stop_token stop) {
  if (auto right = check_token_type(answer, terms.dpop_jkt); !right) {
    return std::move(right).error();
  }
  OAuthSession session = new_session(answer, terms, requested_at);
  if (terms.validator) {
    auto claims = validated_claims(answer, terms, std::move(stop));
    if (!claims) return std::move(claims).error();
    if (session.subject.empty()) session.subject = openid_subject(claims->issuer, claims->subject);
    if (session.handle.empty()) session.handle = display_name(*claims);
  }
  if (session.subject.empty()) {
    return refused("no_subject",
                   "it has no id token that says whose it is; name the session yourself");
  }
  return session;
}

void revoke_answer(const SessionContext& context, const GrantTerms& terms,
                   const TokenAnswer& answer) {
  const SessionSummary session = revocable(terms);
  const bool renewable = answer.refresh_token.has_value();
  static_cast<void>(revoke_token(context, session,
                                 renewable ? *answer.refresh_token : answer.access_token,
                                 renewable ? TokenKind::refresh_token : TokenKind::access_token)
                        .has_value());
}

void revoke_unread(const SessionContext& context, const GrantTerms& terms,
                   const HttpResponse& response) {
  if (response.status != 200) return;
  auto body = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "token");
  if (!body) return;
  for (const auto& [name, kind] : {std::pair{"refresh_token", TokenKind::refresh_token},
                                   std::pair{"access_token", TokenKind::access_token}}) {
    const auto token = body->take_secret(name);
    if (!token || !*token || (*token)->empty()) continue;
    static_cast<void>(revoke_token(context, revocable(terms), **token, kind).has_value());
    return;
  }
}

std::optional<IdTokenClaims> read_id_token(const SecretString& id_token) {
  const std::string_view text = id_token.expose();
  const auto begin = text.find('.'), end = text.rfind('.');
  if (begin == std::string_view::npos || begin == end) return std::nullopt;
  const auto payload = base64url_decode_secret(text.substr(begin + 1, end - begin - 1));
  if (!payload) return std::nullopt;
  auto claims = parse_id_token_claims(as_text(payload->expose()));
  if (!claims) return std::nullopt;
  return *std::move(claims);
}

namespace {

// Of whom the id token of a session must be: whom it is kept under, or whom its first one named.
std::string sub_of_session(const OAuthSession& session) {
  if (const auto sub = sub_of(session.subject, session.issuer); !sub.empty()) {
    return std::string(sub);
  }
  const auto claims = session.id_token ? read_id_token(*session.id_token) : std::nullopt;
  return claims ? claims->subject : std::string{};
}

// Whether an error says that the id token is of somebody else, or forged. Others say that it can't
// be judged now: keys that can't be fetched, or a clock that is off.
bool is_verdict(const Error& error) {
  constexpr std::string_view kUndecided[] = {"id_token.key_not_found", "id_token.expired",
                                             "id_token.not_yet_valid", "id_token.issued_in_future",
                                             "id_token.issued_too_long_ago"};
  return error.code == ErrorCode::token_invalid &&
         std::find(std::begin(kUndecided), std::end(kUndecided), error.detail) ==
             std::end(kUndecided);
}

Error another_person() {
  return make_error(
      ErrorCode::token_invalid, "id_token.subject",
      "the id token of a refresh is of another person than the session; log in again");
}

// The refresh token is spent: to refuse the answer is to lose the session. So an id token that
// can't be judged is left out, and not the tokens with it; the one before stays.
Result<void> check_refresh(TokenAnswer& answer, const OAuthSession& session,
                           IdTokenValidator* validator) {
  if (auto right = check_token_type(answer, session.dpop_jkt); !right) return right;
  if (validator == nullptr || !answer.id_token) return {};
  const IdTokenExpectations expected{.issuer = session.issuer,
                                     .client_id = session.client_id,
                                     .nonce = {},
                                     .subject = sub_of_session(session),
                                     .access_token = &answer.access_token};
  auto claims = validator->validate(*answer.id_token, expected, {});
  if (claims) return {};
  if (is_verdict(claims.error())) return std::move(claims).error();
  const auto said = read_id_token(*answer.id_token);
  const bool same = said && said->issuer == session.issuer &&
                    (expected.subject.empty() || said->subject == expected.subject);
  if (said && !same) return another_person();
  answer.id_token.reset();
  return {};
}

}  // namespace

SessionProfile generic_profile(std::shared_ptr<IdTokenValidator> validator, TokenAnswerMapper map) {
  SessionProfile profile;
  if (validator) {
    // What has to be fetched is fetched while nothing is spent yet. A failure is met again below.
    profile.confirm = [validator](const SessionSummary& session,
                                  std::stop_token stop) -> Result<std::string> {
      validator->prepare(std::move(stop));
      return session.resource_server;
    };
  }
  profile.check = [validator = std::move(validator)](TokenAnswer& answer,
                                                     const OAuthSession& session) {
    return check_refresh(answer, session, validator.get());
  };
  profile.map_answer = std::move(map);
  profile.revokes_replaced = false;
  return profile;
}

}  // namespace latchkey
