// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.login_world;
import latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.atproto.login;
import latchkey.core;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_metadata;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.oauth;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A World whose authorization server takes pushed requests and gives tokens, and the documents by
// which an account names it. Every secret that it hands out is marked.

export namespace latchkey::test {

inline constexpr std::string_view kIssuer = "https://as.test";
inline constexpr std::string_view kRedirect = "http://127.0.0.1:4321/callback";
// As long as the real ones: short words are not recognised in what a server says.
inline constexpr std::string_view kCode = "cod-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";
inline constexpr std::string_view kAccess = "acc-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";
inline constexpr std::string_view kRefresh = "ref-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";

/// A token answer with members replaced ("" leaves one out; other values are JSON).
[[nodiscard]] std::string token_json(std::map<std::string, std::string> changes = {}) {
  std::map<std::string, std::string> members{{"access_token", "\"" + std::string(kAccess) + "\""},
                                             {"refresh_token", "\"" + std::string(kRefresh) + "\""},
                                             {"token_type", "\"DPoP\""},
                                             {"expires_in", "3600"},
                                             {"scope", "\"atproto transition:generic\""},
                                             {"sub", "\"" + std::string(kSubject) + "\""}};
  for (auto& [name, value] : changes) members[name] = std::move(value);
  std::string out;
  for (const auto& [name, value] : members) {
    if (!value.empty()) out += (out.empty() ? "\"" : ",\"") + name + "\":" + value;
  }
  return "{" + out + "}";
}

class LoginWorld {
 public:
  using Answer = std::function<Result<HttpResponse>(const HttpRequest&)>;

  World world;
  ClientIdentity client = loopback_client_identity("atproto transition:generic").value();
  Answer on_par = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(
        201, R"({"request_uri":"urn:ietf:params:oauth:request_uri:req-1","expires_in":299})");
  };
  Answer on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json());
  };
  /// What strangers serve: 404 unless it is here.
  std::map<std::string, std::string> documents{
      {"https://plc.directory/" + std::string(kSubject), did_document("https://pds.test")},
      {"https://pds.test/.well-known/oauth-protected-resource",
       R"({"resource":"https://pds.test","authorization_servers":["https://as.test"]})"},
      {"https://alice.test/.well-known/atproto-did", std::string(kSubject)},
      {"https://as.test/.well-known/oauth-authorization-server",
       R"({"issuer":"https://as.test","authorization_endpoint":"https://as.test/authorize",)"
       R"("token_endpoint":"https://as.test/token","revocation_endpoint":"https://as.test/revoke",)"
       R"("pushed_authorization_request_endpoint":"https://as.test/par",)"
       R"("response_types_supported":["code"],"scopes_supported":["atproto"],)"
       R"("grant_types_supported":["authorization_code","refresh_token"],)"
       R"("code_challenge_methods_supported":["S256"],"require_pushed_authorization_requests":true,)"
       R"("token_endpoint_auth_methods_supported":["none","private_key_jwt"],)"
       R"("token_endpoint_auth_signing_alg_values_supported":["ES256"],)"
       R"("dpop_signing_alg_values_supported":["ES256"],)"
       R"("authorization_response_iss_parameter_supported":true,)"
       R"("client_id_metadata_document_supported":true})"}};
  std::shared_ptr<ScriptedTransport> server;
  std::shared_ptr<ScriptedTransport> strangers;
  std::shared_ptr<AtprotoLogin> login;

  explicit LoginWorld(std::shared_ptr<OAuthTokenStore> store = nullptr,
                      std::shared_ptr<KeyVault> vault = nullptr)
      : world(std::move(store), std::move(vault)) {
    server =
        std::make_shared<ScriptedTransport>([this](const HttpRequest& request, const SendOptions&) {
          if (request.url.path() == "/par") return on_par(request);
          if (request.url.path() == "/token") return on_token(request);
          return world.server.answer(request);
        });
    strangers =
        std::make_shared<ScriptedTransport>([this](const HttpRequest& request, const SendOptions&) {
          const auto page = documents.find(request.url.text());
          return page == documents.end() ? Result<HttpResponse>(answer(404))
                                         : json_answer(200, page->second);
        });
    world.context.transport = server;
    world.context.client_id = client.client_id;
    world.context.client = public_client(client.client_id);
    restart();
  }
  LoginWorld(const LoginWorld&) = delete;
  LoginWorld& operator=(const LoginWorld&) = delete;
  ~LoginWorld() = default;

  /// As if by another process over the same store and vault.
  void restart() {
    world.context.provers = std::make_shared<ProverCache>(world.vault, world.random);
    login = std::make_shared<AtprotoLogin>(
        world.keeper(),
        std::make_shared<AtprotoDiscovery>(
            strangers, std::make_shared<IdentityResolver>(strangers, IdentityOptions{}),
            HttpRule::https_only),
        client);
  }

  [[nodiscard]] static std::string did_document(std::string_view pds) {
    return R"({"id":")" + std::string(kSubject) +
           R"(","alsoKnownAs":["at://alice.test"],"service":[{"id":"#atproto_pds",)" +
           R"("type":"AtprotoPersonalDataServer","serviceEndpoint":")" + std::string(pds) +
           R"("}]})";
  }

  /// What discovery gives for alice.test.
  [[nodiscard]] static LoginTarget account() {
    LoginTarget target = server_start();
    target.identity = {
        .did = std::string(kSubject), .handle = "alice.test", .pds = "https://pds.test"};
    target.pds = "https://pds.test";
    target.login_hint = "alice.test";
    return target;
  }
  /// What it gives for https://as.test.
  [[nodiscard]] static LoginTarget server_start() {
    LoginTarget target;
    target.server.issuer = kIssuer;
    target.server.authorization_endpoint = "https://as.test/authorize";
    target.server.token_endpoint = "https://as.test/token";
    target.server.pushed_authorization_request_endpoint = "https://as.test/par";
    target.server.revocation_endpoint = "https://as.test/revoke";
    return target;
  }

  [[nodiscard]] Result<BegunLogin> begin(const LoginTarget& target = account()) const {
    return login->begin(target,
                        {.redirect_uri = std::string(kRedirect), .scope = {}, .app_state = {}});
  }
  /// The state of a login that was begun.
  [[nodiscard]] std::string begun(const LoginTarget& target = account()) const {
    return begin(target).value().state;
  }
  /// The query that ends it well.
  [[nodiscard]] static std::string callback(std::string_view state) {
    return "state=" + std::string(state) + "&iss=https%3A%2F%2Fas.test&code=" + std::string(kCode);
  }

  [[nodiscard]] std::vector<HttpRequest> requests_to(std::string_view path) const {
    std::vector<HttpRequest> out;
    for (const HttpRequest& request : server->requests()) {
      if (request.url.path() == path) out.push_back(request.clone());
    }
    return out;
  }
  [[nodiscard]] std::size_t keys() const { return world.vault->list().value().size(); }
};

/// Everything in an error that somebody may show or log.
[[nodiscard]] std::string shown(const Error& error) {
  std::string text = error.detail + "\n" + error.message;
  if (error.oauth)
    text += "\n" + error.oauth->error + "\n" + error.oauth->error_description + "\n" +
            error.oauth->error_uri;
  return text;
}

/// No marked secret, and nothing of the verifiers and states of this world's logins.
[[nodiscard]] bool keeps_secrets(const LoginWorld& w, const Error& error) {
  std::vector<std::string> secrets{std::string(kCode), std::string(kAccess), std::string(kRefresh),
                                   "Marked"};
  for (const auto& request : w.requests_to("/token"))
    secrets.push_back(field(request, "code_verifier"));
  for (const auto& request : w.requests_to("/par")) secrets.push_back(field(request, "state"));
  const std::string text = shown(error);
  for (const std::string& secret : secrets) {
    if (text.find(secret) != std::string::npos) return false;
  }
  return true;
}

}  // namespace latchkey::test
