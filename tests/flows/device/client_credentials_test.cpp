// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.flows.client_credentials;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oauth.token;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kNow{std::chrono::milliseconds{1'790'000'000'000}};
const ClientCredentialsRequest kRequest{
    .token_endpoint = "https://id.test/token", .issuer = "https://id.test", .scope = "jobs"};

struct Rig {
  Result<ClientCredentialsToken> obtain(std::stop_token stop = {}) {
    const auto client = client_secret_basic("worker", SecretString("secret"));
    return obtain_client_credentials_token(server, kRequest, *client, clock, std::move(stop));
  }
  ScriptedTransport server;
  ManualClock clock{kNow};
};

}  // namespace

TEST_CASE("client credentials: the request has the grant, the scope and the resources",
          "[client_credentials]") {
  auto wanted = kRequest;
  wanted.resources = {"https://api.test/a", "https://api.test/b"};
  const auto post = client_secret_post("worker", SecretString("s"));
  CHECK(build_client_credentials_request(wanted, *post)->body.expose() ==
        "grant_type=client_credentials&scope=jobs&resource=https%3A%2F%2Fapi.test%2Fa"
        "&resource=https%3A%2F%2Fapi.test%2Fb&client_id=worker&client_secret=s");
  wanted = kRequest;
  wanted.scope.clear();
  const auto basic = client_secret_basic("worker", SecretString("s"));
  const auto request = build_client_credentials_request(wanted, *basic).value();
  CHECK(request.body.expose() == "grant_type=client_credentials");
  CHECK(authorization_value(*request.authorization)->expose() == "Basic d29ya2VyOnM=");
}

TEST_CASE("client credentials: an assertion is for the issuer, with the client's newest key",
          "[client_credentials]") {
  AssertingClient client;
  CHECK(field(build_client_credentials_request(kRequest, client).value(), "client_assertion") ==
        "https://id.test|newest|1");
}

TEST_CASE("client credentials: a public client has none", "[client_credentials]") {
  CHECK(outcome(build_client_credentials_request(kRequest, *public_client("worker"))) ==
        "invalid_argument client_credentials.public_client");
  ScriptedTransport server;
  const ManualClock clock{kNow};
  CHECK(outcome(obtain_client_credentials_token(server, kRequest, *public_client("w"), clock)) ==
        "invalid_argument client_credentials.public_client");
  CHECK(server.count() == 0);
}

TEST_CASE("client credentials: nothing is sent without a secret, a key or an endpoint",
          "[client_credentials]") {
  KeylessClient keyless;
  CHECK(detail_of(build_client_credentials_request(kRequest, keyless)) == "client.key_gone");
  const auto empty = client_secret_post("worker", SecretString());
  CHECK(detail_of(build_client_credentials_request(kRequest, *empty)) == "client.no_secret");
  auto wanted = kRequest;
  wanted.token_endpoint = "http://id.test/token";
  const auto client = client_secret_post("worker", SecretString("s"));
  CHECK(detail_of(build_client_credentials_request(wanted, *client)) == "url.not_https");
  wanted.token_endpoint.clear();
  CHECK(detail_of(build_client_credentials_request(wanted, *client)) ==
        "client_credentials.no_endpoint");
}

TEST_CASE("client credentials: the expiry counts from before the request", "[client_credentials]") {
  Rig rig;
  rig.server.push([&](const HttpRequest&, const SendOptions&) {
    rig.clock.advance(20s);
    return json_answer(200, R"({"access_token":"at","token_type":"Bearer","expires_in":60})");
  });
  const auto token = rig.obtain();
  REQUIRE(outcome(token) == "ok");
  CHECK(token->answer.access_token.expose() == "at");
  CHECK(token->issued_at == kNow);
  CHECK(token->expires_at == kNow + 60s);
}

TEST_CASE("client credentials: an expiry that is not said is not made up", "[client_credentials]") {
  Rig rig;
  rig.server.push(json_answer(200, R"({"access_token":"at","token_type":"Bearer"})"));
  CHECK_FALSE(rig.obtain()->expires_at);
}

TEST_CASE("client credentials: a refresh token is dropped", "[client_credentials]") {
  Rig rig;
  rig.server.push(
      json_answer(200, R"({"access_token":"at","token_type":"Bearer","refresh_token":"rt"})"));
  CHECK_FALSE(rig.obtain()->answer.refresh_token);
}

TEST_CASE("client credentials: the server's refusals and broken answers are told apart",
          "[client_credentials]") {
  const auto refused = [](int status, std::string_view body) {
    Rig rig;
    rig.server.push(json_answer(status, body));
    return outcome(rig.obtain());
  };
  CHECK(refused(401, R"({"error":"invalid_client"})") ==
        "invalid_client client_credentials.invalid_client");
  CHECK(refused(400, R"({"error":"invalid_scope"})") ==
        "provider_error client_credentials.invalid_scope");
  CHECK(refused(503, "") == "provider_error client_credentials.server_error");
  CHECK(refused(200, "{}") == "invalid_response client_credentials.missing_member");
  // SA-19: a moment in time where a number of seconds should be.
  CHECK(refused(200, R"({"access_token":"at","token_type":"Bearer","expires_in":1790000000})") ==
        "invalid_response client_credentials.expires_in");
}

TEST_CASE("client credentials: a request can be cancelled, and has the limits of its kind",
          "[client_credentials]") {
  Rig rig;
  std::stop_source stop;
  rig.server.push([&](const HttpRequest&, const SendOptions& options) -> Result<HttpResponse> {
    CHECK(options.stop.stop_possible());
    CHECK(options.max_body == 64 * 1024);
    CHECK(options.connection == Connection::fresh);
    return make_error(ErrorCode::cancelled, "scripted.cancelled", "cancelled");
  });
  CHECK(outcome(rig.obtain(stop.get_token())) == "cancelled scripted.cancelled");
}
