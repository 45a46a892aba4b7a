// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oidc.jwks_validator;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oidc.id_token;
import latchkey.oidc.id_token_claims;
import latchkey.oidc.jwks_cache;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;

namespace latchkey {
namespace {

std::vector<JwsAlgorithm> known_of(const std::vector<std::string>& names) {
  const auto all = jws_algorithms();
  if (names.empty()) return {all.begin(), all.end()};
  std::vector<JwsAlgorithm> known;
  for (const auto& name : names) {
    if (const auto algorithm = parse_jws_algorithm(name)) known.push_back(*algorithm);
  }
  return known;
}

// Could other keys of the same server change this verdict?
bool may_be_rotated(const Error& error) {
  return error.detail == "id_token.key_not_found" || error.detail == "id_token.key_mismatch" ||
         error.detail == "id_token.signature";
}

}  // namespace

Result<std::shared_ptr<IdTokenValidator>> JwksIdTokenValidator::create(
    JwksValidatorOptions options) {
  if (!options.transport || !options.clock) {
    return make_error(ErrorCode::invalid_argument, "jwks.incomplete",
                      "cannot check id tokens: there is no transport or no clock; pass both");
  }
  auto url = Url::parse(options.jwks_uri);
  if (!url) return std::move(url).error();
  if (auto allowed = check_scheme(*url, options.http_rule); !allowed) {
    return std::move(allowed).error();
  }
  auto known = known_of(options.algorithms);
  if (known.empty()) {
    return make_error(ErrorCode::invalid_metadata, "jwks.no_algorithm",
                      "cannot check id tokens of the keys at " + printable(options.jwks_uri, 200) +
                          ": the provider announces no public key signature that we know; "
                          "have it sign with RS256 or ES256");
  }
  return std::shared_ptr<IdTokenValidator>(
      new JwksIdTokenValidator(std::move(options), std::move(*url), std::move(known)));
}

JwksIdTokenValidator::JwksIdTokenValidator(JwksValidatorOptions options, Url jwks_uri,
                                           std::vector<JwsAlgorithm> allowed)
    : clock_(options.clock),
      allowed_(std::move(allowed)),
      cache_(std::move(options.transport), std::move(options.clock), std::move(jwks_uri)) {}

Result<void> JwksIdTokenValidator::verify(const CompactJws& token, const std::stop_token& stop) {
  const auto keys = cache_.current(stop);
  if (!keys) return keys.error();
  auto verdict = (*keys)->verify(token);
  if (verdict || !may_be_rotated(verdict.error())) return verdict;
  if (const auto others = cache_.other_than(*keys, stop)) return others->verify(token);
  if (!stop.stop_requested()) return verdict;
  // Not the token's fault, perhaps: the keys that may be its own were not waited for.
  return make_error(ErrorCode::cancelled, "jwks.cancelled",
                    "stopped looking for the key of an id token: it was asked to");
}

void JwksIdTokenValidator::prepare(std::stop_token stop) {
  static_cast<void>(cache_.current(std::move(stop)).has_value());
}

Result<IdTokenClaims> JwksIdTokenValidator::validate(const SecretString& id_token,
                                                     const IdTokenExpectations& expectations,
                                                     std::stop_token stop) {
  const auto token = parse_compact_jws(id_token.expose(), allowed_);
  if (!token) return token.error();
  if (auto genuine = verify(*token, stop); !genuine) return std::move(genuine).error();
  auto claims = parse_id_token_claims(as_text(token->payload.expose()));
  if (!claims) return claims;
  if (auto good = check_id_token_claims(*claims, expectations, token->algorithm, clock_->now());
      !good) {
    return std::move(good).error();
  }
  return claims;
}

}  // namespace latchkey
