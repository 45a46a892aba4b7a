// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.authorization_code;
import latchkey.flows.client_options;
import latchkey.loopback.receiver;
import latchkey.oauth.server_metadata;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;
import latchkey.session;
import latchkey.test.flow_world;

// LA-01 to LA-05, G-44: what can be said when, and that build() is there exactly when nothing is
// missing. tests/flows/refused has the same as programs that must not compile.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

auto start() {
  return AuthorizationCodeFlow::builder();
}
auto client() {
  return start().client_id("c");
}
[[maybe_unused]] auto pages() {
  return start().authorization_endpoint("https://op.test/a").token_endpoint("https://op.test/t");
}
auto whole() {
  return client().authorization_endpoint("https://op.test/a").token_endpoint("https://op.test/t");
}
[[maybe_unused]] auto undecided() {
  return whole().openid();
}
[[maybe_unused]] auto found() {
  return client().discovered(OpenIdProvider{});
}
auto validator() {
  return std::make_shared<ToldValidator>();
}

template <class B>
constexpr bool builds = requires(B b) { std::move(b).build(); };
template <class B>
constexpr bool takes_client = requires(B b) { std::move(b).client_id("c"); };
template <class B>
constexpr bool takes_secret =
    requires(B b, SecretString s) { std::move(b).client_secret_basic(std::move(s)); };
template <class B>
constexpr bool takes_posted_secret =
    requires(B b, SecretString s) { std::move(b).client_secret_post(std::move(s)); };
template <class B>
constexpr bool takes_page = requires(B b) { std::move(b).authorization_endpoint("u"); };
template <class B>
constexpr bool takes_token_endpoint = requires(B b) { std::move(b).token_endpoint("u"); };
template <class B>
constexpr bool takes_server = requires(B b) { std::move(b).server(ServerMetadata{}); };
template <class B>
constexpr bool takes_provider = requires(B b) { std::move(b).discovered(OpenIdProvider{}); };
template <class B>
constexpr bool takes_openid = requires(B b) { std::move(b).openid(); };
template <class B>
constexpr bool takes_issuer = requires(B b) { std::move(b).issuer("u"); };
template <class B>
constexpr bool takes_max_age = requires(B b) { std::move(b).max_age(1s); };
template <class B>
constexpr bool takes_validator = requires(B b) { std::move(b).validate_id_token_with(nullptr); };
template <class B>
constexpr bool takes_opt_out = requires(B b) { std::move(b).without_jwks_validation(); };
template <class B>
constexpr bool takes_scope = requires(B b) { std::move(b).scope(Scope::email); };

using Start = decltype(start());
using Client = decltype(client());
using Pages = decltype(pages());
using Whole = decltype(whole());
using Undecided = decltype(undecided());
using Found = decltype(found());
using Checked = decltype(undecided().validate_id_token_with(nullptr));
using Unchecked = decltype(undecided().without_jwks_validation());
using OnlyAuthorization = decltype(client().authorization_endpoint("u"));
using OnlyToken = decltype(client().token_endpoint("u"));

// LA-01: each missing piece, and all of them.
static_assert(!builds<Start>);
static_assert(!builds<Client>);
static_assert(!builds<Pages>);
static_assert(!builds<OnlyAuthorization>);
static_assert(!builds<OnlyToken>);
static_assert(builds<Whole>);
// LA-02: with openid the choice must be made.
static_assert(!builds<Undecided>);
static_assert(builds<Checked>);
static_assert(builds<Unchecked>);
// LA-04: a discovered provider asks for openid, and still needs a client.
static_assert(!builds<decltype(start().discovered(OpenIdProvider{}))>);
static_assert(!builds<Found>);
static_assert(builds<decltype(found().validate_id_token_with(nullptr))>);
static_assert(builds<decltype(found().without_jwks_validation())>);
static_assert(builds<decltype(client().server(ServerMetadata{}))>);
static_assert(!builds<decltype(client().server(ServerMetadata{}).openid())>);
// The order does not matter.
static_assert(builds<decltype(pages().client_id("c"))>);
static_assert(!builds<decltype(start().openid().client_id("c"))>);

// What must be said once cannot be said twice.
static_assert(takes_client<Start> && !takes_client<Client>);
static_assert(takes_page<Client> && !takes_page<Whole> && !takes_page<Found>);
static_assert(takes_token_endpoint<Client> && !takes_token_endpoint<Whole>);
static_assert(takes_server<Client> && !takes_server<OnlyToken> && !takes_server<Found>);
static_assert(takes_provider<Client> && !takes_provider<Whole> && !takes_provider<Undecided>);
static_assert(takes_openid<Whole> && !takes_openid<Undecided> && !takes_openid<Checked>);
static_assert(takes_validator<Undecided> && !takes_validator<Whole>);
static_assert(!takes_validator<Checked> && !takes_validator<Unchecked>);
static_assert(takes_opt_out<Undecided> && !takes_opt_out<Whole> && !takes_opt_out<Checked>);
// LA-03: an issuer and a max_age make sense with an id token only.
static_assert(!takes_issuer<Whole> && takes_issuer<Undecided> && takes_issuer<Checked>);
static_assert(!takes_max_age<Whole> && takes_max_age<Undecided>);
// A secret is somebody's.
static_assert(!takes_secret<Start> && takes_secret<Client>);
static_assert(!takes_posted_secret<Start> && takes_posted_secret<Client>);
static_assert(takes_scope<Start> && takes_scope<Checked>);

// LA-60: the kind of the tokens follows from the choice.
static_assert(std::is_same_v<decltype(whole().build()), CodeFlow<Unvalidated>>);
static_assert(
    std::is_same_v<decltype(undecided().without_jwks_validation().build()), CodeFlow<Unvalidated>>);
static_assert(std::is_same_v<decltype(undecided().validate_id_token_with(nullptr).build()),
                             CodeFlow<Validated>>);

}  // namespace

TEST_CASE("LA-05: the defaults of a flow", "[builder]") {
  const auto flow = whole().build();
  const OAuthClientOptions options = flow.client_options();
  CHECK(options.client == nullptr);
  CHECK(options.scope.empty());
  CHECK(options.resources.empty());
  CHECK(options.extra_parameters.empty());
  CHECK(options.validator == nullptr);
  CHECK(options.proof == ProofRule::when_offered);
  CHECK(options.receiver.port == 0);
  CHECK(options.receiver.certificate == nullptr);
  CHECK(options.receiver.path == "/callback");
  CHECK(options.receiver.host == LoopbackHost::ipv4);
  CHECK(flow.interaction().open_browser);
  CHECK(flow.interaction().timeout == 300s);
}

TEST_CASE("builder: everything that is said is in the flow", "[builder]") {
  const auto judge = validator();
  const auto flow = AuthorizationCodeFlow::builder()
                        .client_id("c")
                        .authorization_endpoint("https://op.test/a")
                        .token_endpoint("https://op.test/t")
                        .client_secret_post(SecretString("secret"))
                        .openid()
                        .issuer("https://op.test")
                        .max_age(60s)
                        .validate_id_token_with(judge)
                        .scope(Scope::email)
                        .scope("read write")
                        .scope(Scope::offline_access)
                        .resource("https://api.test")
                        .extra_parameter("prompt", "consent")
                        .proof(ProofRule::never)
                        .port(8443, PortPolicy::preferred)
                        .redirect_path("/cb")
                        .redirect_host(LoopbackHost::localhost)
                        .application_name("Books")
                        .interaction({.timeout = 5s})
                        .build();
  const OAuthClientOptions options = flow.client_options();
  CHECK(options.client_id == "c");
  CHECK(options.client->method() == ClientAuthMethod::client_secret_post);
  CHECK(options.server.authorization_endpoint == "https://op.test/a");
  CHECK(options.server.token_endpoint == "https://op.test/t");
  CHECK(options.server.issuer == "https://op.test");
  CHECK(options.max_age == 60s);
  CHECK(options.validator == judge);
  CHECK(options.scope == "email read write offline_access");
  CHECK(options.resources.at(0) == "https://api.test");
  CHECK(options.extra_parameters.at(0).second == "consent");
  CHECK(options.proof == ProofRule::never);
  CHECK(options.receiver.port == 8443);
  CHECK(options.receiver.port_policy == PortPolicy::preferred);
  CHECK(options.receiver.path == "/cb");
  CHECK(options.receiver.host == LoopbackHost::localhost);
  CHECK(options.application_name == "Books");
  CHECK(flow.interaction().timeout == 5s);
}

TEST_CASE("LA-04: a discovered provider fills in the server, and a secret can be sent by header",
          "[builder]") {
  OpenIdProvider provider;
  provider.server.issuer = "https://op.test";
  provider.server.token_endpoint = "https://op.test/t";
  provider.server.jwks_uri = "https://op.test/jwks";
  const auto flow = client()
                        .discovered(provider)
                        .without_jwks_validation()
                        .client_secret_basic(SecretString("secret"))
                        .build();
  const OAuthClientOptions options = flow.client_options();
  CHECK(options.server.issuer == "https://op.test");
  CHECK(options.server.jwks_uri == "https://op.test/jwks");
  CHECK(options.client->method() == ClientAuthMethod::client_secret_basic);
  // openid is asked for, and nobody checks the signature.
  REQUIRE(options.validator);
  CHECK_FALSE(options.validator->checks_signature());
}

TEST_CASE("LA-68: the scopes of OpenID Connect have names, and openid is none of them",
          "[builder]") {
  CHECK(to_string(Scope::profile) == "profile");
  CHECK(to_string(Scope::email) == "email");
  CHECK(to_string(Scope::address) == "address");
  CHECK(to_string(Scope::phone) == "phone");
  CHECK(to_string(Scope::offline_access) == "offline_access");
}
