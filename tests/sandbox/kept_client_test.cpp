// SPDX-License-Identifier: MIT
#include <SQLiteCpp/SQLiteCpp.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.test.folder;
import latchkey.test.openssl;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.rsa_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

JsonObject parse(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::invalid_response, "test").value();
}

/// Registered clients of a sandbox in a file.
struct KeptClients {
  explicit KeptClients(const Members& openid = openid_metadata())
      : world(openid, folder.path() / "sandbox.db") {}

  /// The same client, after a restart.
  std::unique_ptr<WireClient> restart(std::unique_ptr<WireClient> before) {
    world.restart();
    auto after = before->client_id == kWebClient ? world.backend() : world.openid(before->scope);
    after->key = std::move(before->key);
    after->bearer = before->bearer;
    return after;
  }
  std::string refresh(WireClient& client, const std::string& token) {
    const auto answer = client.post("/oauth/token", client.refresh_form(token));
    return answer.status == 200 ? "200" : answer.text("error") + ' ' + world.last_detail();
  }
  void change(const std::string& sql) const {
    SQLite::Database((folder.path() / "sandbox.db").string(), SQLite::OPEN_READWRITE).exec(sql);
  }
  [[nodiscard]] std::string started() const {
    return outcome(sandbox::Sandbox::start({.data = folder.path() / "sandbox.db"}));
  }

  TemporaryFolder folder;
  RegisteredWorld world;
};

std::string userinfo(const WireClient& client, const std::string& token) {
  return exchange(client.servers.issuer(), "GET", "/oauth/userinfo",
                  {{"Authorization", "Bearer " + token}})
      .outcome();
}

// The RSA key that is published under the kid of the id token; "" if there is none.
std::string key_of(const sandbox::Sandbox& servers, const std::string& id_token) {
  const auto kid = parse(decode_jws(id_token).header).required_string("kid").value();
  const auto jwks = parse(exchange(servers.issuer(), "GET", "/oauth/jwks").body);
  const auto keys = jwks.objects("keys").value().value();
  for (const auto& key : keys) {
    if (key.required_string("kid").value() != kid) continue;
    return to_json({{"kty", quoted("RSA")},
                    {"n", key.json_text("n").value()},
                    {"e", key.json_text("e").value()}});
  }
  return {};
}

}  // namespace

TEST_CASE("data: a backend's session goes on under the key of its login only", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.backend();
  const auto tokens = client->log_in();
  REQUIRE(tokens.outcome() == "200 ");
  client = kept.restart(std::move(client));
  CHECK(client->call("GET", "/xrpc/com.atproto.server.getSession", tokens.text("access_token"))
            .status == 200);

  const ProofKey fresh;
  auto metadata = confidential_metadata(kept.world.key);
  metadata["jwks"] = R"({"keys":[)" + with_kid(fresh.jwk(), "two") + ',' +
                     with_kid(kept.world.key.jwk(), "one") + "]}";
  REQUIRE(kept.world.register_client(metadata) == "");
  const auto right_way = std::exchange(client->authenticate, [&](Form& form) {
    add_assertion(form, fresh.sign(assertion_header("two"),
                                   assertion_claims(kWebClient, kept.world.servers->issuer(),
                                                    kept.world.now())));
  });
  const auto token = tokens.text("refresh_token");
  CHECK(kept.refresh(*client, token) == "invalid_grant refresh.wrong_client_key");
  client->authenticate = right_way;
  CHECK(kept.refresh(*client, token) == "200");
}

TEST_CASE("data: a backend's session ends by another DPoP key", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.backend();
  const auto token = client->log_in().text("refresh_token");
  client = kept.restart(std::move(client));
  client->key = ProofKey();
  CHECK(kept.refresh(*client, token) == "invalid_grant refresh.wrong_key");
  CHECK(kept.world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("data: Bearer tokens stay good, and a refresh is of the same login", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  const auto first = client->log_in();
  REQUIRE(first.text("token_type") == "Bearer");
  client = kept.restart(std::move(client));
  CHECK(userinfo(*client, first.text("access_token")) == "200 ");
  kept.world.clock->advance(1min);
  const auto again =
      client->post("/oauth/token", client->refresh_form(first.text("refresh_token")));
  REQUIRE(again.text("token_type") == "Bearer");
  const auto claims = parse(decode_jws(again.text("id_token")).payload);
  CHECK(claims.integer("auth_time").value() == kept.world.now() - 60);
  CHECK(userinfo(*client, first.text("access_token")) == "401 invalid_token");

  client = kept.restart(std::move(client));
  CHECK(kept.refresh(*client, first.text("refresh_token")) == "invalid_grant refresh.replayed");
  CHECK(userinfo(*client, again.text("access_token")) == "401 invalid_token");
}

TEST_CASE("data: a bound session of an OpenID client is not to be had without a proof",
          "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  client->bearer = false;
  const auto tokens = client->log_in();
  REQUIRE(tokens.text("token_type") == "DPoP");
  client = kept.restart(std::move(client));
  CHECK(userinfo(*client, tokens.text("access_token")) == "401 invalid_token");
  CHECK(kept.world.last_detail() == "access.bound");
  client->bearer = true;
  CHECK(kept.refresh(*client, tokens.text("refresh_token")) == "invalid_grant refresh.wrong_key");
}

TEST_CASE("data: a session without a refresh token is kept too", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["grant_types"] = R"(["authorization_code"])";
  KeptClients kept(metadata);
  auto client = kept.world.openid();
  const auto one = client->log_in(), other = client->log_in();
  client = kept.restart(std::move(client));
  CHECK(userinfo(*client, one.text("access_token")) == "200 ");
  CHECK(userinfo(*client, other.text("access_token")) == "200 ");
  REQUIRE(kept.world.register_client(openid_metadata(), kSecret) == "");
  CHECK(kept.refresh(*client, "") != "200");
  CHECK(kept.refresh(*client, "srt-x") == "invalid_grant refresh.unknown");
}

TEST_CASE("data: a client that is not registered again gets nothing, and uses nothing up",
          "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  const auto token = client->log_in().text("refresh_token");
  kept.world.servers.reset();
  kept.world.servers = sandbox::Sandbox::start(
                           {.clock = kept.world.clock, .data = kept.folder.path() / "sandbox.db"})
                           .value();
  auto after = kept.world.openid();
  CHECK(after->post("/oauth/token", after->refresh_form(token)).text("error") == "invalid_client");
  after = kept.restart(std::move(after));
  CHECK(kept.refresh(*after, token) == "200");
}

TEST_CASE("data: what a code or a device was waiting for is forgotten", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  const auto code = client->code();
  const auto device =
      client->post("/oauth/device", {{"client_id", client->client_id}, {"scope", client->scope}});
  client = kept.restart(std::move(client));
  CHECK(client->post("/oauth/token", client->code_form(code)).outcome() == "400 invalid_grant");
  CHECK(kept.world.last_detail() == "code.unknown");
  CHECK_FALSE(kept.world.servers->approve_device(device.text("user_code"), "alice.test"));
}

TEST_CASE("data: id tokens can be checked after a restart, until their key is over", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  const auto first = client->log_in().text("id_token");
  client = kept.restart(std::move(client));
  CHECK(rsa_verifies(first, key_of(*kept.world.servers, first)));
  const auto second = client->log_in().text("id_token");
  CHECK(key_of(*kept.world.servers, second) == key_of(*kept.world.servers, first));

  kept.world.servers->rotate_signing_keys(10min);
  client = kept.restart(std::move(client));
  const auto third = client->log_in().text("id_token");
  CHECK(rsa_verifies(first, key_of(*kept.world.servers, first)));
  CHECK(rsa_verifies(third, key_of(*kept.world.servers, third)));
  CHECK_FALSE(rsa_verifies(third, key_of(*kept.world.servers, first)));
  kept.world.clock->advance(10min);
  CHECK(key_of(*kept.world.servers, first) == "");
  client = kept.restart(std::move(client));
  CHECK(key_of(*kept.world.servers, first) == "");
  CHECK(key_of(*kept.world.servers, third) != "");
}

TEST_CASE("data: ES256 keys are kept as well", "[sandbox]") {
  auto metadata = openid_metadata();
  metadata["id_token_signed_response_alg"] = quoted("ES256");
  KeptClients kept(metadata);
  auto client = kept.world.openid();
  const auto kid = [](const std::string& token) {
    return parse(decode_jws(token).header).required_string("kid").value();
  };
  const auto before = kid(client->log_in().text("id_token"));
  client = kept.restart(std::move(client));
  CHECK(kid(client->log_in().text("id_token")) == before);
}

TEST_CASE("data: a key that was withdrawn at once does not come back", "[sandbox]") {
  KeptClients kept;
  auto client = kept.world.openid();
  const auto stolen = client->log_in().text("id_token");
  kept.world.servers->rotate_signing_keys(0s);
  client = kept.restart(std::move(client));
  CHECK(key_of(*kept.world.servers, stolen) == "");
}

TEST_CASE("data: a session that lacks a rule, and a key that is none, are refused", "[sandbox]") {
  KeptClients kept;
  static_cast<void>(kept.world.openid()->log_in());
  kept.world.servers.reset();
  REQUIRE(kept.started() == "ok");
  // The member's name is spoilt, and mended again.
  for (const std::string name :
       {"jkt", "client_key", "client_id", "nonce", "auth_time", "refreshable", "alive"}) {
    INFO(name);
    const auto renamed = [&](const std::string& from, const std::string& to) {
      kept.change("UPDATE rows SET value = CAST(replace(CAST(value AS TEXT), '\"" + from +
                  "\":', '\"" + to + "\":') AS BLOB) WHERE kind = 'session'");
    };
    renamed(name, "x_" + name);
    CHECK(kept.started() == "corrupt session.missing_member");
    renamed("x_" + name, name);
  }
  REQUIRE(kept.started() == "ok");
  for (const auto& [value, detail] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "signing_key.missing_member"},
           {R"({"der":"AAAA"})", "signing_key.der"},
           {R"({"der":"?"})", "signing_key.der"},
           {R"({"der":""})", "signing_key.der"},
           {R"({"der":7})", "signing_key.wrong_type"},
           {R"({"der":"AAAA","until":"soon"})", "signing_key.wrong_type"}}) {
    INFO(value);
    kept.change("INSERT INTO rows (kind, key, value) VALUES ('signing_key', 'x', CAST('" + value +
                "' AS BLOB))");
    CHECK(kept.started() == "corrupt " + detail);
    kept.change("DELETE FROM rows WHERE kind = 'signing_key' AND key = 'x'");
  }
  kept.change("UPDATE rows SET key = 'x' WHERE kind = 'signing_key'");
  CHECK(kept.started() == "corrupt signing_key.der");
}
