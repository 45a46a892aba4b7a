// SPDX-License-Identifier: MIT
// A client of an OpenID provider, for tests/interop/oidc: it shows what the tool cannot, such as
// one process over a change of keys, and tokens in the hand. Sessions and keys are in memory. It
// reads lines of JSON, first who it is:
//
//   {"issuer", "client_id", "scope"} and, for a client with a secret, {"secret", "secret_in"}:
//   "header" or "form"
//
// and then what to do, {"do": "login", "device", "authorize", "refresh" or "logout"}. Each line is
// answered with {"ok": {...}} or {"error": {"code", "detail", "message"}}; {"open": URL} comes
// before, for a person.
#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>

import latchkey;

namespace {

using latchkey::Result;
using Json = nlohmann::json;

void tell(const Json& line) {
  std::cout << line.dump() << std::endl;
}

Json told(const latchkey::Error& error) {
  return {{"error",
           {{"code", latchkey::to_string(error.code)},
            {"detail", error.detail},
            {"message", error.message}}}};
}

Json told(const latchkey::SessionSummary& session) {
  return {{"ok",
           {{"subject", session.subject},
            {"scope", session.scope},
            {"token_type", session.token_type},
            {"is_bound", !session.dpop_jkt.empty()}}}};
}

void show(const latchkey::Url& url) {
  tell({{"open", url.text()}});
}

// For a test's own server, so whatever goes wrong before the first login is an exception.
class OpenIdClient {
 public:
  explicit OpenIdClient(const Json& who)
      : transport_(latchkey::CpprestTransport::open({.http_rule = kHttp}).value()),
        provider_(latchkey::discover_openid(*transport_, text(who, "issuer"), {.http_rule = kHttp})
                      .value()),
        validator_(latchkey::JwksIdTokenValidator::create(
                       {.transport = transport_,
                        .clock = std::make_shared<latchkey::SystemClock>(),
                        .jwks_uri = provider_.server.jwks_uri,
                        .algorithms = provider_.id_token_signing_alg_values_supported,
                        .http_rule = kHttp})
                       .value()),
        vault_(latchkey::memory_vault()),
        client_(latchkey::OAuthClient::create(
                    {.server = provider_.server,
                     .client_id = text(who, "client_id"),
                     .client = authenticator(who),
                     .scope = text(who, "scope"),
                     .validator = validator_,
                     .store = latchkey::MemoryOAuthTokenStore::create(vault_->sealer()),
                     .vault = vault_,
                     .http_rule = kHttp,
                     .transport = transport_})
                    .value()) {}

  Json run(const std::string& what) {
    if (what == "login") return login();
    if (what == "device") return device();
    if (what == "authorize") return authorize();
    if (what == "refresh") return refresh();
    if (what == "logout") return logout();
    throw std::invalid_argument("nobody knows how to " + what);
  }

 private:
  static constexpr auto kHttp = latchkey::HttpRule::allow_http_for_loopback;

  static std::string text(const Json& who, const char* name) {
    return who.value(name, std::string());
  }

  static std::shared_ptr<latchkey::ClientAuthenticator> authenticator(const Json& who) {
    const std::string secret = text(who, "secret");
    if (secret.empty()) return nullptr;
    const auto make = text(who, "secret_in") == "header" ? latchkey::client_secret_basic
                                                         : latchkey::client_secret_post;
    return make(text(who, "client_id"), latchkey::SecretString(secret));
  }

  Json login() {
    const auto session = client_.login({}, {.open_browser = false, .on_url = show});
    if (!session) return told(session.error());
    subject_ = session->subject;
    return told(*session);
  }

  Json device() {
    const auto flow = latchkey::DeviceFlow::create({.keeper = client_.shared_keeper(),
                                                    .server = provider_.server,
                                                    .scope = "openid",
                                                    .validator = validator_})
                          .value();
    auto pending = flow.begin();
    if (!pending) return told(pending.error());
    tell({{"open", pending->codes().verification_uri_complete},
          {"code", pending->codes().user_code}});
    const auto session = std::move(*pending).poll();
    if (!session) return told(session.error());
    subject_ = (*session)->subject;
    return told(**session);
  }

  // Not kept: the id token's claims are what this is about.
  Json authorize() {
    const auto flow = latchkey::AuthorizationCodeFlow::builder()
                          .client_id(client_.options().client_id)
                          .discovered(provider_)
                          .validate_id_token_with(validator_)
                          .interaction({.open_browser = false, .on_url = show})
                          .build();
    const auto tokens =
        flow.authorize({.http_rule = kHttp, .vault = vault_, .transport = transport_});
    if (!tokens) return told(tokens.error());
    return {{"ok", {{"sub", tokens->claims().subject}, {"iss", tokens->claims().issuer}}}};
  }

  Json refresh() {
    constexpr std::chrono::hours kAlways{24 * 366};
    const auto result = latchkey::refresh_if_needed(client_.keeper(), subject_, kAlways);
    return result ? told(*result->session) : told(result.error());
  }

  Json logout() {
    const auto outcome = client_.logout(subject_);
    if (!outcome) return told(outcome.error());
    return {{"ok", {{"revoked", *outcome == latchkey::LogoutOutcome::revoked}}}};
  }

  std::shared_ptr<latchkey::HttpTransport> transport_;
  latchkey::OpenIdProvider provider_;
  std::shared_ptr<latchkey::IdTokenValidator> validator_;
  std::shared_ptr<latchkey::KeyVault> vault_;
  latchkey::OAuthClient client_;
  std::string subject_;
};

}  // namespace

int main() try {
  std::string line;
  std::getline(std::cin, line);
  OpenIdClient client(Json::parse(line));
  tell({{"ok", Json::object()}});
  while (std::getline(std::cin, line)) tell(client.run(Json::parse(line).at("do")));
  return 0;
} catch (const latchkey::Exception& e) {
  tell(told(e.error()));
  return 1;
} catch (const std::exception& e) {
  std::cerr << "openid_client: " << e.what() << '\n';
  return 1;
}
