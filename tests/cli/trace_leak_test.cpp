// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.cli.trace.page;
import latchkey.cli.trace.record;
import latchkey.core;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.client_credentials;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.oauth.client_secret;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.strategy;
import latchkey.strategy.app_password;
import latchkey.test.outcome;
import latchkey.test.overheard;
import latchkey.test.registered_clients;
import latchkey.test.sandbox_world;

// Every flow against a strict server, and whatever passed that looks like a secret searched for in
// its trace, and in the page of it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr HttpRule kHttp = HttpRule::allow_http_for_loopback;
using Strings = std::vector<std::string>;

std::shared_ptr<HttpTransport> cpprest() {
  return CpprestTransport::open({.http_rule = kHttp}).value();
}
std::shared_ptr<HttpTransport> curl() {
  return CurlTransport::open({.address_rule = AddressRule::any, .http_rule = kHttp}).value();
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

// Nothing in the trace or its page that was heard, or that the sandbox saw pass.
void check_silent(const Overheard& overheard, const Strings& captured) {
  const std::string trace = overheard.trace();
  const std::string page = cli::trace_page(cli::parse_trace(trace));
  CHECK(overheard.secrets().size() >= 3);
  CHECK(overheard.leaked_in(trace) == Strings{});
  CHECK(overheard.leaked_in(page) == Strings{});
  for (const std::string& secret : captured) {
    CAPTURE(secret);
    CHECK(trace.find(secret) == std::string::npos);
    CHECK(page.find(secret) == std::string::npos);
  }
}

struct AtprotoTrace {
  SandboxWorld world{};
  Overheard overheard{world.clock};
  AtprotoClient client;

  AtprotoTrace() : client(make()) { world.servers->capture_secrets(); }
  ~AtprotoTrace() { check_silent(overheard, world.servers->captured_secrets()); }
  AtprotoTrace(const AtprotoTrace&) = delete;
  AtprotoTrace& operator=(const AtprotoTrace&) = delete;

  AtprotoClient make() {
    return AtprotoClient::create({.client = loopback_client(std::string(kScope)),
                                  .store = world.store,
                                  .vault = world.vault,
                                  .plc_url = world.servers->plc(),
                                  .resolve_handles_at = world.servers->pds(),
                                  .http_rule = kHttp,
                                  .transport = overheard.listen_to(cpprest()),
                                  .strangers = overheard.listen_to(curl()),
                                  .browser = world.browser,
                                  .clock = world.clock,
                                  .tracer = overheard.tracer()})
        .value();
  }
  [[nodiscard]] bool told(std::string_view part) const {
    return overheard.trace().find(part) != std::string::npos;
  }
};

// Keepers and flows of a provider that is no AT Protocol server.
struct ProviderTrace {
  RegisteredWorld world{};
  std::shared_ptr<KeyVault> vault = memory_vault(world.clock);
  std::shared_ptr<OAuthTokenStore> store =
      MemoryOAuthTokenStore::create(vault->sealer(), world.clock);
  Overheard overheard{world.clock};
  std::shared_ptr<HttpTransport> transport = overheard.around(curl());

  ProviderTrace() { world.servers->capture_secrets(); }
  ~ProviderTrace() { check_silent(overheard, world.servers->captured_secrets()); }
  ProviderTrace(const ProviderTrace&) = delete;
  ProviderTrace& operator=(const ProviderTrace&) = delete;

  DeviceFlowOptions device_options() {
    const auto random = std::make_shared<SystemRandom>();
    DeviceFlowOptions options;
    options.keeper = std::make_shared<SessionKeeper>(
        SessionContext{.store = store,
                       .provers = std::make_shared<ProverCache>(vault, random),
                       .transport = transport,
                       .nonces = std::make_shared<NonceCache>(),
                       .skew = std::make_shared<ClockSkew>(),
                       .clock = world.clock,
                       .random = random,
                       .client = client_secret_basic("books app", SecretString(kSecret)),
                       .client_id = "books app"});
    const std::string& issuer = world.servers->issuer();
    options.server.issuer = issuer;
    options.server.device_authorization_endpoint = issuer + "/oauth/device";
    options.server.token_endpoint = issuer + "/oauth/token";
    options.server.revocation_endpoint = issuer + "/oauth/revoke";
    options.scope = "openid";
    options.subject = "alice";
    options.binding = TokenBinding::dpop;
    return options;
  }
};

}  // namespace

TEST_CASE("C11.6: no secret of an AT Protocol login, refresh, write and logout is in its trace",
          "[trace]") {
  AtprotoTrace t;
  const auto session = t.client.login("alice.test");
  REQUIRE(outcome(session) == "ok");
  t.world.expire();
  auto pds = t.client.pds(session->subject);
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
  t.world.servers->expire_access_tokens();
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
  CHECK(outcome(t.client.logout(session->subject)) == "ok");
  REQUIRE(t.client.keeper().settle(10s));  // events come on a thread of their own
  for (const std::string_view part :
       {R"("purpose":"handle")", R"("purpose":"did_document")", R"("purpose":"resource_metadata")",
        R"("purpose":"server_metadata")", R"("purpose":"par")", R"("grant":"authorization_code")",
        R"("grant":"refresh_token")", R"("purpose":"revocation")", R"("step":"browser_opened")",
        R"("step":"callback")", R"("step":"logged_in")", R"("step":"session_logged_in")",
        R"("path":"/xrpc/com.atproto.repo.createRecord")", R"("retry":"use_dpop_nonce")",
        R"("retry":"token_renewed")", R"("key":")"}) {
    CAPTURE(part);
    const bool resolved_by_pds = part == R"("purpose":"handle")";
    CHECK((t.told(part) || resolved_by_pds));
  }
  CHECK(count(t.overheard.trace(), R"("kind":"request")") ==
        count(t.overheard.trace(), R"("kind":"answer")"));
}

TEST_CASE("C11.6: nor when logins are given up, answers are lost, or clocks differ", "[trace]") {
  AtprotoTrace t;
  CHECK_FALSE(
      t.client.login("alice.test", {.open_browser = false, .paste = []() -> Result<std::string> {
                                      return std::string("http://127.0.0.1/?code=x");
                                    }}));
  CHECK(t.told(R"("step":"login_abandoned")"));
  t.world.servers->set_clock_skew(5min);
  const auto session = t.client.login("alice.test");
  REQUIRE(outcome(session) == "ok");
  t.world.servers->inject(
      {.kind = sandbox::FaultKind::drop_after, .path = "/xrpc/com.atproto.repo.createRecord"});
  static_cast<void>(t.client.pds(session->subject).create_record(kPosts, kPost).has_value());
  CHECK(t.told(R"("code":"connection_lost")"));
  t.world.expire();
  t.world.servers->inject(sandbox::refresh_fault(sandbox::FaultKind::drop_after));
  CHECK_FALSE(t.client.fresh(session->subject));
  t.world.servers->inject({.kind = sandbox::FaultKind::status, .path = "/oauth/revoke"});
  static_cast<void>(t.client.logout(session->subject).has_value());
}

TEST_CASE("C11.6: no secret of a device login is in its trace", "[trace]") {
  ProviderTrace t;
  const auto options = t.device_options();
  auto pending = DeviceFlow::create(options).value().begin().value();
  const std::string user_code = pending.codes().user_code;
  bool approved = false;
  const auto session = std::move(pending).poll({.on_progress = [&](const DeviceProgress&) {
    if (!approved) approved = t.world.servers->approve_device(user_code, "alice.test");
  }});
  REQUIRE(outcome(session) == "ok");
  CHECK(outcome(options.keeper->logout("alice")) == "ok");
  const std::string trace = t.overheard.trace();
  CHECK(count(trace, R"("purpose":"device_authorization")") >= 1);
  CHECK(count(trace, R"("grant":"device_code")") >= 1);
  CHECK(trace.find(user_code) == std::string::npos);
  CHECK(count(trace, R"("authorization":"basic")") >= 1);
}

TEST_CASE("C11.6: no secret of client credentials is in its trace", "[trace]") {
  ProviderTrace t;
  const ClientCredentialsRequest request{
      .token_endpoint = t.world.servers->issuer() + "/oauth/token", .issuer = {}, .scope = {}};
  const auto ask = [&](std::string_view secret) {
    const auto client = client_secret_basic("books app", SecretString(secret));
    return outcome(obtain_client_credentials_token(*t.transport, request, *client, *t.world.clock));
  };
  INFO(ask(kSecret));
  CHECK(count(t.overheard.trace(), R"("grant":"client_credentials")") == 1);
  CHECK(ask("wrong-Marked-12345-67890") == "invalid_client client_credentials.invalid_client");
  CHECK(count(t.overheard.trace(), R"("error":"invalid_client")") == 1);
}

TEST_CASE("C11.6: no secret of an app password's sessions is in its trace", "[trace]") {
  ProviderTrace t;
  const std::string password = t.world.servers->add_app_password("alice.test").value();
  const auto strategy = AppPasswordStrategy::create({.pds = t.world.servers->pds(),
                                                     .identifier = "alice.test",
                                                     .password = SecretString(password),
                                                     .transport = t.transport,
                                                     .clock = t.world.clock})
                            .value();
  REQUIRE(outcome(strategy->get_token()) == "ok");
  t.world.clock->advance(3h);
  REQUIRE(outcome(strategy->get_token()) == "ok");
  const std::string trace = t.overheard.trace();
  CHECK(count(trace, "/xrpc/com.atproto.server.createSession") == 1);
  CHECK(count(trace, "/xrpc/com.atproto.server.refreshSession") == 1);
  CHECK(trace.find(password) == std::string::npos);
}

TEST_CASE("the search for leaks finds a token that is in a text", "[trace]") {
  const auto clock = std::make_shared<ManualClock>(TimePoint{});
  Overheard overheard(clock);
  CHECK(overheard.secrets().empty());
  const auto transport = overheard.listen_to(curl());
  HttpRequest request{.method = "POST", .url = Url::parse("http://127.0.0.1:1/").value()};
  request.body = SecretString(std::string_view("token=rt-h7Kd02LmQx9vTz"));
  CHECK_FALSE(transport->send(request, {}));
  CHECK(overheard.leaked_in("x RT-H7KD02LMQX9VTZ y") == Strings{"rt-h7Kd02LmQx9vTz"});
  CHECK(overheard.leaked_in("x rt-h7Kd02LmQx9vT") == Strings{});
}
