// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.server_metadata;
import latchkey.test.oauth;

using latchkey::ErrorCode;
using latchkey::HttpRule;
using latchkey::ResourceMetadata;
using latchkey::test::read_file;
using latchkey::test::typed_answer;
using nlohmann::json;

namespace {

json entryway() {
  return json::parse(read_file(LATCHKEY_TEST_DATA "/metadata/entryway_server.json"));
}
json independent() {
  return json::parse(read_file(LATCHKEY_TEST_DATA "/metadata/independent_pds_server.json"));
}

// The detail of the rule that a document breaks, or "" if it keeps them all.
std::string broken_rule(const json& document, std::string_view pds = "",
                        HttpRule rule = HttpRule::https_only) {
  const auto server = process_server_metadata_response(document.at("issuer").get<std::string>(),
                                                       typed_answer(200, document.dump()));
  const auto checked = check_atproto_server(server.value(), pds, rule);
  if (checked) return "";
  CHECK(checked.error().code == ErrorCode::invalid_metadata);
  CHECK(checked.error().detail.starts_with("metadata.atproto."));
  return checked.error().detail.substr(std::string_view("metadata.atproto.").size());
}

json with(json document, const std::string& name, const json& value) {
  document[name] = value;
  return document;
}

json without(json document, const std::string& name) {
  document.erase(name);
  return document;
}

std::string server_of(const std::vector<std::string>& servers,
                      HttpRule rule = HttpRule::https_only) {
  const auto url =
      atproto_authorization_server(ResourceMetadata{"https://pds.test.dev", servers}, rule);
  return url ? url->text() : url.error().detail;
}

}  // namespace

TEST_CASE("C3: an entryway and an independent PDS keep every rule", "[metadata]") {
  CHECK(broken_rule(entryway()).empty());
  CHECK(broken_rule(entryway(), "https://pds.test.dev").empty());
  CHECK(broken_rule(independent()).empty());
  CHECK(broken_rule(independent(), "https://pds.test.dev").empty());
}

TEST_CASE("C3.5 to C3.11: each member, taken away, is missed", "[metadata]") {
  struct Row {
    std::string_view member, rule;
  };
  const Row rows[] = {
      {"authorization_endpoint", "endpoint_missing"},
      {"token_endpoint", "endpoint_missing"},
      {"pushed_authorization_request_endpoint", "endpoint_missing"},
      {"response_types_supported", "response_type"},
      {"grant_types_supported", "grant_type"},
      {"code_challenge_methods_supported", "code_challenge_method"},
      {"token_endpoint_auth_methods_supported", "auth_method"},
      {"token_endpoint_auth_signing_alg_values_supported", "auth_signing_alg"},
      {"scopes_supported", "scope"},
      {"authorization_response_iss_parameter_supported", "iss_parameter"},
      {"require_pushed_authorization_requests", "par_not_required"},
      {"client_id_metadata_document_supported", "client_id_metadata"},
      {"dpop_signing_alg_values_supported", "dpop_alg"},
  };
  for (const auto& [member, rule] : rows) {
    CAPTURE(member);
    CHECK(broken_rule(without(entryway(), std::string(member))) == rule);
    CHECK(broken_rule(without(independent(), std::string(member))) == rule);
  }
}

TEST_CASE("C3.11: what may be missing may be missing", "[metadata]") {
  CHECK(broken_rule(without(entryway(), "require_request_uri_registration")).empty());
  CHECK(broken_rule(without(entryway(), "revocation_endpoint")).empty());
  CHECK(broken_rule(without(entryway(), "jwks_uri")).empty());
  CHECK(broken_rule(without(independent(), "protected_resources"), "https://pds.test.dev").empty());
}

TEST_CASE("C3.5: an issuer must be an origin in its one spelling", "[metadata]") {
  const auto issuer =
      GENERATE(as<std::string>{}, "https://entryway.test.dev/", "https://Entryway.test.dev",
               "https://entryway.test.dev:443", "https://entryway.test.dev/oauth",
               "https://entryway.test.dev?x=1", "https://entryway.test.dev#x",
               "https://u@entryway.test.dev", "http://entryway.test.dev", "http://localhost:2583",
               "entryway.test.dev", "https://0x7f.1", "ftp://entryway.test.dev");
  CAPTURE(issuer);
  CHECK(broken_rule(with(entryway(), "issuer", issuer)) == "issuer_not_origin");
}

TEST_CASE("C3.6: each endpoint must be https and have no fragment", "[metadata]") {
  for (const auto* member : {"authorization_endpoint", "token_endpoint",
                             "pushed_authorization_request_endpoint", "revocation_endpoint"}) {
    for (const auto* url :
         {"http://entryway.test.dev/x", "http://localhost:2583/x", "/oauth/x", "x",
          "javascript://entryway.test.dev/%0ax", "https://entryway.test.dev/x#y",
          "https://u:p@entryway.test.dev/x", "https://entryway.test.dev:0/x", "https:///x"}) {
      CAPTURE(member, url);
      CHECK(broken_rule(with(entryway(), member, url)) == "endpoint_not_https");
    }
  }
}

TEST_CASE("C3.6: http to this machine is allowed by its switch only, and to no other host",
          "[metadata]") {
  auto document = json::parse([] {
    auto text = entryway().dump();
    for (auto at = text.find("https://entryway.test.dev"); at != std::string::npos;
         at = text.find("https://entryway.test.dev")) {
      text.replace(at, std::string_view("https://entryway.test.dev").size(),
                   "http://localhost:2583");
    }
    return text;
  }());
  CHECK(broken_rule(document, "", HttpRule::allow_http_for_loopback).empty());
  CHECK(broken_rule(document) == "issuer_not_origin");
  CHECK(broken_rule(with(document, "token_endpoint", "http://entryway.test.dev/x"), "",
                    HttpRule::allow_http_for_loopback) == "endpoint_not_https");
}

TEST_CASE("C3.7 to C3.11: each list must have its value, with case", "[metadata]") {
  struct Row {
    std::string_view member;
    json value;
    std::string_view rule;
  };
  const Row rows[] = {
      {"response_types_supported", {"code id_token", "Code", "token"}, "response_type"},
      {"grant_types_supported", {"authorization_code"}, "grant_type"},
      {"grant_types_supported", {"refresh_token"}, "grant_type"},
      {"code_challenge_methods_supported", {"plain"}, "code_challenge_method"},
      {"code_challenge_methods_supported", {"s256"}, "code_challenge_method"},
      {"token_endpoint_auth_methods_supported", {"none"}, "auth_method"},
      {"token_endpoint_auth_methods_supported",
       {"private_key_jwt", "client_secret_basic"},
       "auth_method"},
      {"token_endpoint_auth_signing_alg_values_supported", {"RS256", "ES256K"}, "auth_signing_alg"},
      {"token_endpoint_auth_signing_alg_values_supported", {"ES256", "none"}, "auth_signing_alg"},
      {"scopes_supported", {"transition:generic", "ATPROTO"}, "scope"},
      {"dpop_signing_alg_values_supported", {"ES256K", "ES384"}, "dpop_alg"},
  };
  for (const auto& [member, value, rule] : rows) {
    CAPTURE(member, value.dump());
    CHECK(broken_rule(with(entryway(), std::string(member), value)) == rule);
  }
  for (const auto& [member, value, rule] : rows) {
    CAPTURE(member);
    CHECK(broken_rule(with(entryway(), std::string(member), json::array())) == rule);
  }
}

TEST_CASE("C3.10, C3.11: each flag that is false is refused", "[metadata]") {
  CHECK(broken_rule(with(entryway(), "authorization_response_iss_parameter_supported", false)) ==
        "iss_parameter");
  CHECK(broken_rule(with(entryway(), "require_pushed_authorization_requests", false)) ==
        "par_not_required");
  CHECK(broken_rule(with(entryway(), "client_id_metadata_document_supported", false)) ==
        "client_id_metadata");
  CHECK(broken_rule(with(entryway(), "require_request_uri_registration", false)) ==
        "request_uri_registration");
}

TEST_CASE("C3.13: protected_resources, if given, must name the PDS", "[metadata]") {
  const auto document =
      with(entryway(), "protected_resources", {"https://one.dev", "https://two.dev"});
  CHECK(broken_rule(document, "https://two.dev").empty());
  CHECK(broken_rule(document, "").empty());
  CHECK(broken_rule(document, "https://pds.test.dev") == "protected_resources");
  CHECK(broken_rule(document, "https://two.dev/") == "protected_resources");
  CHECK(broken_rule(document, "https://TWO.dev") == "protected_resources");
}

TEST_CASE("C3.2: a PDS names exactly one authorization server", "[metadata]") {
  CHECK(server_of({"https://entryway.test.dev"}) == "https://entryway.test.dev/");
  CHECK(server_of({"https://entryway.test.dev:8443"}) == "https://entryway.test.dev:8443/");
  CHECK(server_of({}) == "metadata.atproto.one_server");
  CHECK(server_of({"https://a.dev", "https://b.dev"}) == "metadata.atproto.one_server");
  CHECK(server_of({"https://a.dev", "https://a.dev"}) == "metadata.atproto.one_server");
}

TEST_CASE("C3.2: an authorization server must be a simple https origin", "[metadata]") {
  const auto server = GENERATE(as<std::string>{}, "", "https://a.dev/", "https://a.dev:443",
                               "https://a.dev/oauth", "https://a.dev?x", "https://a.dev#x",
                               "https://u@a.dev", "http://a.dev", "http://localhost:2583",
                               "https://A.dev", "a.dev", "https://2130706433", "https://a.dev\n");
  CAPTURE(server);
  CHECK(server_of({server}) == "metadata.atproto.server_not_origin");
}

TEST_CASE("C3.2: http to this machine is an authorization server by its switch only",
          "[metadata]") {
  CHECK(server_of({"http://localhost:2583"}, HttpRule::allow_http_for_loopback) ==
        "http://localhost:2583/");
  CHECK(server_of({"http://a.dev"}, HttpRule::allow_http_for_loopback) ==
        "metadata.atproto.server_not_origin");
}
