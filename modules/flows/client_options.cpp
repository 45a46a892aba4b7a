// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cctype>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.client_options;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.code_login;
import latchkey.flows.environment;
import latchkey.flows.grant;
import latchkey.flows.interaction;
import latchkey.flows.tracing;
import latchkey.http;
import latchkey.http.policy;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.scope;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.claims_only_validator;
import latchkey.oidc.id_token;
import latchkey.refresh.context;
import latchkey.refresh.provers;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey {
namespace {

Error option_error(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "client." + std::string(fact),
                    "cannot make a client: " + why);
}

// RFC 3986 §4.3; urn: and the like included, which Url does not read.
bool is_resource_uri(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon + 1 == text.size()) return false;
  const auto is_scheme_character = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.';
  };
  return std::isalpha(static_cast<unsigned char>(text.front())) != 0 &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                     is_scheme_character) &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

Result<void> check_endpoints(const OAuthClientOptions& options) {
  const ServerMetadata& server = options.server;
  for (const auto& [endpoint, step] :
       {std::pair{&server.token_endpoint, "token"},
        std::pair{&server.authorization_endpoint, "authorization"},
        std::pair{&server.pushed_authorization_request_endpoint, "par"},
        std::pair{&server.revocation_endpoint, "revocation"}}) {
    // Only the first is needed for whatever a client does; a missing authorization endpoint is an
    // error of the login.
    if (endpoint->empty() && endpoint != &server.token_endpoint) continue;
    const auto url = parse_endpoint(*endpoint, step);
    if (!url) return url.error();
    if (auto allowed = check_scheme(*url, options.http_rule); !allowed) return allowed;
  }
  return {};
}

Result<void> check_audience(const OAuthClientOptions& options) {
  for (const std::string& resource : options.resources) {
    if (!is_resource_uri(resource)) {
      return option_error("resource", "the resource " + printable(resource, 200) +
                                          " is no absolute URI without a fragment (RFC 8707 "
                                          "section 2)");
    }
  }
  for (const std::string& origin : options.allowed_origins) {
    if (const auto url = parse_origin(origin, options.http_rule); !url) return url.error();
  }
  return {};
}

Result<void> check_openid(const OAuthClientOptions& options) {
  const bool validates = options.validator && options.validator->checks_signature();
  if (options.requires_validated_id_token && !validates) {
    return option_error("validator",
                        "id tokens are to be validated, and the validator is null, or checks no "
                        "signature");
  }
  if (options.max_age && (!options.validator || options.max_age->count() < 0)) {
    return option_error("max_age",
                        "max_age is negative, or there is no validator that could look at it");
  }
  if (!options.validator || !options.server.issuer.empty()) return {};
  return option_error(
      "issuer_missing",
      "id tokens are to be validated, and the server has no issuer to compare with; "
      "set ServerMetadata::issuer");
}

Result<std::string> requested_scope(const OAuthClientOptions& options, std::string_view wanted) {
  auto scope = ScopeSet::parse(wanted.empty() ? std::string_view(options.scope) : wanted);
  if (!scope) return std::move(scope).error();
  if (scope->contains("openid")) {
    return option_error("openid_in_scope",
                        "openid can't be asked for as a scope: say what becomes of the id token, "
                        "and it is added");
  }
  if (!options.validator) return scope->text();
  return scope->tokens().empty() ? "openid" : "openid " + scope->text();
}

TokenBinding binding_of(const OAuthClientOptions& options) {
  if (options.proof == ProofRule::never) return TokenBinding::bearer;
  if (options.proof == ProofRule::required) return TokenBinding::dpop;
  const auto& offered = options.server.dpop_signing_alg_values_supported;
  const bool usable =
      options.vault && std::find(offered.begin(), offered.end(), "ES256") != offered.end();
  return usable ? TokenBinding::dpop : TokenBinding::bearer;
}

}  // namespace

Result<void> check_client_options(const OAuthClientOptions& options) {
  if (options.client_id.empty()) {
    return option_error("client_id_missing", "it has no client_id");
  }
  if (options.proof == ProofRule::required && !options.vault) {
    return option_error("no_vault",
                        "tokens are to be bound to a key, and there is no vault to keep it in; set "
                        "the vault");
  }
  if (auto good = check_endpoints(options); !good) return good;
  if (auto good = check_openid(options); !good) return good;
  if (auto scope = requested_scope(options, {}); !scope) return std::move(scope).error();
  if (auto good = check_extra_parameters(options.extra_parameters); !good) return good;
  return check_audience(options);
}

Result<CodeRequest> make_code_request(const OAuthClientOptions& options, std::string_view scope,
                                      std::string redirect_uri) {
  auto wanted = requested_scope(options, scope);
  if (!wanted) return std::move(wanted).error();
  return CodeRequest{
      .server = options.server,
      .redirect_uri = std::move(redirect_uri),
      .scope = *std::move(wanted),
      .resources = options.resources,
      .extra = options.extra_parameters,
      .binding = binding_of(options),
      .openid = options.validator != nullptr,
      .max_age = options.max_age,
      .resource_server = options.resources.empty() ? std::string{} : options.resources.front()};
}

Result<SessionContext> make_context(OAuthClientOptions& options) {
  FlowEnvironment environment{.http_rule = options.http_rule,
                              .address_rule = options.address_rule,
                              .proxy = options.proxy.clone(),
                              .extra_ca_file = options.extra_ca_file,
                              .transport = options.transport,
                              .browser = options.browser,
                              .clock = options.clock,
                              .random = options.random,
                              .tracer = options.tracer};
  if (auto filled = fill_defaults(environment); !filled) return std::move(filled).error();
  options.transport = environment.transport;
  options.browser = environment.browser;
  options.clock = environment.clock;
  options.random = environment.random;
  if (!options.client) options.client = public_client(options.client_id);
  SessionProfile profile = generic_profile(options.validator, options.map_answer);
  profile.resources = options.resources;
  return SessionContext{.store = options.store,
                        .provers = std::make_shared<ProverCache>(options.vault, options.random),
                        .transport = options.transport,
                        .nonces = std::make_shared<NonceCache>(
                            options.store ? nonce_storage(options.store) : nullptr),
                        .skew = std::make_shared<ClockSkew>(),
                        .clock = options.clock,
                        .random = options.random,
                        .client = options.client,
                        .client_id = options.client_id,
                        .profile = std::move(profile),
                        .on_event = traced(options.on_event, options.tracer)};
}

LoginPlace place_of(const OAuthClientOptions& options) {
  return {.browser = options.browser,
          .receiver = options.receiver,
          .application_name = options.application_name,
          .client_id = options.client_id,
          .pages = options.pages,
          .tracer = options.tracer};
}

IdentityCheck identity_check(const OAuthClientOptions& options) noexcept {
  if (!options.validator) return IdentityCheck::none;
  return options.validator->checks_signature() ? IdentityCheck::validated
                                               : IdentityCheck::unvalidated;
}

}  // namespace latchkey
