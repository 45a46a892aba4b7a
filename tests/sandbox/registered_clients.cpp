// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.registered_clients;
import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.wire_client;

namespace latchkey::test {
namespace {

// Longer than the tests let pass.
constexpr std::chrono::hours kNonces{100};
const std::string kGrants =
    R"(["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"])";

}  // namespace

std::string with_kid(const std::string& jwk, std::string_view kid) {
  return "{\"kid\":" + quoted(kid) + ',' + jwk.substr(1);
}

Members confidential_metadata(const ProofKey& key, std::string_view kid) {
  return {{"client_id", quoted(kWebClient)},
          {"application_type", quoted("web")},
          {"grant_types", kGrants},
          {"response_types", R"(["code"])"},
          {"redirect_uris", '[' + quoted(kWebRedirect) + ']'},
          {"scope", quoted("atproto transition:generic")},
          {"dpop_bound_access_tokens", "true"},
          {"token_endpoint_auth_method", quoted("private_key_jwt")},
          {"token_endpoint_auth_signing_alg", quoted("ES256")},
          {"jwks", R"({"keys":[)" + with_kid(key.jwk(), kid) + "]}"}};
}

Members openid_metadata() {
  return {{"client_id", quoted("books app")},
          {"grant_types", kGrants},
          {"redirect_uris", R"(["http://127.0.0.1:9/callback"])"}};
}

Members assertion_header(std::string_view kid) {
  return {{"alg", quoted("ES256")}, {"typ", quoted("JWT")}, {"kid", quoted(kid)}};
}

Members assertion_claims(std::string_view client_id, std::string_view issuer, std::int64_t now) {
  return {{"iss", quoted(client_id)},   {"sub", quoted(client_id)},
          {"aud", quoted(issuer)},      {"jti", proof_claims("", "", now).at("jti")},
          {"iat", std::to_string(now)}, {"exp", std::to_string(now + 60)}};
}

void add_assertion(Form& form, const std::string& jws) {
  form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
  form["client_assertion"] = jws;
}

WireHeaders basic(std::string_view client_id, std::string_view secret) {
  const std::string pair = form_encode({{std::string(client_id), std::string(secret)}});
  const auto middle = pair.find('=');
  const std::string text = pair.substr(0, middle) + ':' + pair.substr(middle + 1);
  return {{"Authorization", "Basic " + base64_encode(as_bytes(text))}};
}

RegisteredWorld::RegisteredWorld(Members openid, std::filesystem::path data)
    : clock(std::make_shared<ManualClock>(SystemClock().now())),
      openid_(std::move(openid)),
      data_(std::move(data)) {
  start();
  alice = servers->add_account("alice.test", "secret", true).value();
}

void RegisteredWorld::restart() {
  servers.reset();
  start();
}

void RegisteredWorld::start() {
  servers =
      sandbox::Sandbox::start({.nonce_rotation = kNonces, .clock = clock, .data = data_}).value();
  servers->add_client({.metadata = to_json(confidential_metadata(key))}).value();
  const bool has_secret = !openid_.contains("token_endpoint_auth_method");
  servers
      ->add_client({.metadata = to_json(openid_),
                    .client_secret = has_secret ? std::optional<std::string>(kSecret)
                                                : std::optional<std::string>()})
      .value();
}

std::int64_t RegisteredWorld::now() const {
  return std::chrono::floor<std::chrono::seconds>(clock->now()).time_since_epoch().count();
}

std::unique_ptr<WireClient> RegisteredWorld::backend() {
  auto client = std::make_unique<WireClient>(*servers);
  client->client_id = kWebClient;
  client->redirect_uri = kWebRedirect;
  client->authenticate = [this](Form& form) {
    add_assertion(
        form, key.sign(assertion_header(), assertion_claims(kWebClient, servers->issuer(), now())));
  };
  return client;
}

std::unique_ptr<WireClient> RegisteredWorld::openid(std::string scope) {
  auto client = std::make_unique<WireClient>(*servers, std::move(scope));
  client->client_id = "books app";
  client->bearer = true;
  client->extra_headers = basic(client->client_id);
  return client;
}

std::string RegisteredWorld::register_client(const Members& metadata,
                                             std::string_view secret) const {
  const auto added =
      servers->add_client({.metadata = to_json(metadata),
                           .client_secret = secret.empty() ? std::optional<std::string>()
                                                           : std::optional<std::string>(secret)});
  return added ? std::string() : added.error().detail;
}

}  // namespace latchkey::test
