// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

// Device logins over real HTTP, against a strict server that shares our clock.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kClient = "books app";

Members metadata_of(ClientAuthMethod method) {
  auto members = openid_metadata();
  if (method != ClientAuthMethod::client_secret_basic) {
    members["token_endpoint_auth_method"] = quoted(to_string(method));
  }
  if (method == ClientAuthMethod::client_secret_post) members["client_secret"] = quoted(kSecret);
  return members;
}

std::shared_ptr<ClientAuthenticator> client_of(ClientAuthMethod method) {
  const std::string id(kClient);
  switch (method) {
    case ClientAuthMethod::client_secret_basic:
      return client_secret_basic(id, SecretString(kSecret));
    case ClientAuthMethod::client_secret_post:
      return client_secret_post(id, SecretString(kSecret));
    default:
      return public_client(id);
  }
}

struct Wire {
  explicit Wire(ClientAuthMethod method = ClientAuthMethod::client_secret_basic,
                TokenBinding binding = TokenBinding::bearer)
      : world(metadata_of(method)),
        vault(memory_vault(world.clock)),
        store(MemoryOAuthTokenStore::create(vault->sealer(), world.clock)) {
    const auto random = std::make_shared<SystemRandom>();
    options.keeper = std::make_shared<SessionKeeper>(SessionContext{
        .store = store,
        .provers = std::make_shared<ProverCache>(vault, random),
        .transport = CurlTransport::open({.address_rule = AddressRule::any,
                                          .http_rule = HttpRule::allow_http_for_loopback})
                         .value(),
        .nonces = std::make_shared<NonceCache>(),
        .skew = std::make_shared<ClockSkew>(),
        .clock = world.clock,
        .random = random,
        .client = client_of(method),
        .client_id = std::string(kClient)});
    const std::string& issuer = world.servers->issuer();
    options.server.issuer = issuer;
    options.server.device_authorization_endpoint = issuer + "/oauth/device";
    options.server.token_endpoint = issuer + "/oauth/token";
    options.server.revocation_endpoint = issuer + "/oauth/revoke";
    options.scope = "openid";
    options.subject = "alice";
    options.binding = binding;
  }

  [[nodiscard]] PendingDeviceLogin begun() const {
    return DeviceFlow::create(options).value().begin().value();
  }
  // Polls, and lets `then` happen when that much time has passed.
  template <class Then>
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> poll(PendingDeviceLogin pending,
                                                                 Duration after, Then then) {
    const TimePoint when = world.clock->now() + after;
    bool done = false;
    return std::move(pending).poll({.on_progress = [&](const DeviceProgress&) {
      if (done || world.clock->now() < when) return;
      done = true;
      then();
    }});
  }
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> log_in(Duration after = 12s) {
    auto pending = begun();
    const std::string code = pending.codes().user_code;
    return poll(std::move(pending), after,
                [&] { CHECK(world.servers->approve_device(code, "alice.test")); });
  }
  [[nodiscard]] unsigned told(std::string_view detail) const {
    const auto requests = world.servers->requests();
    return static_cast<unsigned>(
        std::count_if(requests.begin(), requests.end(),
                      [&](const auto& request) { return request.detail == detail; }));
  }

  RegisteredWorld world;
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  DeviceFlowOptions options;
};

constexpr std::string_view kToken = "/oauth/token";

}  // namespace

TEST_CASE("device login over HTTP: public and confidential clients, Bearer and DPoP", "[device]") {
  for (const auto method : {ClientAuthMethod::none, ClientAuthMethod::client_secret_basic,
                            ClientAuthMethod::client_secret_post}) {
    for (const auto binding : {TokenBinding::bearer, TokenBinding::dpop}) {
      CAPTURE(to_string(method), binding == TokenBinding::dpop);
      Wire wire(method, binding);
      const auto session = wire.log_in();
      REQUIRE(outcome(session) == "ok");
      CHECK((*session)->client_auth_method == method);
      CHECK((*session)->token_type == (binding == TokenBinding::dpop ? "DPoP" : "Bearer"));
      CHECK(wire.told("device.pending") == 2);  // at 5 and 10 s
      CHECK(wire.told("device.too_early") == 0);
      // What was saved is a session like any other.
      wire.world.clock->advance(2h);
      const auto renewed = wire.options.keeper->fresh("alice");
      REQUIRE(outcome(renewed) == "ok");
      CHECK((*renewed)->access_token.expose() != (*session)->access_token.expose());
      CHECK(wire.options.keeper->logout("alice").value() == LogoutOutcome::revoked);
      CHECK(wire.world.servers->live_sessions("alice.test") == 0);
    }
  }
}

TEST_CASE("device login over HTTP: a wrong secret is refused at the beginning", "[device]") {
  for (const auto method :
       {ClientAuthMethod::client_secret_basic, ClientAuthMethod::client_secret_post}) {
    Wire wire(method);
    auto context = wire.options.keeper->context();
    const SecretString wrong("not the secret");
    context.client = method == ClientAuthMethod::client_secret_basic
                         ? client_secret_basic(std::string(kClient), wrong.clone())
                         : client_secret_post(std::string(kClient), wrong.clone());
    wire.options.keeper = std::make_shared<SessionKeeper>(context);
    const auto begun = DeviceFlow::create(wire.options).value().begin();
    CHECK(outcome(begun) == "invalid_client device.invalid_client");
    CHECK(wire.world.last_detail() == "device.client_secret");
    CHECK(begun.error().message.find("not the secret") == std::string::npos);
  }
}

TEST_CASE("device login over HTTP: the person says no", "[device]") {
  Wire wire(ClientAuthMethod::none, TokenBinding::dpop);
  auto pending = wire.begun();
  const std::string code = pending.codes().user_code;
  const auto session =
      wire.poll(std::move(pending), 7s, [&] { CHECK(wire.world.servers->deny_device(code)); });
  CHECK(outcome(session) == "access_denied device.access_denied");
  CHECK(wire.vault->list()->empty());
}

TEST_CASE("device login over HTTP: nobody comes", "[device]") {
  Wire wire;
  auto pending = wire.begun();
  CHECK(outcome(std::move(pending).poll()) == "timeout device.expired_token");
  CHECK(wire.told("device.pending") == 119);
  CHECK(wire.told("device.too_early") + wire.told("device.expired") == 0);
}

TEST_CASE("device login over HTTP: connections break and the server has trouble", "[device]") {
  using sandbox::FaultKind;
  Wire wire(ClientAuthMethod::client_secret_basic, TokenBinding::dpop);
  wire.world.servers->inject(
      {.kind = FaultKind::drop_before, .path = std::string(kToken), .times = 2});
  wire.world.servers->inject(
      {.kind = FaultKind::status, .path = std::string(kToken), .status = 503, .retry_after = 100s});
  wire.world.servers->inject({.kind = FaultKind::drop_after, .path = std::string(kToken)});
  CHECK(outcome(wire.log_in(300s)) == "ok");
  CHECK(wire.world.servers->faults_left() == 0);
  CHECK(wire.told("device.too_early") == 0);
}

TEST_CASE("device login over HTTP: tokens that got lost on the way are not waited for",
          "[device]") {
  Wire wire;
  wire.world.servers->inject({.kind = sandbox::FaultKind::drop_after,
                              .path = std::string(kToken),
                              .skip = 2});  // the third poll is the one that is granted
  CHECK(outcome(wire.log_in()) == "invalid_grant device.answer_lost");
}

TEST_CASE("device login over HTTP: who goes on after a restart does not ask too early",
          "[device]") {
  Wire wire(ClientAuthMethod::none, TokenBinding::dpop);
  const auto flow = DeviceFlow::create(wire.options).value();
  auto pending = flow.begin().value();
  const auto codes = pending.codes();
  std::stop_source stop;
  const auto stopped =
      std::move(pending).poll({.stop = stop.get_token(), .on_progress = [&](const DeviceProgress&) {
                                 if (wire.told("device.pending") == 1) stop.request_stop();
                               }});
  CHECK(outcome(stopped) == "cancelled device.cancelled");
  auto resumed = flow.resume(codes.id).value();
  const auto session = wire.poll(std::move(resumed), 1s, [&] {
    CHECK(wire.world.servers->approve_device(codes.user_code, "alice.test"));
  });
  CHECK(outcome(session) == "ok");
  CHECK(wire.told("device.too_early") == 0);
}
