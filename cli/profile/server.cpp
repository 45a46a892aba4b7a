// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.profile.server;
import latchkey.cli.profile;
import latchkey.core.error;
import latchkey.oauth.scope;
import latchkey.oauth.server_metadata;
import latchkey.oidc.claims_only_validator;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;

namespace latchkey::cli {
namespace {

ServerMetadata server_of(const Profile& profile) {
  ServerMetadata server;
  server.issuer = profile.issuer;
  server.authorization_endpoint = profile.endpoints.authorization;
  server.token_endpoint = profile.endpoints.token;
  server.device_authorization_endpoint = profile.endpoints.device_authorization;
  server.revocation_endpoint = profile.endpoints.revocation;
  server.pushed_authorization_request_endpoint = profile.endpoints.pushed_authorization_request;
  server.jwks_uri = profile.endpoints.jwks;
  return server;
}

Result<std::shared_ptr<IdTokenValidator>> validator_of(const Profile& profile,
                                                       const ServerMetadata& server,
                                                       std::vector<std::string> algorithms,
                                                       const ProviderQuestion& question) {
  if (profile.without_jwks_validation) return claims_only_validator(question.clock);
  if (server.jwks_uri.empty()) {
    return make_error(ErrorCode::invalid_argument, "profile.no_jwks",
                      "cannot check who is logging in: openid is asked for, and the profile names "
                      "no jwks endpoint with the provider's keys; add it, drop openid, or accept "
                      "that with --without-jwks-validation");
  }
  return JwksIdTokenValidator::create({.transport = question.transport,
                                       .clock = question.clock,
                                       .jwks_uri = server.jwks_uri,
                                       .algorithms = std::move(algorithms),
                                       .http_rule = question.http_rule});
}

}  // namespace

bool asks_for_openid(const Profile& profile) {
  const auto scope = ScopeSet::parse(profile.scope);
  return scope && scope->contains("openid");
}

Result<std::string> scope_without_openid(const Profile& profile) {
  const auto scope = ScopeSet::parse(profile.scope);
  if (!scope) return scope.error();
  std::string text;
  for (const std::string& token : scope->tokens()) {
    if (token != "openid") text += (text.empty() ? "" : " ") + token;
  }
  return text;
}

Result<Provider> find_provider(const Profile& profile, const ProviderQuestion& question) {
  const bool openid = asks_for_openid(profile);
  Provider provider;
  std::vector<std::string> algorithms;
  if (!profile.endpoints.token.empty()) {
    provider.server = server_of(profile);
  } else if (openid) {
    auto found = discover_openid(*question.transport, profile.issuer,
                                 {.http_rule = question.http_rule, .stop = question.stop});
    if (!found) return std::move(found).error();
    provider.server = std::move(found->server);
    algorithms = std::move(found->id_token_signing_alg_values_supported);
  } else {
    auto found = discover_server(*question.transport, profile.issuer,
                                 {.http_rule = question.http_rule, .stop = question.stop});
    if (!found) return std::move(found).error();
    provider.server = *std::move(found);
  }
  if (!openid) return provider;
  auto validator = validator_of(profile, provider.server, std::move(algorithms), question);
  if (!validator) return std::move(validator).error();
  provider.validator = *std::move(validator);
  return provider;
}

}  // namespace latchkey::cli
