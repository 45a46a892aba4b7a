// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.core.json;
import latchkey.dpop;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.http.policy;
import latchkey.oauth.client_document;
import latchkey.oauth.client_keys;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.oauth;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;
import latchkey.test.scripted_transport;
import latchkey.test.wire_client;

// Clients with a metadata document, public and confidential, against a server that checks all of
// it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

ClientDocument web_document() {
  return {.client_id = "https://app.example.com/client.json",
          .redirect_uris = {"https://app.example.com/callback"},
          .scope = std::string(kScope)};
}

/// The world with a client that has a document; what it sends is remembered.
struct HostedWorld : SandboxWorld {
  std::shared_ptr<HttpTransport> network =
      CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback}).value();
  std::shared_ptr<ScriptedTransport> wire = std::make_shared<ScriptedTransport>(
      [this](const HttpRequest& request, const SendOptions& options) {
        return network->send(request, options);
      });

  [[nodiscard]] Result<AtprotoClient> make(AtprotoClientIdentity identity) const {
    return AtprotoClient::create({.client = std::move(identity),
                                  .store = store,
                                  .vault = vault,
                                  .plc_url = servers->plc(),
                                  .resolve_handles_at = servers->pds(),
                                  .http_rule = HttpRule::allow_http_for_loopback,
                                  .transport = wire,
                                  .browser = browser,
                                  .clock = clock});
  }
  void publish(const ClientDocument& document) const {
    servers->add_client({.metadata = build_client_document(document)}).value();
  }
  /// The person copies the address from the browser.
  [[nodiscard]] Result<SessionSummary> log_in_with(AtprotoClient& with,
                                                   std::string_view who) const {
    std::string page;
    return with.login(who, {.open_browser = false,
                            .on_url = [&](const Url& url) { page = url.target(); },
                            .paste = [&]() -> Result<std::string> {
                              return exchange(servers->issuer(), "GET", page).header("Location");
                            }});
  }
  /// The assertions in the forms that were sent to `path`.
  [[nodiscard]] std::vector<std::string> assertions(std::string_view path) const {
    std::vector<std::string> out;
    for (const HttpRequest& request : wire->requests()) {
      if (request.url.path() == path) out.push_back(field(request, "client_assertion"));
    }
    return out;
  }
};

std::string member(const std::string& json, std::string_view name) {
  return JsonObject::parse(json, ErrorCode::corrupt, "test").value().required_string(name).value();
}

std::string kid_of(const std::string& jws) {
  return member(decode_jws(jws).header, "kid");
}

/// The same with a confidential client and one key.
struct ConfidentialWorld : HostedWorld {
  std::shared_ptr<ClientKeys> keys = ClientKeys::generate(std::make_shared<SystemRandom>()).value();
  AtprotoClient backend = with_keys();
  std::string first = keys->newest();

  /// Publishes the document of the keys as they are now.
  AtprotoClient with_keys() {
    ClientDocument document = web_document();
    publish_keys(document, *keys);
    publish(document);
    return make(confidential_client(document, keys)).value();
  }
  [[nodiscard]] std::string fresh(std::string_view did) { return outcome(backend.fresh(did)); }
};

}  // namespace

TEST_CASE("C8.1, C8.2: a confidential client logs in, refreshes and logs out", "[sandbox]") {
  ConfidentialWorld w;
  const auto session = w.log_in_with(w.backend, "alice.test");
  REQUIRE(outcome(session) == "ok");
  CHECK(session->client_id == "https://app.example.com/client.json");
  CHECK(session->client_auth_method == ClientAuthMethod::private_key_jwt);
  CHECK(session->client_auth_kid == w.first);
  w.expire();
  CHECK(w.fresh(w.alice.did) == "ok");
  CHECK(w.backend.logout(w.alice.did).value() == LogoutOutcome::revoked);
  CHECK(w.servers->live_sessions("alice.test") == 0);
  for (const auto& jws : w.assertions("/oauth/token")) {
    CHECK(member(decode_jws(jws).payload, "aud") == w.servers->issuer());
  }
}

TEST_CASE("C5.4: a code is sent with verifier, redirect, client_id, proof and a fresh assertion",
          "[sandbox]") {
  ConfidentialWorld w;
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  const auto requests = w.wire->requests();
  const auto exchanged = std::find_if(requests.begin(), requests.end(), [](const auto& request) {
    return request.url.path() == "/oauth/token";
  });
  REQUIRE(exchanged != requests.end());
  CHECK(field(*exchanged, "grant_type") == "authorization_code");
  CHECK(field(*exchanged, "code_verifier").size() >= 43);
  CHECK(field(*exchanged, "redirect_uri") == "https://app.example.com/callback");
  CHECK(field(*exchanged, "client_id") == "https://app.example.com/client.json");
  CHECK(exchanged->headers.find("DPoP") != nullptr);
  const auto pushed = w.assertions("/oauth/par");
  CHECK(std::find(pushed.begin(), pushed.end(), field(*exchanged, "client_assertion")) ==
        pushed.end());
}

TEST_CASE("C8.4: the repetition for a nonce has another assertion", "[sandbox]") {
  ConfidentialWorld w;
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  const auto pushed = w.assertions("/oauth/par");
  REQUIRE(pushed.size() == 2);
  CHECK(w.servers->requests().size() > 0);
  CHECK(member(decode_jws(pushed[0]).payload, "jti") !=
        member(decode_jws(pushed[1]).payload, "jti"));
}

TEST_CASE("C8.4: an assertion that is sent twice is refused by the server", "[sandbox]") {
  ConfidentialWorld w;
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  // The same form with another proof, as a client would send it that repeats requests blindly.
  WireClient blind(*w.servers);
  blind.client_id = "https://app.example.com/client.json";
  blind.redirect_uri = "https://app.example.com/callback";
  const auto used = w.assertions("/oauth/par").back();
  blind.authenticate = [&](Form& form) {
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    form["client_assertion"] = used;
  };
  CHECK(blind.post("/oauth/par", blind.par_form()).status >= 400);
  CHECK(w.servers->requests().back().detail == "par.assertion_replayed");
}

TEST_CASE("C8.3, C8.5: after a rotation old sessions keep their key and new ones have the new",
          "[sandbox]") {
  ConfidentialWorld w;
  const auto bob = w.servers->add_account("bob.test", {}, true).value();
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  const auto second = w.keys->add_new().value();
  w.backend = w.with_keys();
  const auto session = w.log_in_with(w.backend, "bob.test");
  REQUIRE(outcome(session) == "ok");
  CHECK(session->client_auth_kid == second);
  w.expire();
  CHECK(w.fresh(w.alice.did) == "ok");
  CHECK(kid_of(w.assertions("/oauth/token").back()) == w.first);
  CHECK(w.fresh(bob.did) == "ok");
  CHECK(kid_of(w.assertions("/oauth/token").back()) == second);
  CHECK(w.store->load(w.alice.did).value()->client_auth_kid == w.first);
}

TEST_CASE("C8.5: without its key a session can't be refreshed, and with it again it can",
          "[sandbox]") {
  ConfidentialWorld w;
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  const auto kept = w.keys->private_jwk_set();
  REQUIRE(w.keys->add_new());
  REQUIRE(w.keys->remove(w.first));
  w.backend = w.with_keys();
  w.expire();
  const auto sent = w.wire->count();
  CHECK(w.fresh(w.alice.did) == "invalid_client client.key_gone");
  CHECK(w.wire->count() == sent);
  const auto stored = w.store->load(w.alice.did).value();
  REQUIRE(stored);
  CHECK(stored->state == SessionState::active);
  w.keys = ClientKeys::from_jwk_set(kept, std::make_shared<SystemRandom>()).value();
  w.backend = w.with_keys();
  CHECK(w.fresh(w.alice.did) == "ok");
}

TEST_CASE("C8.5: a key that is published no more is refused, and the session stays", "[sandbox]") {
  ConfidentialWorld w;
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  ClientDocument other = web_document();
  publish_keys(other, *ClientKeys::generate(std::make_shared<SystemRandom>()).value());
  w.publish(other);
  w.expire();
  CHECK(w.fresh(w.alice.did).starts_with("invalid_client"));
  CHECK(w.store->load(w.alice.did).value()->state == SessionState::active);
}

TEST_CASE("C8.2: a server whose clock is ahead accepts the assertion of the second attempt",
          "[sandbox]") {
  ConfidentialWorld w;
  for (const auto ahead : {10min, -10min}) {
    w.servers->set_clock_skew(ahead);
    CHECK(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  }
}

TEST_CASE("C1.12: a client whose key is kept as a session's key is not made", "[sandbox]") {
  ConfidentialWorld w;
  const auto key = P256DpopProver::generate(std::make_shared<SystemRandom>()).value();
  w.vault->put(key->jkt(), key->to_bytes()).value();
  const auto pem = key->to_pkcs8_pem().value();
  const auto keys = ClientKeys::from_key_file(SecretBytes(as_bytes(pem.expose())), "shared",
                                              std::make_shared<SystemRandom>())
                        .value();
  ClientDocument document = web_document();
  publish_keys(document, *keys);
  CHECK(outcome(w.make(confidential_client(document, keys))) == "invalid_key client.key_in_vault");
}

TEST_CASE("C1.12, C7.3: a session bound to a key of the client's is not refreshed", "[sandbox]") {
  ConfidentialWorld w;
  const auto random = std::make_shared<SystemRandom>();
  const auto key = P256DpopProver::generate(random).value();
  const auto pem = key->to_pkcs8_pem().value();
  w.keys = ClientKeys::from_key_file(SecretBytes(as_bytes(pem.expose())), "shared", random).value();
  w.backend = w.with_keys();
  REQUIRE(outcome(w.log_in_with(w.backend, "alice.test")) == "ok");
  // Behind the client's back: when it was made, the vault did not have the key.
  w.vault->put(key->jkt(), key->to_bytes()).value();
  auto session = w.store->load(w.alice.did).value()->clone();
  const Revision before = session.revision;
  session.dpop_jkt = key->jkt();
  session.revision = Revision{before.value + 1};
  REQUIRE(w.store->save(session, before));
  w.expire();
  const auto sent = w.wire->count();
  CHECK(w.fresh(w.alice.did) == "invalid_key dpop.client_key");
  CHECK(w.wire->count() == sent);
}

TEST_CASE("C1.9: a hosted web client that is public logs in without any credential", "[sandbox]") {
  HostedWorld w;
  w.publish(web_document());
  auto client = w.make(hosted_client(web_document())).value();
  const auto session = w.log_in_with(client, "alice.test");
  REQUIRE(outcome(session) == "ok");
  CHECK(session->client_auth_method == ClientAuthMethod::none);
  CHECK(session->client_auth_kid.empty());
  for (const HttpRequest& request : w.wire->requests()) {
    CHECK_FALSE(request.authorization);
    const auto names = field_names(request);
    for (const char* name : {"client_secret", "client_assertion", "client_assertion_type"}) {
      CHECK(std::find(names.begin(), names.end(), name) == names.end());
    }
  }
}

TEST_CASE("C1.10: a native hosted client ends at its loopback redirect, at any port", "[sandbox]") {
  HostedWorld w;
  ClientDocument document = web_document();
  document.application_type = "native";
  document.redirect_uris = {"com.example.app:/callback", "http://127.0.0.1/native"};
  w.publish(document);
  auto client = w.make(hosted_client(document)).value();
  const auto session = client.login("alice.test");
  REQUIRE(outcome(session) == "ok");
  CHECK(session->redirect_uri.starts_with("http://127.0.0.1:"));
  CHECK(session->redirect_uri.ends_with("/native"));
}

TEST_CASE("C1.10: a private-use redirect comes back by the pasted address", "[sandbox]") {
  HostedWorld w;
  ClientDocument document = web_document();
  document.application_type = "native";
  document.redirect_uris = {"com.example.app:/callback"};
  w.publish(document);
  auto client = w.make(hosted_client(document)).value();
  CHECK(outcome(client.login("alice.test")) == "invalid_argument login.no_loopback_redirect");
  const auto session = w.log_in_with(client, "alice.test");
  REQUIRE(outcome(session) == "ok");
  CHECK(session->redirect_uri == "com.example.app:/callback");
}

TEST_CASE("C1.11: a scope that the document does not declare is not asked for", "[sandbox]") {
  HostedWorld w;
  w.publish(web_document());
  auto client = w.make(hosted_client(web_document())).value();
  for (const char* scope : {"atproto transition:email", "transition:generic", "atproto openid"}) {
    INFO(scope);
    const auto refused = client.login(
        "alice.test", {.scope = scope, .open_browser = false, .paste = []() -> Result<std::string> {
                         return std::string();
                       }});
    CHECK(outcome(refused) == "invalid_argument login.scope");
  }
  CHECK(w.wire->count() == 0);
}
