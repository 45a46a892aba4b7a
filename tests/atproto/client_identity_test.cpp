// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client_identity;
import latchkey.core;
import latchkey.loopback.receiver;
import latchkey.oauth.client_document;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_metadata;
import latchkey.session;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;

namespace {

ClientDocument web_document() {
  return {.client_id = "https://app.example.com/client.json",
          .redirect_uris = {"https://app.example.com/callback"}};
}

std::shared_ptr<ClientKeys> new_keys() {
  return ClientKeys::generate(std::make_shared<SystemRandom>()).value();
}

std::string outcome_of(const AtprotoClientIdentity& identity) {
  return outcome(identity.description());
}

}  // namespace

TEST_CASE("client identity: nothing said is an error", "[client]") {
  CHECK(outcome_of({}) == "invalid_argument client.missing");
}

TEST_CASE("C1.2, C1.3: a loopback client is public, and listens where its client_id says",
          "[client]") {
  const auto made = loopback_client("atproto", "/back");
  REQUIRE(outcome_of(made) == "ok");
  CHECK(made.description()->auth_method == ClientAuthMethod::none);
  CHECK(made.keys() == nullptr);
  CHECK(receiver_of(*made.description())->path == "/back");
  const auto bare = loopback_client_of("http://localhost");
  REQUIRE(outcome_of(bare) == "ok");
  CHECK(receiver_of(*bare.description())->path == "/");
  CHECK(receiver_of(*bare.description())->port == 0);
  CHECK(outcome_of(loopback_client("email")) == "invalid_argument client.scope_without_atproto");
  CHECK(outcome_of(loopback_client("atproto", "back")) == "invalid_argument client.redirect_path");
  CHECK(outcome_of(loopback_client_of("https://app.example.com/client.json")) ==
        "invalid_argument client.not_loopback");
}

TEST_CASE("hosted_client: a document that breaks a rule is refused, with the rule's id",
          "[client]") {
  CHECK(outcome_of(hosted_client(web_document())) == "ok");
  const auto refused = [](const std::function<void(ClientDocument&)>& spoil) {
    ClientDocument document = web_document();
    spoil(document);
    const auto identity = hosted_client(document);
    CHECK(outcome_of(identity) == "invalid_metadata client.document");
    return identity.description() ? std::string() : identity.description().error().message;
  };
  const auto names = [](const std::string& message, std::string_view id) {
    return message.find(id) != std::string::npos;
  };
  CHECK(names(refused([](ClientDocument& d) { d.client_id = "https://app.example.com/"; }),
              "C1.1.no_path"));
  CHECK(names(refused([](ClientDocument& d) { d.redirect_uris = {"http://127.0.0.1/cb"}; }),
              "C1.10.loopback_not_native"));
  CHECK(names(refused([](ClientDocument& d) { d.scope = "openid atproto"; }), "C1.6.scope_openid"));
  CHECK(names(refused([](ClientDocument& d) { d.dpop_bound_access_tokens = false; }),
              "C1.6.not_dpop_bound"));
}

TEST_CASE("hosted_client: warnings are no reason to refuse", "[client]") {
  ClientDocument document = web_document();
  document.grant_types = {"authorization_code"};
  CHECK(outcome_of(hosted_client(document)) == "ok");
}

TEST_CASE("C1.8: a confidential client needs keys, all published, and a document that says so",
          "[client]") {
  const auto keys = new_keys();
  ClientDocument document = web_document();
  CHECK(outcome_of(confidential_client(document, keys)) ==
        "invalid_metadata client.not_confidential");
  publish_keys(document, *keys);
  CHECK(outcome_of(confidential_client(document, keys)) == "ok");
  CHECK(outcome_of(confidential_client(document, nullptr)) == "invalid_argument client.no_keys");
  CHECK(outcome_of(hosted_client(document)) == "invalid_metadata client.not_public");
  REQUIRE(keys->add_new());
  CHECK(outcome_of(confidential_client(document, keys)) ==
        "invalid_metadata client.key_not_published");
  document.jwks.clear();
  document.jwks_uri = "https://app.example.com/jwks.json";
  CHECK(outcome_of(confidential_client(document, keys)) == "ok");
}

TEST_CASE("C1.8: another key published under the kid of the client's own is refused", "[client]") {
  const auto keys = new_keys(), others = new_keys();
  ClientDocument document = web_document();
  publish_keys(document, *others);
  const std::string kid = others->newest();
  document.jwks.replace(document.jwks.find(kid), kid.size(), keys->newest());
  REQUIRE(published_keys(document)->front().kid == keys->newest());
  CHECK(outcome_of(confidential_client(document, keys)) ==
        "invalid_metadata client.key_not_published");
  document.jwks = "{}";
  CHECK(outcome_of(confidential_client(document, keys)) ==
        "invalid_metadata client.key_not_published");
}

TEST_CASE("remembered_client: is not held against the rules again, nor compared with its keys",
          "[client]") {
  ClientDocument document = web_document();
  document.scope = "openid atproto";
  CHECK(outcome_of(hosted_client(document)) == "invalid_metadata client.document");
  const auto hosted = remembered_client(document, nullptr);
  REQUIRE(outcome_of(hosted) == "ok");
  CHECK(hosted.description()->auth_method == ClientAuthMethod::none);
  const auto confidential = remembered_client(document, new_keys());
  REQUIRE(outcome_of(confidential) == "ok");
  CHECK(confidential.description()->client_id == document.client_id);
  CHECK(confidential.description()->auth_method == ClientAuthMethod::private_key_jwt);
}

TEST_CASE("C1.12: a confidential client's authenticator knows its keys", "[client]") {
  const auto keys = new_keys();
  ClientDocument document = web_document();
  publish_keys(document, *keys);
  const auto client = confidential_client(document, keys)
                          .authenticator({.clock = std::make_shared<SystemClock>(),
                                          .random = std::make_shared<SystemRandom>()});
  CHECK(client->method() == ClientAuthMethod::private_key_jwt);
  CHECK(client->owns_key(keys->thumbprints().front()));
}

TEST_CASE("C1.10: the receiver listens at the first loopback redirect, at its port if it has one",
          "[client]") {
  const auto receiver = [](std::vector<std::string> redirects) {
    return receiver_of({.client_id = "x", .redirect_uris = std::move(redirects), .scope = {}});
  };
  const auto fixed = receiver({"com.example.app:/cb", "https://app.example.com/cb",
                               "http://127.0.0.1/cb?x=1", "http://[::1]:8123/six"});
  REQUIRE(fixed);
  CHECK(fixed->path == "/six");
  CHECK(fixed->port == 8123);
  CHECK(fixed->host == LoopbackHost::ipv6);
  const auto both = receiver({"http://[::1]/six", "http://127.0.0.1/four", "http://127.0.0.1/b"});
  REQUIRE(both);
  CHECK(both->path == "/four");
  CHECK(both->host == LoopbackHost::ipv4);
  CHECK(receiver({"http://[::1]/a", "http://[::1]/b"})->path == "/a");
  CHECK_FALSE(receiver({"https://app.example.com/cb", "com.example.app:/cb"}));
  CHECK_FALSE(receiver({}));
}
