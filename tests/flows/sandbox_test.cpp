// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.authorization_code;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.sandbox_world;
import latchkey.test.wire_client;

// Whole flows against a provider that is strict about every rule a client can break.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kBooks = "books-app";

struct Provider {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(SystemClock().now());
  std::unique_ptr<sandbox::Sandbox> servers =
      sandbox::Sandbox::start({.nonce_rotation = 100h, .clock = clock}).value();
  sandbox::Account alice = servers->add_account("alice.test", {}, true).value();
  std::shared_ptr<FollowingBrowser> browser = std::make_shared<FollowingBrowser>();
  std::shared_ptr<HttpTransport> transport =
      CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback}).value();
  std::shared_ptr<KeyVault> vault = memory_vault();
  std::shared_ptr<OAuthTokenStore> store = MemoryOAuthTokenStore::create(vault->sealer(), clock);
  OpenIdProvider found;

  /// `method`: token_endpoint_auth_method.
  explicit Provider(const std::string& method = "none") {
    const bool has_secret = method != "none";
    servers
        ->add_client(
            {.metadata = to_json({{"client_id", quoted(kBooks)},
                                  {"redirect_uris", R"(["http://127.0.0.1/callback"])"},
                                  {"grant_types", R"(["authorization_code","refresh_token"])"},
                                  {"token_endpoint_auth_method", quoted(method)}}),
             .client_secret =
                 has_secret ? std::optional<std::string>("s3cret/with+signs") : std::nullopt})
        .value();
    found = discover_openid(*transport, servers->issuer(),
                            {.http_rule = HttpRule::allow_http_for_loopback})
                .value();
  }

  std::shared_ptr<IdTokenValidator> judge() const {
    return JwksIdTokenValidator::create({.transport = transport,
                                         .clock = clock,
                                         .jwks_uri = found.server.jwks_uri,
                                         .http_rule = HttpRule::allow_http_for_loopback})
        .value();
  }
  auto flow() const {
    return AuthorizationCodeFlow::builder()
        .client_id(std::string(kBooks))
        .discovered(found)
        .validate_id_token_with(judge())
        .scope(Scope::email)
        .extra_parameter("login_hint", "alice.test");
  }
  FlowEnvironment environment(bool with_vault) const {
    return {.http_rule = HttpRule::allow_http_for_loopback,
            .vault = with_vault ? vault : nullptr,
            .transport = transport,
            .browser = browser,
            .clock = clock};
  }
  OAuthClient client(const std::function<void(OAuthClientOptions&)>& change = {}) const {
    OAuthClientOptions options = flow().build().client_options();
    options.store = store;
    options.vault = vault;
    options.http_rule = HttpRule::allow_http_for_loopback;
    options.transport = transport;
    options.browser = browser;
    options.clock = clock;
    if (change) change(options);
    return OAuthClient::create(std::move(options)).value();
  }
};

void without_par(OpenIdProvider& found) {
  found.server.pushed_authorization_request_endpoint.clear();
  found.server.require_pushed_authorization_requests.reset();
}

}  // namespace

TEST_CASE("flow: pushed or plain, bound or Bearer, it ends in validated tokens", "[sandbox]") {
  const bool pushed = GENERATE(true, false);
  const bool bound = GENERATE(true, false);
  CAPTURE(pushed, bound);
  Provider p;
  if (!pushed) without_par(p.found);
  const auto tokens = p.flow().build().authorize(p.environment(bound));
  REQUIRE(outcome(tokens) == "ok");
  CHECK(tokens->token_type() == (bound ? "DPoP" : "Bearer"));
  CHECK(tokens->claims().issuer == p.servers->issuer());
  CHECK(tokens->claims().subject == p.alice.did);
  CHECK(tokens->refresh_token() != nullptr);
}

TEST_CASE("flow: a client with a secret logs in by header and by form", "[sandbox]") {
  const bool by_header = GENERATE(true, false);
  const Provider p(by_header ? "client_secret_basic" : "client_secret_post");
  const SecretString secret("s3cret/with+signs");
  const auto tokens =
      by_header
          ? p.flow().client_secret_basic(secret.clone()).build().authorize(p.environment(false))
          : p.flow().client_secret_post(secret.clone()).build().authorize(p.environment(false));
  CHECK(outcome(tokens) == "ok");
}

TEST_CASE("flow: a client with the wrong secret gets nothing", "[sandbox]") {
  Provider p("client_secret_basic");
  without_par(p.found);
  const auto flow = p.flow().client_secret_basic(SecretString("wrong")).build();
  CHECK(outcome(flow.authorize(p.environment(false))) == "invalid_client token.invalid_client");
}

TEST_CASE("client: a session of a provider is kept, renewed and ended", "[sandbox]") {
  const bool bound = GENERATE(true, false);
  const Provider p;
  OAuthClient client =
      p.client([&](OAuthClientOptions& o) { o.proof = bound ? o.proof : ProofRule::never; });
  const SessionSummary session = client.login().value();
  CHECK(session.subject == p.servers->issuer() + "|" + p.alice.did);
  CHECK(session.token_type == (bound ? "DPoP" : "Bearer"));
  const std::string before(client.fresh(session.subject).value()->access_token.expose());
  p.clock->advance(2h);
  const auto renewed = client.fresh(session.subject);
  REQUIRE(outcome(renewed) == "ok");
  CHECK((*renewed)->access_token.expose() != before);
  CHECK((*renewed)->login_id == session.login_id);
  CHECK(client.logout(session.subject).value() == LogoutOutcome::revoked);
  CHECK(p.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("client: userinfo is asked with the token once its origin is allowed", "[sandbox]") {
  const Provider p;
  OAuthClient closed = p.client();
  const std::string subject = closed.login().value().subject;
  CHECK(outcome(closed.request(subject, "GET", p.found.userinfo_endpoint)) ==
        "insecure_address resource.other_origin");
  OAuthClient open =
      p.client([&](OAuthClientOptions& o) { o.allowed_origins = {p.servers->issuer()}; });
  const auto answer = open.request(subject, "GET", p.found.userinfo_endpoint);
  REQUIRE(outcome(answer) == "ok");
  CHECK(answer->status == 200);
  CHECK(answer->body.expose().find(p.alice.did) != std::string_view::npos);
}

TEST_CASE("client: what the id token does not prove is refused and revoked", "[sandbox]") {
  Provider p;
  p.found.server.issuer = p.servers->pds();  // as if another provider had been asked
  p.found.server.authorization_response_iss_parameter_supported.reset();
  OAuthClient client = p.client();
  // The callback's iss is the first to say so.
  CHECK(outcome(client.login()) == "callback_invalid callback.iss_mismatch");
  CHECK(p.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("client: keys that the provider has rotated away make no login", "[sandbox]") {
  const Provider p;
  OAuthClient client = p.client();
  REQUIRE(outcome(client.login()) == "ok");
  p.servers->rotate_signing_keys(0s);
  p.clock->advance(10min);
  CHECK(outcome(client.login()) == "ok");  // fetched again
}
