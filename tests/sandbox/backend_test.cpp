// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.dpop;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.flows.code_login;
import latchkey.flows.grant;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.pkce;
import latchkey.oauth.revocation;
import latchkey.oauth.token;
import latchkey.sandbox;
import latchkey.session;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

/// private_key_jwt as a web backend would plug it in, its assertions made by OpenSSL.
class KeyedClient final : public ClientAuthenticator {
 public:
  KeyedClient(const RegisteredWorld& world, const ProofKey& key) : world_(world), key_(key) {}
  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::private_key_jwt; }
  std::string kid() const override { return "one"; }
  Result<void> apply(ClientRequest& request, std::string_view issuer,
                     std::string_view kid) override {
    Form assertion;
    add_assertion(assertion, key_.sign(assertion_header(kid),
                                       assertion_claims(kWebClient, issuer, world_.now())));
    request.form.add("client_id", kWebClient);
    for (const auto& [name, value] : assertion) request.form.add(name, value);
    return {};
  }

 private:
  const RegisteredWorld& world_;
  const ProofKey& key_;
};

/// The library's own steps of a login, as a confidential client.
struct Backend {
  explicit Backend(const ProofKey& key) : client(world, key) { start(); }
  Backend() : client(world, world.key) { start(); }

  void start() {
    const auto random = std::make_shared<SystemRandom>();
    auto prover = P256DpopProver::generate(random).value();
    pending.dpop_jkt = prover->jkt();
    transport = std::make_unique<DpopTransport>(
        DpopContext{.inner = CurlTransport::open({.address_rule = AddressRule::any,
                                                  .http_rule = HttpRule::allow_http_for_loopback})
                                 .value(),
                    .prover = prover,
                    .nonces = std::make_shared<NonceCache>(),
                    .clock = world.clock,
                    .skew = std::make_shared<ClockSkew>()});
    auto pkce = make_pkce(*random);
    challenge = pkce.code_challenge;
    const std::string& issuer = world.servers->issuer();
    pending.state = random_token(*random, 32);
    pending.code_verifier = std::move(pkce.code_verifier);
    pending.issuer = issuer;
    pending.token_endpoint = issuer + "/oauth/token";
    pending.revocation_endpoint = issuer + "/oauth/revoke";
    pending.par_endpoint = issuer + "/oauth/par";
    pending.client_id = kWebClient;
    pending.client_auth_method = client.method();
    pending.client_auth_kid = client.kid();
    pending.redirect_uri = kWebRedirect;
    pending.scope = "atproto transition:generic";
    pending.expected_subject = world.alice.did;
  }

  // As a browser that a web backend has sent away: the query with which it comes back.
  [[nodiscard]] std::string visit(const std::string& request_uri) const {
    const auto url =
        authorization_url(world.servers->issuer() + "/oauth/authorize", kWebClient, request_uri)
            .value();
    const auto location = exchange(world.servers->issuer(), "GET", url.target()).header("Location");
    return location.substr(location.find('?') + 1);
  }

  Result<ParAnswer> push() {
    auto request = build_par_request(pending, challenge, "alice.test", client);
    if (!request) return std::move(request).error();
    auto response = transport->send(*request, {});
    if (!response) return std::move(response).error();
    return process_par_response(*response, world.clock->now());
  }

  Result<TokenAnswer> send(Result<HttpRequest> request, std::string_view step) {
    if (!request) return std::move(request).error();
    auto response = transport->send(*request, {});
    if (!response) return std::move(response).error();
    return process_token_response(step, *response, world.clock->now());
  }

  RegisteredWorld world;
  KeyedClient client;
  PendingLogin pending;
  std::string challenge;
  std::unique_ptr<HttpTransport> transport;
};

}  // namespace

TEST_CASE("our own steps log in, refresh and revoke as a confidential client", "[sandbox]") {
  Backend backend;
  const auto pushed = backend.push();
  REQUIRE(outcome(pushed) == "ok");
  auto callback = process_callback(backend.visit(pushed->request_uri), backend.pending);
  REQUIRE(outcome(callback) == "ok");
  auto answer =
      backend.send(build_code_exchange(backend.pending, callback->code, backend.client), "token");
  REQUIRE(outcome(answer) == "ok");
  CHECK(outcome(check_atproto_token(*answer, backend.world.alice.did)) == "ok");
  const auto session = new_session(*answer, terms_of(backend.pending), backend.world.clock->now());
  auto refreshed = backend.send(build_refresh_request(session, backend.client), "refresh");
  REQUIRE(outcome(refreshed) == "ok");
  const auto later =
      session_from_refresh(session, *std::move(refreshed), backend.world.clock->now());
  const auto revocation = build_revocation_request(later, *later.refresh_token,
                                                   TokenKind::refresh_token, backend.client);
  REQUIRE(outcome(revocation) == "ok");
  CHECK(backend.transport->send(*revocation, {})->status == 200);
  CHECK(backend.world.servers->counts().revoked == 1);
}

TEST_CASE("our own steps hear invalid_client when the key is not the client's", "[sandbox]") {
  const ProofKey stranger;
  Backend backend(stranger);
  CHECK(outcome(backend.push()) == "invalid_client par.invalid_client");
  CHECK(backend.world.last_detail() == "par.assertion_signature");
}
