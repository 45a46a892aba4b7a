// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oauth.token;
import latchkey.session;
import latchkey.test.marker;
import latchkey.test.oauth;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;

namespace {

Result<HttpRequest> finished(const std::shared_ptr<ClientAuthenticator>& client) {
  ClientRequest request{.url = Url::parse("https://id.test/token").value()};
  request.form.add("grant_type", "client_credentials");
  return finish_request(std::move(request), *client, "https://id.test", "");
}

// The text between "Basic " and the end of the header, decoded.
std::string basic_pair(const HttpRequest& request) {
  const auto value = authorization_value(*request.authorization).value();
  std::string text(value.expose());
  REQUIRE(text.starts_with("Basic "));
  text.erase(0, 6);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return std::string(as_text(base64url_decode(text).value()));
}

std::string sent_pair(std::string client_id, std::string_view secret) {
  return basic_pair(
      finished(client_secret_basic(std::move(client_id), SecretString(secret))).value());
}

}  // namespace

TEST_CASE("client_secret_basic: the example of RFC 6749 section 2.3.1", "[client]") {
  const auto client = client_secret_basic("s6BhdRkqt3", SecretString("gX1fBat3bV"));
  CHECK(client->method() == ClientAuthMethod::client_secret_basic);
  CHECK(client->kid().empty());
  const auto request = finished(client).value();
  CHECK(authorization_value(*request.authorization)->expose() ==
        "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
  CHECK(request.body.expose() == "grant_type=client_credentials");
}

TEST_CASE("client_secret_basic: id and secret are form-encoded before they are joined",
          "[client]") {
  CHECK(sent_pair("a:b", "c:d") == "a%3Ab:c%3Ad");
  CHECK(sent_pair("a+b c", "100% + 1") == "a%2Bb+c:100%25+%2B+1");
  CHECK(sent_pair("cl\xC3\xA9", "\xE2\x82\xAC") == "cl%C3%A9:%E2%82%AC");
  CHECK(sent_pair("https://app.test/client.json", "=&?") ==
        "https%3A%2F%2Fapp.test%2Fclient.json:%3D%26%3F");
}

TEST_CASE("client_secret_basic: base64 has its own alphabet and padding", "[client]") {
  for (const std::string_view secret : {"x", "xy", "xyz", "xyz~", "~~~?>>>"}) {
    CAPTURE(secret);
    const auto request = finished(client_secret_basic("id", SecretString(secret))).value();
    const auto text = request.authorization->credentials.expose();
    CHECK(text ==
          base64_encode(as_bytes("id:" + form_encode({{"", std::string(secret)}}).substr(1))));
  }
}

TEST_CASE("client_secret_post: id and secret go into the form, and no header is sent", "[client]") {
  const auto client = client_secret_post("an id", SecretString("s&cret=1"));
  CHECK(client->method() == ClientAuthMethod::client_secret_post);
  const auto request = finished(client).value();
  CHECK_FALSE(request.authorization);
  CHECK(request.body.expose() ==
        "grant_type=client_credentials&client_id=an+id&client_secret=s%26cret%3D1");
}

TEST_CASE("client secrets: an empty one is refused before anything is sent", "[client]") {
  CHECK(outcome(finished(client_secret_basic("id", SecretString()))) ==
        "invalid_client client.no_secret");
  CHECK(outcome(finished(client_secret_post("id", SecretString()))) ==
        "invalid_client client.no_secret");
}

TEST_CASE("client secrets: a pushed request names its client in the form, whatever the method",
          "[client]") {
  PendingLogin pending;
  pending.par_endpoint = "https://id.test/par";
  pending.client_id = "id";
  for (const auto& client : {client_secret_basic("id", SecretString("secret")),
                             client_secret_post("id", SecretString("secret"))}) {
    const auto request = build_par_request(pending, "challenge", "", *client).value();
    CHECK(field(request, "client_id") == "id");  // exactly once
  }
}

TEST_CASE("client secrets: a session is not renewed by a client that authenticates otherwise",
          "[client]") {
  OAuthSession session;
  session.token_endpoint = "https://id.test/token";
  session.client_auth_method = ClientAuthMethod::client_secret_basic;
  session.refresh_token = SecretString("refresh");
  CHECK(build_refresh_request(session, *client_secret_basic("id", SecretString("secret"))));
  CHECK(
      outcome(build_refresh_request(session, *client_secret_post("id", SecretString("secret")))) ==
      "client_mismatch refresh.auth_method");
  CHECK(outcome(build_refresh_request(session, *public_client("id"))) ==
        "client_mismatch refresh.auth_method");
}

TEST_CASE("client secrets: nothing is left in memory of a secret that was sent", "[client]") {
  const Marker secret;
  {
    for (const auto& client : {client_secret_basic("id", SecretString(secret.secret())),
                               client_secret_post("id", SecretString(secret.secret()))}) {
      CHECK(finished(client));
    }
    CHECK_FALSE(secret.is_in_memory());
    const auto alive = client_secret_basic("id", SecretString(secret.secret()));
    CHECK(secret.is_in_memory());
  }
  CHECK_FALSE(secret.is_in_memory());
}
