// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_metadata;
import latchkey.session;
import latchkey.test.outcome;

using latchkey::ClientAuthMethod;
using latchkey::ClientIdentity;
using latchkey::ErrorCode;
using latchkey::loopback_client_identity;
using latchkey::parse_loopback_client_id;
using latchkey::test::detail_of;

TEST_CASE("C1.2: a loopback client_id has the two literals and its scope in the query",
          "[client]") {
  const auto client = loopback_client_identity("atproto transition:generic").value();
  CHECK(client.client_id ==
        "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback"
        "&redirect_uri=http%3A%2F%2F%5B%3A%3A1%5D%2Fcallback&scope=atproto%20transition%3Ageneric");
  CHECK(client.redirect_uris ==
        std::vector<std::string>{"http://127.0.0.1/callback", "http://[::1]/callback"});
  CHECK(client.scope == "atproto transition:generic");
  CHECK(client.auth_method == ClientAuthMethod::none);
}

TEST_CASE("C1.2: a loopback client_id that was made is read back the same", "[client]") {
  const auto scope =
      GENERATE(as<std::string>{}, "atproto", "atproto repo:app.bsky.feed.post?action=create",
               "transition:generic atproto rpc:*?aud=did:web:x%23y");
  const auto path = GENERATE(as<std::string>{}, "/", "/callback", "/a/b-c_d~e");
  const auto made = loopback_client_identity(scope, path).value();
  const auto read = parse_loopback_client_id(made.client_id).value();
  CHECK(read.client_id == made.client_id);
  CHECK(read.scope == scope);
  CHECK(read.redirect_uris == made.redirect_uris);
}

TEST_CASE("C1.3: what a loopback client_id leaves out has its default", "[client]") {
  const auto id = GENERATE(as<std::string>{}, "http://localhost", "http://localhost/",
                           "http://localhost?", "http://localhost/?");
  const auto client = parse_loopback_client_id(id).value();
  CHECK(client.client_id == id);
  CHECK(client.redirect_uris == std::vector<std::string>{"http://127.0.0.1/", "http://[::1]/"});
  CHECK(client.scope == "atproto");
  CHECK(client.auth_method == ClientAuthMethod::none);
}

TEST_CASE("C1.2: what is no loopback client_id is refused", "[client]") {
  const auto id = GENERATE(
      as<std::string>{}, "", "localhost", "https://localhost", "HTTP://localhost",
      "http://LOCALHOST", "http://127.0.0.1", "http://[::1]", "http://localhost:80",
      "http://localhost:8080/", "http://localhost:", "http://localhost/callback",
      "http://localhost//", "http://localhost.", "http://localhost.test.dev",
      "http://localhost@test.dev", "http://user@localhost", "http://user:pw@localhost/",
      "http://localhost#", "http://localhost/#x", "http://localhost?scope=atproto#x",
      "http://localhost?x=1", "http://localhost?scope=atproto&client_name=x",
      "http://localhost?Scope=atproto", "http://localhost?scope=atproto&scope=atproto",
      "http://localhost?scope=", "http://localhost?scope=email",
      "http://localhost?scope=atproto%20openid", "http://localhost?scope=atproto%20%20x",
      "http://localhost?scope=%zz", "http://localhost?scope=atproto email",
      "http://localhost?redirect_uri=", "http://localhost?redirect_uri=http%3A%2F%2Flocalhost%2F",
      "http://localhost?redirect_uri=https%3A%2F%2F127.0.0.1%2F",
      "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.2%2F",
      "http://localhost?redirect_uri=http%3A%2F%2Ftest.dev%2F",
      "http://localhost?redirect_uri=http%3A%2F%2Fu%40127.0.0.1%2F",
      "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2F%23x",
      "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2F&redirect_uri=x",
      "http://localhost?atproto", "http://localhost&scope=atproto");
  CAPTURE(id);
  const auto client = parse_loopback_client_id(id);
  REQUIRE_FALSE(client);
  CHECK(client.error().code == ErrorCode::invalid_argument);
  CHECK(client.error().detail == "client.not_loopback");
}

TEST_CASE("C1.11: a loopback client must ask for atproto, and never for openid", "[client]") {
  CHECK(detail_of(loopback_client_identity("")) == "client.scope_without_atproto");
  CHECK(detail_of(loopback_client_identity("transition:generic")) ==
        "client.scope_without_atproto");
  CHECK(detail_of(loopback_client_identity("Atproto")) == "client.scope_without_atproto");
  CHECK(detail_of(loopback_client_identity("atproto openid")) == "client.openid_scope");
  CHECK(detail_of(loopback_client_identity("openid")) == "client.openid_scope");
  CHECK(detail_of(loopback_client_identity("atproto  x")) == "scope.malformed");
}

TEST_CASE("C1.2: the path of a loopback redirect must be a plain path", "[client]") {
  const auto path = GENERATE(as<std::string>{}, "", "callback", ":8080/x", "/a b", "/a?b=c", "/a#b",
                             "/%zz", "?", "@test.dev/", ".test.dev/");
  CAPTURE(path);
  const auto client = loopback_client_identity("atproto", path);
  REQUIRE_FALSE(client);
  CHECK(client.error().detail == "client.redirect_path");
}

TEST_CASE("C1.11: what is asked for must be declared", "[client]") {
  const ClientIdentity client{
      "https://app.test.dev/c.json", {}, "atproto transition:generic x", ClientAuthMethod::none};
  CHECK(check_atproto_scope(client, "x atproto"));
  CHECK(check_atproto_scope(client, "atproto transition:generic x"));
  CHECK(detail_of(check_atproto_scope(client, "atproto y")) == "client.scope_not_declared");
  CHECK(detail_of(check_atproto_scope(client, "atproto transition:email")) ==
        "client.scope_not_declared");
  CHECK(detail_of(check_atproto_scope(client, "x")) == "client.scope_without_atproto");
  CHECK(detail_of(check_atproto_scope(client, "")) == "client.scope_without_atproto");
  CHECK(detail_of(check_atproto_scope(client, "atproto openid")) == "client.openid_scope");
  CHECK(detail_of(check_atproto_scope(client, "atproto\tx")) == "scope.malformed");
}

TEST_CASE("redirects: a loopback redirect without a port allows any port", "[client]") {
  const auto client = loopback_client_identity("atproto").value();
  CHECK(allows_redirect(client, "http://127.0.0.1:49152/callback"));
  CHECK(allows_redirect(client, "http://127.0.0.1/callback"));
  CHECK(allows_redirect(client, "http://[::1]:1/callback"));
}

TEST_CASE("redirects: everything but the port must be equal", "[client]") {
  const auto client = loopback_client_identity("atproto").value();
  const auto uri =
      GENERATE(as<std::string>{}, "", "http://127.0.0.1:49152/", "http://127.0.0.1:49152/callback/",
               "http://127.0.0.1:49152/Callback", "http://127.0.0.1:49152/callback?x=1",
               "http://127.0.0.1:49152/callback?", "http://127.0.0.1:49152/callback#x",
               "https://127.0.0.1:49152/callback", "http://localhost:49152/callback",
               "http://127.0.0.2:49152/callback", "http://127.0.0.1.test.dev/callback",
               "http://u@127.0.0.1/callback", "http://127.0.0.1:0/callback");
  CAPTURE(uri);
  CHECK_FALSE(allows_redirect(client, uri));
}

TEST_CASE("redirects: other redirects must be equal to the character", "[client]") {
  const ClientIdentity client{"https://app.test.dev/c.json",
                              {"https://app.test.dev/cb", "http://127.0.0.1:8080/cb",
                               "dev.test.app:/cb", "http://localhost/cb"},
                              "atproto",
                              ClientAuthMethod::none};
  CHECK(allows_redirect(client, "https://app.test.dev/cb"));
  CHECK(allows_redirect(client, "http://127.0.0.1:8080/cb"));
  CHECK(allows_redirect(client, "dev.test.app:/cb"));
  CHECK_FALSE(allows_redirect(client, "https://app.test.dev:8443/cb"));
  CHECK_FALSE(allows_redirect(client, "https://app.test.dev/cb/"));
  CHECK_FALSE(allows_redirect(client, "https://APP.test.dev/cb"));
  CHECK_FALSE(allows_redirect(client, "http://127.0.0.1:8081/cb"));
  CHECK_FALSE(allows_redirect(client, "dev.test.app:/cb2"));
  CHECK_FALSE(allows_redirect(client, "http://localhost:8080/cb"));
  CHECK_FALSE(allows_redirect(ClientIdentity{}, "https://app.test.dev/cb"));
}

TEST_CASE("C1.9: a public client sends its client_id and nothing else", "[client]") {
  const auto client = latchkey::public_client("http://localhost?scope=atproto");
  CHECK(client->method() == ClientAuthMethod::none);
  CHECK(client->kid().empty());
  for (int attempt = 0; attempt < 2; ++attempt) {
    latchkey::ClientRequest request{.url = latchkey::Url::parse("https://pds.test.dev/t").value()};
    CHECK(client->apply(request, "https://pds.test.dev", "some kid"));
    CHECK_FALSE(request.authorization);
    CHECK(std::move(request.form).finish().expose() ==
          std::string("client_id=http%3A%2F%2Flocalhost%3Fscope%3Datproto"));
  }
}

TEST_CASE("endpoints: only https, or http to this machine, and without a fragment", "[client]") {
  using latchkey::parse_endpoint;
  CHECK(parse_endpoint("https://pds.test.dev/oauth/token?x=1", "token"));
  CHECK(parse_endpoint("http://localhost:2583/oauth/token", "token"));
  CHECK(detail_of(parse_endpoint("", "token")) == "token.no_endpoint");
  CHECK(detail_of(parse_endpoint("http://pds.test.dev/oauth/token", "token")) == "url.not_https");
  CHECK(detail_of(parse_endpoint("javascript://pds.test.dev/%0aalert(1)", "token")) ==
        "url.not_https");
  CHECK(detail_of(parse_endpoint("https://pds.test.dev/t#", "token")) == "token.endpoint_fragment");
  CHECK(detail_of(parse_endpoint("https://u:p@pds.test.dev/t", "token")) == "url.userinfo");
  CHECK(detail_of(parse_endpoint("/oauth/token", "token")) == "url.malformed");
}
