// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.rsa_key;

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Changes = std::vector<std::pair<std::string, std::string>>;

// The document with members changed, or removed where there is no text.
Members changed(Members metadata, const Changes& changes) {
  for (const auto& [name, value] : changes) {
    if (value.empty()) {
      metadata.erase(name);
    } else {
      metadata[name] = value;
    }
  }
  return metadata;
}

std::string keys(const std::string& jwks) {
  return "{\"keys\":[" + jwks + "]}";
}

}  // namespace

TEST_CASE("registration: each document that breaks a rule of ATProto is refused for it",
          "[sandbox]") {
  const RegisteredWorld world;
  const auto right = confidential_metadata(world.key);
  REQUIRE(world.register_client(right) == "");
  const std::vector<std::pair<std::string, Changes>> cases{
      {"client.missing_member", {{"client_id", ""}}},
      {"client.wrong_type", {{"client_id", "1"}}},
      {"client.wrong_type", {{"grant_types", quoted("authorization_code")}}},
      {"client.client_id", {{"client_id", quoted("http://app.example.com/client.json")}}},
      {"client.client_id", {{"client_id", quoted("https://app.example.com/")}}},
      {"client.client_id", {{"client_id", quoted("https://app.example.com/folder/")}}},
      {"client.client_id", {{"client_id", quoted("https://app.example.com:8443/client.json")}}},
      {"client.client_id", {{"client_id", quoted("https://app.example.com:443/client.json")}}},
      {"client.client_id", {{"client_id", quoted("https://192.0.2.1/client.json")}}},
      {"client.client_id", {{"client_id", quoted("https://app.example.com/c.json#x")}}},
      {"client.client_id", {{"client_id", quoted("https://app/client.json")}}},
      {"client.client_id", {{"client_id", quoted("books app")}}},
      {"client.client_id", {{"client_id", quoted("http://localhost?scope=atproto")}}},
      {"client.grant_types", {{"grant_types", R"(["refresh_token"])"}}},
      {"client.grant_types", {{"grant_types", "[" + quoted(sandbox::kDeviceGrant) + "]"}}},
      {"client.response_types", {{"response_types", R"(["token"])"}}},
      {"client.application_type", {{"application_type", quoted("desktop")}}},
      {"client.redirect_uris", {{"redirect_uris", "[]"}}},
      {"client.redirect_uris", {{"redirect_uris", ""}}},
      {"client.redirect_uris", {{"redirect_uris", R"(["http://127.0.0.1/callback"])"}}},
      {"client.redirect_uris", {{"redirect_uris", R"(["com.example.app:/callback"])"}}},
      {"client.redirect_uris", {{"redirect_uris", R"(["https://app.example.com/c#x"])"}}},
      {"client.scope", {{"scope", quoted("atproto  x")}}},
      {"client.scope", {{"scope", quoted("atproto openid")}}},
      {"client.dpop_bound_access_tokens", {{"dpop_bound_access_tokens", ""}}},
      {"client.dpop_bound_access_tokens", {{"dpop_bound_access_tokens", "false"}}},
      {"client.token_endpoint_auth_method", {{"token_endpoint_auth_method", ""}}},
      {"client.token_endpoint_auth_method",
       {{"token_endpoint_auth_method", quoted("client_secret_post")}}},
      {"client.token_endpoint_auth_method",
       {{"application_type", quoted("native")}, {"redirect_uris", R"(["http://127.0.0.1/"])"}}},
      {"client.token_endpoint_auth_signing_alg", {{"token_endpoint_auth_signing_alg", ""}}},
      {"client.token_endpoint_auth_signing_alg",
       {{"token_endpoint_auth_signing_alg", quoted("none")}}},
      {"client.token_endpoint_auth_signing_alg", {{"token_endpoint_auth_method", quoted("none")}}},
      {"client.jwks", {{"jwks", ""}}},
      {"client.jwks", {{"jwks_uri", quoted("https://app.example.com/jwks")}}},
      {"client.jwks", {{"jwks", keys("")}}},
      {"client.jwks", {{"jwks", keys(world.key.jwk())}}},
      {"client.jwks", {{"jwks", keys(with_kid(world.key.private_jwk(), "one"))}}},
      {"client.id_token_signed_response_alg", {{"id_token_signed_response_alg", quoted("HS256")}}},
  };
  for (const auto& [detail, changes] : cases) {
    INFO(detail << ' ' << changes.front().first << ' ' << changes.front().second);
    CHECK(world.register_client(changed(right, changes)) == detail);
  }
  CHECK(world.servers->add_client({.metadata = "[]"}).error().detail == "client.not_json");
  CHECK(world.servers->add_client({.metadata = R"({"scope":"a","scope":"b"})"}).error().detail ==
        "client.duplicate_member");
  CHECK(world.register_client(right, "a secret") == "client.client_secret");
}

TEST_CASE("registration: a key that can't check signatures is refused", "[sandbox]") {
  const RegisteredWorld world;
  const auto with = [&](const std::string& jwks) {
    return world.register_client(changed(confidential_metadata(world.key), {{"jwks", keys(jwks)}}));
  };
  const std::string right = with_kid(world.key.jwk(), "one");
  CHECK(with(right + ',' + with_kid(ProofKey().jwk(), "two")) == "");
  CHECK(with(right + ',' + with_kid(ProofKey().jwk(), "one")) == "client.jwks");
  CHECK(with(R"({"kid":"a","kty":"oct"})") == "client.jwks");
  CHECK(with(R"({"kid":"a","kty":"OKP","crv":"Ed25519","x":"AA"})") == "client.jwks");
  CHECK(with(with_kid(RsaKey(1024).jwk(), "one")) == "client.jwks");
  CHECK(with(R"({"kid":"a","kty":"RSA","n":"","e":"AQAB"})") == "client.jwks");
  CHECK(with("{\"alg\":\"RS256\"," + right.substr(1)) == "client.jwks");
  std::string off_curve = right;
  const auto y = off_curve.find("\"y\":\"") + 5;
  off_curve[y] = off_curve[y] == 'A' ? 'B' : 'A';
  CHECK(with(off_curve) == "client.jwks");
}

TEST_CASE("registration: redirects of native clients follow C1.10", "[sandbox]") {
  const RegisteredWorld world;
  const auto with = [&](const std::string& redirect) {
    return world.register_client(changed(confidential_metadata(world.key),
                                         {{"application_type", quoted("native")},
                                          {"token_endpoint_auth_method", quoted("none")},
                                          {"token_endpoint_auth_signing_alg", ""},
                                          {"jwks", ""},
                                          {"redirect_uris", '[' + quoted(redirect) + ']'}}));
  };
  for (const char* good : {"http://127.0.0.1/callback", "http://[::1]:8080/",
                           "com.example.app:/callback", "https://app.example.com/native"}) {
    INFO(good);
    CHECK(with(good) == "");
  }
  for (const char* bad :
       {"http://localhost/callback", "com.example.app://callback", "com.example:/callback",
        "com.example.app:/callback#x", "https://other.example.com/native", "http://192.0.2.1/"}) {
    INFO(bad);
    CHECK(with(bad) == "client.redirect_uris");
  }
}

TEST_CASE("registration: other clients are freer, and have RFC 7591's defaults", "[sandbox]") {
  const RegisteredWorld world;
  const auto right = openid_metadata();
  CHECK(world.register_client(right, "s") == "");
  CHECK(world.register_client(right) == "client.client_secret");
  CHECK(world.register_client(changed(right, {{"client_secret", quoted("s")}})) == "");
  CHECK(world.register_client(changed(right, {{"client_secret", quoted("")}})) ==
        "client.client_secret");
  CHECK(world.register_client(changed(right, {{"client_secret", "1"}})) == "client.wrong_type");
  CHECK(world.register_client(right, std::string(513, 's')) == "client.client_secret");
  CHECK(world.register_client(
            changed(right, {{"token_endpoint_auth_method", quoted("client_secret_jwt")}}), "s") ==
        "client.token_endpoint_auth_method");
  CHECK(world.register_client(changed(right, {{"redirect_uris", R"(["/callback"])"}}), "s") ==
        "client.redirect_uris");
  CHECK(world.register_client(changed(right, {{"redirect_uris", R"(["https://a.test/#x"])"}}),
                              "s") == "client.redirect_uris");
  // A device has nowhere to be sent to.
  CHECK(world.register_client(
            changed(right, {{"redirect_uris", ""},
                            {"grant_types", '[' + quoted(sandbox::kDeviceGrant) + ']'}}),
            "s") == "");
  CHECK(world.register_client(
            changed(right, {{"require_pushed_authorization_requests", quoted("yes")}}), "s") ==
        "client.wrong_type");
}
