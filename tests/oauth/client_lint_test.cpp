// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.oauth.client_document;
import latchkey.oauth.client_finding;
import latchkey.oauth.client_lint;
import latchkey.test.proof_key;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kClient = "https://app.example.com/oauth/client.json";

Members web_document() {
  return {{"client_id", quoted(kClient)},
          {"client_name", quoted("Example")},
          {"client_uri", quoted("https://app.example.com")},
          {"application_type", quoted("web")},
          {"grant_types", R"(["authorization_code","refresh_token"])"},
          {"response_types", R"(["code"])"},
          {"scope", quoted("atproto transition:generic")},
          {"redirect_uris", R"(["https://app.example.com/callback"])"},
          {"dpop_bound_access_tokens", "true"},
          {"token_endpoint_auth_method", quoted("none")}};
}

Members native_document() {
  auto document = web_document();
  document["application_type"] = quoted("native");
  document["redirect_uris"] =
      R"(["com.example.app:/callback","http://127.0.0.1/callback","https://app.example.com/back"])";
  return document;
}

std::string key_of(const ProofKey& key, std::string_view kid, std::string_view more = {}) {
  return "{\"kid\":" + quoted(kid) + "," + std::string(more) + key.jwk().substr(1);
}

std::string set_of(const std::string& keys) {
  return R"({"keys":[)" + keys + "]}";
}

Members confidential_document() {
  const ProofKey key;
  auto document = web_document();
  document["token_endpoint_auth_method"] = quoted("private_key_jwt");
  document["token_endpoint_auth_signing_alg"] = quoted("ES256");
  document["jwks"] = set_of(key_of(key, "one", R"("use":"sig","alg":"ES256",)"));
  return document;
}

/// The ids of what is found, "?" behind those of warnings.
std::string found(const std::string& json) {
  std::string ids;
  for (const auto& finding : lint_client_document(json)) {
    CHECK(finding.id.starts_with(finding.rule + "."));
    CHECK_FALSE(finding.message.empty());
    ids += (ids.empty() ? "" : " ") + finding.id;
    if (finding.severity == ClientFinding::Severity::warning) ids += "?";
  }
  return ids;
}

struct Case {
  const char* member;
  std::string value;  ///< empty: the member is left out
  const char* ids;
};

void check_all(const std::function<Members()>& base, const std::vector<Case>& cases) {
  for (const auto& one : cases) {
    auto document = base();
    if (one.value.empty()) {
      document.erase(one.member);
    } else {
      document[one.member] = one.value;
    }
    INFO(one.member << ": " << one.value);
    CHECK(found(to_json(document)) == one.ids);
  }
}

std::string list(std::string_view one) {
  return "[" + quoted(one) + "]";
}

}  // namespace

TEST_CASE("C1.4 to C1.10: documents that keep the rules have no findings", "[client]") {
  CHECK(found(to_json(web_document())).empty());
  CHECK(found(to_json(native_document())).empty());
  CHECK(found(to_json(confidential_document())).empty());
}

TEST_CASE("C1.4: text that is no document is one finding", "[client]") {
  for (const char* text : {"", "null", "[]", "{", "{}x", R"({"a":1,"a":2})", "<html>"}) {
    INFO(text);
    CHECK(found(text) == "C1.4.not_json");
  }
  CHECK(found("{}") ==
        "C1.1.missing C1.5.missing C1.6.response_types_missing C1.6.not_dpop_bound "
        "C1.6.scope_missing C1.8.method C1.6.redirects_missing");
}

TEST_CASE("C1.1: table of bad client_ids", "[client]") {
  check_all(
      [] {
        auto document = web_document();
        document.erase("client_uri");
        return document;
      },
      {{"client_id", "", "C1.1.missing"},
       {"client_id", quoted(""), "C1.1.missing"},
       {"client_id", "1", "C1.4.wrong_type C1.1.missing"},
       {"client_id", quoted("client"), "C1.1.not_url"},
       {"client_id", quoted("app.example.com/client.json"), "C1.1.not_url"},
       {"client_id", quoted("https:///client.json"), "C1.1.not_url"},
       {"client_id", quoted("https://app.example.com/a b"), "C1.1.not_url"},
       {"client_id", quoted("https://app.example.com/a\\\\b"), "C1.1.not_url"},
       {"client_id", quoted("https://exa_mple..com/c"), "C1.1.not_url"},
       {"client_id", quoted("https://0x7f.1/c"), "C1.1.not_url"},
       {"client_id", quoted("https://app.example.com:/c"), "C1.1.not_url"},
       {"client_id", quoted("https://app.example.com:99999/c"), "C1.1.not_url"},
       {"client_id", quoted("http://app.example.com/c"), "C1.1.not_https"},
       {"client_id", quoted("ftp://app.example.com/c"), "C1.1.not_https"},
       {"client_id", quoted("https://me@app.example.com/c"), "C1.1.credentials"},
       {"client_id", quoted("https://me:secret@app.example.com/c"), "C1.1.credentials"},
       {"client_id", quoted("https://app.example.com:8443/c"), "C1.1.port"},
       {"client_id", quoted("https://app.example.com:443/c"), "C1.1.port"},
       {"client_id", quoted("https://app.example.com/c#top"), "C1.1.fragment"},
       {"client_id", quoted("https://app.example.com/c#"), "C1.1.fragment"},
       {"client_id", quoted("https://app.example.com/"), "C1.1.no_path"},
       {"client_id", quoted("https://app.example.com"), "C1.1.no_path C1.1.not_canonical"},
       {"client_id", quoted("https://app.example.com/c/"), "C1.1.trailing_slash"},
       {"client_id", quoted("https://192.0.2.1/c"), "C1.1.ip_host"},
       {"client_id", quoted("https://[2001:db8::1]/c"), "C1.1.ip_host"},
       {"client_id", quoted("https://intranet/c"), "C1.1.local_host"},
       {"client_id", quoted("https://localhost/c"), "C1.1.local_host"},
       {"client_id", quoted("https://app.localhost/c"), "C1.1.local_host"},
       {"client_id", quoted("https://app.test/c"), "C1.1.local_host"},
       {"client_id", quoted("https://app.local/c"), "C1.1.local_host"},
       {"client_id", quoted("https://app.invalid/c"), "C1.1.local_host"},
       {"client_id", quoted("https://app.example/c"), "C1.1.local_host"},
       {"client_id", quoted("HTTPS://app.example.com/c"), "C1.1.not_canonical"},
       {"client_id", quoted("https://App.example.com/c"), "C1.1.not_canonical"},
       {"client_id", quoted("https://app.example.com/a/../c"), "C1.1.not_canonical"},
       {"client_id", quoted("https://app.example.com/a/."), "C1.1.not_canonical"},
       {"client_id", quoted("https://app.example.com/c?v=1"), "C1.1.query?"},
       {"client_id", quoted("http://localhost"), "C1.2.no_document"},
       {"client_id", quoted("http://localhost?scope=atproto"), "C1.2.no_document"},
       {"client_id", quoted("http://127.0.0.1/c"), "C1.1.not_https C1.1.ip_host"}});
}

TEST_CASE("C1.5: table of bad grant_types", "[client]") {
  check_all(
      web_document,
      {{"grant_types", "", "C1.5.missing"},
       {"grant_types", quoted("authorization_code"), "C1.4.wrong_type C1.5.missing"},
       {"grant_types", "[1]", "C1.4.wrong_type C1.5.missing"},
       {"grant_types", "[]", "C1.5.no_authorization_code C1.5.no_refresh_token?"},
       {"grant_types", list("authorization_code"), "C1.5.no_refresh_token?"},
       {"grant_types", list("refresh_token"), "C1.5.no_authorization_code"},
       {"grant_types", R"(["authorization_code","refresh_token","implicit"])", "C1.5.unsupported"},
       {"grant_types", R"(["authorization_code","refresh_token","client_credentials"])",
        "C1.5.unsupported"},
       {"grant_types", R"(["authorization_code","refresh_token","refresh_token"])", "C1.5.twice"}});
}

TEST_CASE("C1.6: table of bad answers, scopes and bindings", "[client]") {
  check_all(web_document,
            {{"response_types", "", "C1.6.response_types_missing"},
             {"response_types", quoted("code"), "C1.4.wrong_type C1.6.response_types_missing"},
             {"response_types", "[]", "C1.6.no_code"},
             {"response_types", list("token"), "C1.6.no_code"},
             {"scope", "", "C1.6.scope_missing"},
             {"scope", list("atproto"), "C1.4.wrong_type C1.6.scope_missing"},
             {"scope", quoted(""), "C1.6.scope_without_atproto"},
             {"scope", quoted("transition:generic"), "C1.6.scope_without_atproto"},
             {"scope", quoted("Atproto"), "C1.6.scope_without_atproto"},
             {"scope", quoted("atproto  transition:generic"), "C1.6.scope_malformed"},
             {"scope", quoted("atproto openid"), "C1.6.scope_openid"},
             {"scope", quoted("atproto atproto"), "C1.6.scope_twice"},
             {"dpop_bound_access_tokens", "", "C1.6.not_dpop_bound"},
             {"dpop_bound_access_tokens", "false", "C1.6.not_dpop_bound"},
             {"dpop_bound_access_tokens", quoted("true"), "C1.4.wrong_type C1.6.not_dpop_bound"},
             {"redirect_uris", "", "C1.6.redirects_missing"},
             {"redirect_uris", "[]", "C1.6.redirects_missing"},
             {"redirect_uris", quoted("https://app.example.com/callback"),
              "C1.4.wrong_type C1.6.redirects_missing"},
             {"id_token_signed_response_alg", quoted("ES256"), "C1.6.foreign_member"},
             {"default_max_age", "3600", "C1.6.foreign_member"},
             {"tls_client_certificate_bound_access_tokens", "true", "C1.6.foreign_member"},
             {"tls_client_certificate_bound_access_tokens", "false", ""}});
}

TEST_CASE("C1.7: table of bad application types and pages", "[client]") {
  check_all(web_document,
            {{"application_type", "", ""},
             {"application_type", quoted("desktop"), "C1.7.application_type"},
             {"application_type", quoted("Web"), "C1.7.application_type"},
             {"client_uri", quoted("http://app.example.com"), "C1.7.client_uri"},
             {"client_uri", quoted("example"), "C1.7.client_uri"},
             {"client_uri", quoted("https://example.com"), "C1.7.client_uri_host"},
             {"client_uri", quoted("https://app.example.com:8443"), "C1.7.client_uri_host"},
             {"client_uri", quoted("https://app.example.com/about"), "C1.7.client_uri_path"},
             {"client_uri", quoted("https://app.example.com/oaut"), "C1.7.client_uri_path"},
             {"client_uri", quoted("https://app.example.com/oauth"), ""},
             {"client_uri", quoted("https://app.example.com/oauth/"), ""},
             {"client_uri", quoted(kClient), ""},
             {"logo_uri", quoted("http://cdn.example.com/l.png"), "C1.7.logo_uri"},
             {"logo_uri", quoted("https://cdn.example.com/l.png"), ""},
             {"logo_uri", quoted("data:image/png;base64,AA"), "C1.7.logo_uri"},
             {"tos_uri", quoted("http://app.example.com/tos"), "C1.7.tos_uri"},
             {"policy_uri", quoted("policy"), "C1.7.policy_uri"},
             {"policy_uri", "1", "C1.4.wrong_type"}});
}

TEST_CASE("C1.8: table of bad methods, algorithms and keys of confidential clients", "[client]") {
  const ProofKey key, other;
  const std::string good = key_of(key, "one");
  check_all(
      confidential_document,
      {{"token_endpoint_auth_method", "", "C1.8.method"},
       {"token_endpoint_auth_method", quoted("client_secret_basic"), "C1.8.method"},
       {"token_endpoint_auth_method", "true", "C1.4.wrong_type C1.8.method"},
       {"application_type", quoted("native"), "C1.8.native"},
       {"token_endpoint_auth_signing_alg", "", "C1.8.alg_missing"},
       {"token_endpoint_auth_signing_alg", quoted("none"), "C1.8.alg_none"},
       {"token_endpoint_auth_signing_alg", quoted("RS256"), "C1.8.alg"},
       {"jwks", "", "C1.8.no_keys"},
       {"jwks", set_of(""), "C1.8.no_keys"},
       {"jwks", "[" + good + "]", "C1.8.jwks"},
       {"jwks", R"({"keys":{}})", "C1.8.jwks"},
       {"jwks_uri", quoted("https://app.example.com/jwks.json"), "C1.8.both_jwks"},
       {"jwks_uri", quoted("http://app.example.com/jwks.json"), "C1.8.both_jwks C1.8.jwks_uri"},
       {"jwks", set_of(key.jwk()), "C1.8.kid_missing"},
       {"jwks", set_of(good + "," + key_of(other, "one")), "C1.8.kid_twice"},
       {"jwks", set_of(good + "," + key_of(other, "two")), ""},
       {"jwks", set_of("{\"kid\":\"one\"," + key.private_jwk().substr(1)), "C1.8.private_key"},
       {"jwks", set_of(key_of(key, "one", R"("use":"enc",)")), "C1.8.no_es256_key"},
       {"jwks", set_of(key_of(key, "one", R"("alg":"ES384",)")), "C1.8.no_es256_key"},
       {"jwks", set_of(R"({"kid":"r","kty":"RSA","n":"AQAB","e":"AQAB"})"), "C1.8.no_es256_key"},
       {"jwks", set_of(R"({"kid":"r","kty":"EC","crv":"P-256","x":"AA","y":"AA"})"),
        "C1.8.key C1.8.no_es256_key"},
       {"client_secret", quoted("s"), "C1.9.secret"}});
  auto elsewhere = confidential_document();
  elsewhere.erase("jwks");
  elsewhere["jwks_uri"] = quoted("https://keys.example.com/jwks.json");
  CHECK(found(to_json(elsewhere)).empty());
}

TEST_CASE("C1.9: table of what a public client must not have", "[client]") {
  const ProofKey key;
  check_all(web_document, {{"token_endpoint_auth_signing_alg", quoted("ES256"), "C1.9.alg"},
                           {"client_secret", quoted("s"), "C1.9.secret"},
                           {"jwks", set_of(key_of(key, "one")), "C1.9.keys?"},
                           {"jwks_uri", quoted("https://app.example.com/jwks.json"), "C1.9.keys?"},
                           {"jwks", set_of(key.private_jwk()), "C1.9.keys? C1.8.private_key"}});
}

TEST_CASE("C1.10: table of bad redirects of web clients", "[client]") {
  check_all(web_document,
            {{"redirect_uris", list("/callback"), "C1.10.malformed"},
             {"redirect_uris", list(""), "C1.10.malformed"},
             {"redirect_uris", list("https://app.example.com/a b"), "C1.10.malformed"},
             {"redirect_uris", list("https:/app.example.com"), "C1.10.malformed"},
             {"redirect_uris", list("https://app.example.com/cb#x"), "C1.10.fragment"},
             {"redirect_uris", list("https://me:pw@app.example.com/cb"), "C1.10.credentials"},
             {"redirect_uris", list("https://app.example.com:443/cb"), "C1.10.default_port"},
             {"redirect_uris", list("https://app.example.com:8443/cb"), ""},
             {"redirect_uris", list("https://other.example.com/cb"), ""},
             {"redirect_uris", list("https://127.0.0.1/cb"), "C1.10.local_host"},
             {"redirect_uris", list("https://localhost/cb"), "C1.10.local_host"},
             {"redirect_uris", list("https://app.local/cb"), "C1.10.local_host"},
             {"redirect_uris", list("http://app.example.com/cb"), "C1.10.not_https"},
             {"redirect_uris", list("http://localhost/cb"), "C1.10.localhost"},
             {"redirect_uris", list("http://localhost:8080/cb"), "C1.10.localhost"},
             {"redirect_uris", list("http://127.0.0.1/cb"), "C1.10.loopback_not_native"},
             {"redirect_uris", list("http://[::1]/cb"), "C1.10.loopback_not_native"},
             {"redirect_uris", list("com.example.app:/cb"), "C1.10.private_use_web"},
             {"redirect_uris", list("javascript:alert(1)"), "C1.10.private_use_web"},
             {"redirect_uris", R"(["https://app.example.com/cb","https://app.example.com/cb"])",
              "C1.10.twice?"}});
}

TEST_CASE("C1.10: table of bad redirects of native clients", "[client]") {
  check_all(native_document,
            {{"redirect_uris", list("https://other.example.com/cb"), "C1.10.other_origin"},
             {"redirect_uris", list("https://app.example.com:8443/cb"), "C1.10.other_origin"},
             {"redirect_uris", list("http://app.example.com/cb"), "C1.10.not_https"},
             {"redirect_uris", list("http://127.0.0.2/cb"), "C1.10.not_https"},
             {"redirect_uris", list("http://localhost/cb"), "C1.10.localhost"},
             {"redirect_uris", list("http://127.0.0.1:8080/cb"), ""},
             {"redirect_uris", list("http://[::1]/cb"), ""},
             {"redirect_uris", list("app:/cb"), "C1.10.private_use_scheme"},
             {"redirect_uris", list("com.example:/cb"), "C1.10.private_use_scheme"},
             {"redirect_uris", list("app.example.com:/cb"), "C1.10.private_use_scheme"},
             {"redirect_uris", list("com.example.app.more:/cb"), "C1.10.private_use_scheme"},
             {"redirect_uris", list("com.example.app://cb"), "C1.10.private_use_slash"},
             {"redirect_uris", list("com.example.app:cb"), "C1.10.private_use_slash"},
             {"redirect_uris", list("com.example.app:/"), "C1.10.private_use_slash"},
             {"redirect_uris", list("com.example.app:/cb#x"), "C1.10.fragment"},
             {"redirect_uris", list("com.example.app:/cb/more"), ""}});
}

TEST_CASE("has_errors: warnings alone are none", "[client]") {
  auto document = web_document();
  document["grant_types"] = list("authorization_code");
  CHECK_FALSE(has_errors(lint_client_document(to_json(document))));
  document["scope"] = quoted("email");
  CHECK(has_errors(lint_client_document(to_json(document))));
}
