// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.server_metadata;
import latchkey.test.oauth;
import latchkey.test.outcome;

using latchkey::ErrorCode;
using latchkey::Url;
using latchkey::test::detail_of;
using latchkey::test::read_file;
using latchkey::test::typed_answer;
using nlohmann::json;

namespace {

constexpr std::string_view kIssuer = "https://entryway.test.dev";
constexpr std::string_view kPds = "https://pds.test.dev";

std::string server_text() {
  return read_file(LATCHKEY_TEST_DATA "/metadata/entryway_server.json");
}
std::string resource_text() {
  return read_file(LATCHKEY_TEST_DATA "/metadata/pds_resource.json");
}

auto read_server(std::string_view body) {
  return process_server_metadata_response(kIssuer, typed_answer(200, body));
}

std::string server_fault(std::string_view body) {
  const auto result = read_server(body);
  if (result) return "";
  CHECK(result.error().code == ErrorCode::invalid_metadata);
  return result.error().detail;
}

}  // namespace

TEST_CASE("C3.4: server metadata is asked for between host and path", "[metadata]") {
  const auto target = [](std::string_view issuer) {
    return build_server_metadata_request(Url::parse(issuer).value()).value().url.text();
  };
  CHECK(target("https://a.test.dev") ==
        "https://a.test.dev/.well-known/oauth-authorization-server");
  CHECK(target("https://a.test.dev/") ==
        "https://a.test.dev/.well-known/oauth-authorization-server");
  CHECK(target("https://a.test.dev:8443/t/1") ==
        "https://a.test.dev:8443/.well-known/oauth-authorization-server/t/1");
  CHECK(target("https://a.test.dev/t/") ==
        "https://a.test.dev/.well-known/oauth-authorization-server/t");
  const auto request = build_server_metadata_request(Url::parse(kIssuer).value()).value();
  CHECK(request.method == "GET");
  CHECK(*request.headers.find("accept") == "application/json");
  CHECK_FALSE(request.authorization);
}

TEST_CASE("C3.4: an issuer with a query or fragment is not asked", "[metadata]") {
  for (const auto* issuer :
       {"https://a.test.dev?x=1", "https://a.test.dev/?", "https://a.test.dev/#x"}) {
    const auto request = build_server_metadata_request(Url::parse(issuer).value());
    REQUIRE_FALSE(request);
    CHECK(request.error().detail == "metadata.issuer_url");
  }
}

TEST_CASE("C3.1: resource metadata is asked for at the origin", "[metadata]") {
  const auto request =
      build_resource_metadata_request(Url::parse("https://pds.test.dev/xrpc/x?y=1").value());
  CHECK(request.value().url.text() == "https://pds.test.dev/.well-known/oauth-protected-resource");
}

TEST_CASE("C3.4: a server's metadata is read, unknown members left alone", "[metadata]") {
  const auto server = read_server(server_text()).value();
  CHECK(server.issuer == kIssuer);
  CHECK(server.authorization_endpoint == "https://entryway.test.dev/oauth/authorize");
  CHECK(server.token_endpoint == "https://entryway.test.dev/oauth/token");
  CHECK(server.pushed_authorization_request_endpoint == "https://entryway.test.dev/oauth/par");
  CHECK(server.revocation_endpoint == "https://entryway.test.dev/oauth/revoke");
  CHECK(server.jwks_uri == "https://entryway.test.dev/oauth/jwks");
  CHECK(server.grant_types_supported ==
        std::vector<std::string>{"authorization_code", "refresh_token"});
  CHECK(server.scopes_supported.size() == 4);
  CHECK(server.require_pushed_authorization_requests == true);
  CHECK(server.device_authorization_endpoint.empty());
  CHECK(server.protected_resources.empty());
}

TEST_CASE("C3.4: only the issuer is demanded before a profile is applied", "[metadata]") {
  CHECK(server_fault(R"({"issuer":"https://entryway.test.dev"})").empty());
  CHECK(server_fault("{}") == "metadata.missing_member");
  CHECK(server_fault(R"({"issuer":""})") == "metadata.missing_member");
}

TEST_CASE("C3.1, C3.4: only status 200 is metadata", "[metadata]") {
  const int status =
      GENERATE(0, 100, 201, 204, 206, 301, 302, 304, 307, 400, 401, 404, 429, 500, 503);
  CAPTURE(status);
  const auto server =
      process_server_metadata_response(kIssuer, typed_answer(status, server_text()));
  REQUIRE_FALSE(server);
  CHECK(server.error().code == ErrorCode::invalid_metadata);
  CHECK(server.error().detail == "metadata.status");
  CHECK(server.error().http_status == status);
  const auto resource =
      process_resource_metadata_response(kPds, typed_answer(status, resource_text()));
  REQUIRE_FALSE(resource);
  CHECK(resource.error().detail == "metadata.status");
}

TEST_CASE("C3.1, C3.4: only JSON content is metadata", "[metadata]") {
  const auto type =
      GENERATE(as<std::string>{}, "", "text/html", "text/html; charset=utf-8", "text/plain",
               "application/jsonp", "application/octet-stream", "json", "text/json-seq");
  CAPTURE(type);
  const auto server =
      process_server_metadata_response(kIssuer, typed_answer(200, server_text(), type));
  REQUIRE_FALSE(server);
  CHECK(server.error().detail == "metadata.content_type");
  const auto resource =
      process_resource_metadata_response(kPds, typed_answer(200, resource_text(), type));
  REQUIRE_FALSE(resource);
  CHECK(resource.error().detail == "metadata.content_type");
}

TEST_CASE("C3.4: JSON content with parameters is metadata", "[metadata]") {
  CHECK(process_server_metadata_response(
      kIssuer, typed_answer(200, server_text(), "application/json; charset=utf-8")));
}

TEST_CASE("metadata: what is not one JSON object is refused", "[metadata]") {
  const auto body = GENERATE(as<std::string>{}, "", "<html></html>", "[]", "null", "\"x\"",
                             R"({"issuer":"https://entryway.test.dev")", R"({"issuer":"\ud800"})",
                             "{\"issuer\":\"https://entryway.test.dev\"} {}");
  CAPTURE(body);
  CHECK(server_fault(body) == "metadata.not_json");
}

TEST_CASE("metadata: a document nested too deep is refused", "[metadata]") {
  const std::string open(40, '['), close(40, ']');
  CHECK(server_fault(R"({"issuer":"https://entryway.test.dev","x":)" + open + close + "}") ==
        "metadata.not_json");
}

TEST_CASE("metadata: a huge list is read", "[metadata]") {
  auto document = json::parse(server_text());
  for (int i = 0; i < 20'000; ++i) document["scopes_supported"].push_back("s" + std::to_string(i));
  CHECK(read_server(document.dump()).value().scopes_supported.size() == 20'004);
}

TEST_CASE("metadata: a member named twice is refused, with equal values too", "[metadata]") {
  CHECK(server_fault(
            R"({"issuer":"https://entryway.test.dev","issuer":"https://entryway.test.dev"})") ==
        "metadata.duplicate_member");
  CHECK(server_fault(R"({"issuer":"https://entryway.test.dev","x":{"a":1,"a":2}})") ==
        "metadata.duplicate_member");
  CHECK(
      detail_of(process_resource_metadata_response(
          kPds,
          typed_answer(
              200,
              R"({"authorization_servers":["https://a.dev"],"authorization_servers":["https://b.dev"]})"))) ==
      "metadata.duplicate_member");
}

TEST_CASE("metadata: every member of another type is refused", "[metadata]") {
  const auto document = json::parse(server_text());
  for (const auto* name : {"issuer", "authorization_endpoint", "token_endpoint",
                           "pushed_authorization_request_endpoint", "revocation_endpoint",
                           "device_authorization_endpoint", "jwks_uri"}) {
    for (const auto& value :
         {json(nullptr), json(1), json(true), json::array({"x"}), json::object()}) {
      auto changed = document;
      changed[name] = value;
      CAPTURE(name, value.dump());
      CHECK(server_fault(changed.dump()) == "metadata.wrong_type");
    }
  }
  for (const auto* name :
       {"response_types_supported", "grant_types_supported", "code_challenge_methods_supported",
        "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported",
        "scopes_supported", "dpop_signing_alg_values_supported", "protected_resources"}) {
    for (const auto& value : {json(nullptr), json("code"), json::array({1}), json::array({nullptr}),
                              json::array({json::array({"code"})}), json::object()}) {
      auto changed = document;
      changed[name] = value;
      CAPTURE(name, value.dump());
      CHECK(server_fault(changed.dump()) == "metadata.wrong_type");
    }
  }
  for (const auto* name :
       {"authorization_response_iss_parameter_supported", "require_pushed_authorization_requests",
        "client_id_metadata_document_supported", "require_request_uri_registration"}) {
    for (const auto& value : {json(nullptr), json("true"), json(1), json::array({true})}) {
      auto changed = document;
      changed[name] = value;
      CAPTURE(name, value.dump());
      CHECK(server_fault(changed.dump()) == "metadata.wrong_type");
    }
  }
}

TEST_CASE("C3.5: the issuer must be the one that was asked, to the character", "[metadata]") {
  const auto issuer =
      GENERATE(as<std::string>{}, "https://entryway.test.dev/", "https://Entryway.test.dev",
               "HTTPS://entryway.test.dev", "https://entryway.test.dev:443",
               "https://entryway.test.dev:8443", "http://entryway.test.dev",
               "https://entryway.test.dev.evil.dev", "https://entryway.test.dev/oauth",
               "https://entryway.test.de", "https://evil.dev");
  CAPTURE(issuer);
  auto document = json::parse(server_text());
  document["issuer"] = issuer;
  CHECK(server_fault(document.dump()) == "metadata.issuer_mismatch");
}

TEST_CASE("C3.3: resource metadata is read, its resource may be missing", "[metadata]") {
  const auto resource =
      process_resource_metadata_response(kPds, typed_answer(200, resource_text())).value();
  CHECK(resource.resource == kPds);
  CHECK(resource.authorization_servers == std::vector<std::string>{"https://entryway.test.dev"});
  const auto without = process_resource_metadata_response(
      kPds, typed_answer(200, R"({"authorization_servers":["https://a.dev"]})"));
  CHECK(without.value().resource.empty());
  CHECK(process_resource_metadata_response(kPds, typed_answer(200, "{}"))
            .value()
            .authorization_servers.empty());
}

TEST_CASE("C3.3: a resource, if given, must equal the origin asked", "[metadata]") {
  const auto name =
      GENERATE(as<std::string>{}, "https://pds.test.dev/", "https://PDS.test.dev",
               "https://pds.test.dev:443", "http://pds.test.dev", "https://other.dev", "");
  CAPTURE(name);
  auto document = json::parse(resource_text());
  document["resource"] = name;
  const auto resource =
      process_resource_metadata_response(kPds, typed_answer(200, document.dump()));
  REQUIRE_FALSE(resource);
  CHECK(resource.error().code == ErrorCode::invalid_metadata);
  CHECK(resource.error().detail == "metadata.resource_mismatch");
}

TEST_CASE("C3.2: authorization_servers of another type are refused", "[metadata]") {
  const auto value = GENERATE(as<std::string>{}, "null", "\"https://a.dev\"", "[1]", "{}",
                              "[[\"https://a.dev\"]]");
  const auto resource = process_resource_metadata_response(
      kPds, typed_answer(200, "{\"authorization_servers\":" + value + "}"));
  REQUIRE_FALSE(resource);
  CHECK(resource.error().detail == "metadata.wrong_type");
}

TEST_CASE("metadata: errors show hostile texts without control characters", "[metadata]") {
  auto document = json::parse(server_text());
  document["issuer"] = "https://evil.dev/\x1b[2J\r\n";
  const auto server = read_server(document.dump());
  REQUIRE_FALSE(server);
  CHECK(server.error().message.find_first_of("\x1b\r\n") == std::string::npos);
}
