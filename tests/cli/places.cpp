// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.tool_places;
import latchkey.core;
import latchkey.oauth.client_metadata;
import latchkey.refresh.context;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.raw_server;
import latchkey.test.tool;

namespace latchkey::test {
namespace {

std::string path_of(std::string_view request) {
  const auto begin = request.find(' ') + 1;
  return std::string(request.substr(begin, request.find_first_of(" ?", begin) - begin));
}

}  // namespace

std::string json_http(int status, std::string_view body, std::string_view headers) {
  return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Type: application/json\r\n" +
         std::string(headers) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

std::string token_answer(std::string_view access, std::string_view refresh) {
  return json_http(200, R"({"access_token":")" + std::string(access) + R"(","refresh_token":")" +
                            std::string(refresh) +
                            R"(","token_type":"DPoP","expires_in":3600,"scope":"atproto )" +
                            R"(transition:generic","sub":")" + std::string(kAlice) + R"("})");
}

std::string body_of_request(std::string_view request) {
  const auto end = request.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(request.substr(end + 4));
}

Services::Services() {
  server_ = std::make_unique<RawServer>([this](Peer& peer) {
    for (std::string request = peer.read_request(); !request.empty();
         request = peer.read_request()) {
      if (!peer.write(answer(request))) return;
    }
  });
  const std::string here = origin();
  const auto serve = [this](const std::string& path, const std::string& body) {
    on(path, [body](const std::string&) { return json_http(200, body); });
  };
  serve("/" + std::string(kAlice),
        R"({"id":")" + std::string(kAlice) + R"(","alsoKnownAs":["at://alice.test"],"service":[)" +
            R"({"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":")" +
            here + R"("}]})");
  serve("/.well-known/oauth-protected-resource",
        R"({"resource":")" + here + R"(","authorization_servers":[")" + here + R"("]})");
  serve("/.well-known/oauth-authorization-server",
        R"({"issuer":")" + here + R"(","authorization_endpoint":")" + here +
            R"(/authorize","token_endpoint":")" + here + R"(/token","revocation_endpoint":")" +
            here + R"(/revoke","pushed_authorization_request_endpoint":")" + here +
            R"(/par","response_types_supported":["code"],"scopes_supported":["atproto"],)" +
            R"("grant_types_supported":["authorization_code","refresh_token"],)" +
            R"("code_challenge_methods_supported":["S256"],)" +
            R"("require_pushed_authorization_requests":true,)" +
            R"("token_endpoint_auth_methods_supported":["none","private_key_jwt"],)" +
            R"("token_endpoint_auth_signing_alg_values_supported":["ES256"],)" +
            R"("dpop_signing_alg_values_supported":["ES256"],)" +
            R"("authorization_response_iss_parameter_supported":true,)" +
            R"("client_id_metadata_document_supported":true})");
  serve("/par", R"({"request_uri":"urn:ietf:params:oauth:request_uri:1","expires_in":299})");
  serve("/revoke", "{}");
  on("/token", [](const std::string&) { return token_answer(kAccessToken, kRefreshToken); });
}

void Services::on(const std::string& path, Handler handler) {
  const std::scoped_lock lock(mutex_);
  handlers_[path] = std::move(handler);
}

std::vector<std::string> Services::requests_to(std::string_view path) const {
  std::vector<std::string> out;
  for (std::string& request : server_->requests()) {
    if (path_of(request) == path) out.push_back(std::move(request));
  }
  return out;
}

std::string Services::answer(const std::string& request) {
  Handler handler;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = handlers_.find(path_of(request));
    if (found != handlers_.end()) handler = found->second;
  }
  return handler ? handler(request) : json_http(404, R"({"error":"NotFound"})");
}

std::shared_ptr<KeyVault> Home::vault() const {
  return FileKeyVault::open(data_dir() / "data" / "vault",
                            MasterKey::key_file(data_dir() / "config" / "vault.key"))
      .value();
}

std::shared_ptr<OAuthTokenStore> Home::store() const {
  return SqliteOAuthTokenStore::open(data_dir() / "data" / "sessions.db", vault()->sealer())
      .value();
}

OAuthSession Home::session(std::string_view subject, std::string_view origin) const {
  const auto random = std::make_shared<SystemRandom>();
  const std::string here(origin);
  OAuthSession session;
  session.subject = subject;
  session.issuer = session.resource_server = here;
  session.token_endpoint = here + "/token";
  session.revocation_endpoint = here + "/revoke";
  session.client_id = loopback_client_identity("atproto transition:generic").value().client_id;
  session.redirect_uri = "http://127.0.0.1/callback";
  session.scope = "atproto transition:generic";
  session.token_type = "DPoP";
  session.dpop_jkt = ProverCache(vault(), random).create().value()->jkt();
  session.handle = subject == kAlice ? "alice.test" : "bob.test";
  session.issued_at = session.session_started_at =
      std::chrono::floor<std::chrono::seconds>(SystemClock().now());
  session.expires_at = session.issued_at + std::chrono::hours{1};
  session.login_id = draw_id(*random);
  session.revision = draw_revision(*random);
  session.access_token = SecretString(kAccessToken);
  session.refresh_token = SecretString(kRefreshToken);
  return session;
}

void Home::plant(std::string_view subject, std::string_view origin,
                 const std::function<void(OAuthSession&)>& change) const {
  OAuthSession session = this->session(subject, origin);
  if (change) change(session);
  store()->save(session, Revision{}).value();
}

ToolStart Home::start(std::vector<std::string> arguments) const {
  std::vector<std::string> words{LATCHKEY_TOOL, "--data-dir", data_dir().native()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return {.words = std::move(words),
          .environment = {{"HOME", path().native()}, {"PATH", "/usr/bin:/bin"}}};
}

ToolStart Home::start(std::vector<std::string> arguments, const Services& services) const {
  ToolStart out = start(std::move(arguments));
  out.environment["LATCHKEY_PLC_URL"] = services.origin();
  out.environment["LATCHKEY_RESOLVE_HANDLES_AT"] = services.origin();
  out.environment["LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK"] = "1";
  return out;
}

ToolRun run(ToolStart start) {
  return Tool(std::move(start)).finish();
}

}  // namespace latchkey::test
