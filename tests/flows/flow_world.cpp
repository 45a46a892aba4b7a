// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.flow_world;
import latchkey.core;
import latchkey.flows.client_options;
import latchkey.flows.environment;
import latchkey.flows.interaction;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.oauth.server_metadata;
import latchkey.oidc.id_token;
import latchkey.store;
import latchkey.test.oauth;
import latchkey.test.raw_client;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

namespace latchkey::test {

std::string answer_json(const std::map<std::string, std::string>& changes) {
  std::map<std::string, std::string> members{{"access_token", R"("at-fresh")"},
                                             {"refresh_token", R"("rt-fresh")"},
                                             {"token_type", R"("Bearer")"},
                                             {"expires_in", "3600"},
                                             {"scope", R"("read write")"}};
  for (const auto& [name, value] : changes) members[name] = value;
  std::string out;
  for (const auto& [name, value] : members) {
    if (!value.empty()) out += (out.empty() ? "\"" : ",\"") + name + "\":" + value;
  }
  return "{" + out + "}";
}

Result<IdTokenClaims> ToldValidator::validate(const SecretString& id_token,
                                              const IdTokenExpectations& expectations,
                                              std::stop_token) {
  ++asked;
  token = id_token.expose();
  issuer = expectations.issuer;
  client_id = expectations.client_id;
  nonce = expectations.nonce;
  expected_subject = expectations.subject;
  access_token = expectations.access_token ? expectations.access_token->expose() : "(none)";
  max_age = expectations.max_age;
  if (refusal) return *refusal;
  IdTokenClaims claims;
  claims.issuer = expectations.issuer;
  claims.subject = subject;
  claims.preferred_username = "alice";
  return claims;
}

Result<void> ToldBrowser::open(const Url& url) {
  ++opened;
  return on_open(url);
}

FlowWorld::FlowWorld() {
  server.issuer = kProvider;
  server.authorization_endpoint = "https://op.test/authorize?tenant=1";
  server.token_endpoint = "https://op.test/token";
  server.revocation_endpoint = "https://op.test/revoke";
  on_par = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(201, R"({"request_uri":"urn:req:1","expires_in":60})");
  };
  answer_with({});
  transport =
      std::make_shared<ScriptedTransport>([this](const HttpRequest& request, const SendOptions&) {
        if (request.url.path() == "/par") return on_par(request);
        if (request.url.path() == "/token") return on_token(request);
        if (request.url.path() == "/revoke") return Result<HttpResponse>(answer(200));
        return Result<HttpResponse>(json_answer(200, "{}"));
      });
}

void FlowWorld::offer_par() {
  server.pushed_authorization_request_endpoint = "https://op.test/par";
}

void FlowWorld::offer_dpop() {
  server.dpop_signing_alg_values_supported = {"RS256", "ES256"};
}

void FlowWorld::answer_with(const std::map<std::string, std::string>& changes, int status) {
  on_token = [body = answer_json(changes), status](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(status, body);
  };
}

FlowEnvironment FlowWorld::environment() const {
  return {.transport = transport, .browser = browser, .clock = world.clock, .random = world.random};
}

OAuthClientOptions FlowWorld::options() const {
  return {.server = server,
          .client_id = "my-client",
          .scope = "read write",
          .store = world.store,
          .vault = world.vault,
          .transport = transport,
          .browser = browser,
          .clock = world.clock,
          .random = world.random};
}

LoginInteraction FlowWorld::person() {
  return person_with("state=STATE&code=the-code");
}

LoginInteraction FlowWorld::person_with(std::string query) {
  LoginInteraction interaction{.open_browser = false};
  interaction.on_url = [this](const Url& url) { page = url; };
  interaction.paste = [this, query = std::move(query)]() -> Result<std::string> {
    std::string landing = asked("redirect_uri") + "?" + query;
    if (const auto at = landing.find("STATE"); at != std::string::npos) {
      landing.replace(at, 5, asked("state"));
    }
    return landing;
  };
  return interaction;
}

FormFields FlowWorld::parameters() const {
  FormFields fields = form_decode(page.query()).value();
  if (form_value(fields, "request_uri").value() == nullptr) return fields;
  return form_of(requests_to("/par").back());
}

std::string FlowWorld::asked(std::string_view name) const {
  const FormFields fields = parameters();
  const std::string* value = form_value(fields, name).value();
  if (value == nullptr) throw std::runtime_error("not asked for: " + std::string(name));
  return *value;
}

bool FlowWorld::asked_for(std::string_view name) const {
  return form_value(parameters(), name).value() != nullptr;
}

std::vector<HttpRequest> FlowWorld::requests_to(std::string_view path) const {
  std::vector<HttpRequest> out;
  for (const HttpRequest& request : transport->requests()) {
    if (request.url.path() == path) out.push_back(request.clone());
  }
  return out;
}

std::vector<std::string> FlowWorld::revoked() const {
  std::vector<std::string> tokens;
  for (const HttpRequest& request : requests_to("/revoke"))
    tokens.push_back(field(request, "token"));
  return tokens;
}

std::string FlowWorld::visit(const std::string& query) const {
  const Url landing = Url::parse(asked("redirect_uri")).value();
  return RawClient(landing.port())
      .send("GET " + landing.path() + "?" + query + " HTTP/1.1\r\nHost: " + landing.authority() +
            "\r\n\r\n")
      .read_all();
}

}  // namespace latchkey::test
