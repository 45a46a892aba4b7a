// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.oauth.server_metadata;
import latchkey.oidc.discovery;
import latchkey.test.oidc_tokens;
import latchkey.test.outcome;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;

namespace {

Members good_document(std::string_view issuer = kIssuer) {
  const std::string base = "https://id.example.com";
  return {{"issuer", quoted(issuer)},
          {"authorization_endpoint", quoted(base + "/authorize")},
          {"token_endpoint", quoted(base + "/token")},
          {"jwks_uri", quoted(base + "/jwks")},
          {"userinfo_endpoint", quoted(base + "/userinfo")},
          {"end_session_endpoint", quoted(base + "/logout")},
          {"response_types_supported", R"(["code","id_token"])"},
          {"subject_types_supported", R"(["public"])"},
          {"id_token_signing_alg_values_supported", R"(["RS256","ES256"])"},
          {"scopes_supported", R"(["openid","email"])"},
          {"claims_supported", R"(["sub"])"}};
}

std::string asked_for(std::string_view issuer) {
  const auto request = build_openid_configuration_request(Url::parse(issuer).value());
  return request ? request->url.text() : outcome(request);
}

std::string read_outcome(const Members& changes, std::string_view issuer = kIssuer,
                         HttpRule rule = HttpRule::https_only) {
  return outcome(process_openid_configuration_response(
      issuer, json_answer(200, to_json(with(good_document(), changes))), rule));
}

// A network with these documents, by path; all else is 404.
struct Site {
  std::map<std::string, Result<HttpResponse>> pages;
  ScriptedTransport transport{
      [this](const HttpRequest& request, const SendOptions&) -> Result<HttpResponse> {
        const auto found = pages.find(request.url.path());
        return found == pages.end() ? answer(404) : std::move(found->second);
      }};

  void serve(const std::string& path, Result<HttpResponse> response) {
    pages.insert_or_assign(path, std::move(response));
  }
  [[nodiscard]] std::vector<std::string> asked() const {
    std::vector<std::string> paths;
    for (const auto& request : transport.requests()) paths.push_back(request.url.path());
    return paths;
  }
};

const std::string kOAuth = "/.well-known/oauth-authorization-server";
const std::string kOpenId = "/.well-known/openid-configuration";

}  // namespace

TEST_CASE("discovery: the configuration is asked for behind the issuer", "[oidc]") {
  CHECK(asked_for("https://a.example") == "https://a.example" + kOpenId);
  CHECK(asked_for("https://a.example/") == "https://a.example" + kOpenId);
  CHECK(asked_for("https://a.example:8443/t/1") == "https://a.example:8443/t/1" + kOpenId);
  CHECK(asked_for("https://a.example/t/") == "https://a.example/t" + kOpenId);
  CHECK(asked_for("https://a.example/t?x=1") == "invalid_url metadata.issuer_url");
  CHECK(asked_for("https://a.example/#x") == "invalid_url metadata.issuer_url");
}

TEST_CASE("discovery: a configuration is read", "[oidc]") {
  const auto provider =
      process_openid_configuration_response(kIssuer, json_answer(200, to_json(good_document())), {})
          .value();
  CHECK(provider.server.issuer == kIssuer);
  CHECK(provider.server.authorization_endpoint == "https://id.example.com/authorize");
  CHECK(provider.server.token_endpoint == "https://id.example.com/token");
  CHECK(provider.server.jwks_uri == "https://id.example.com/jwks");
  CHECK(provider.userinfo_endpoint == "https://id.example.com/userinfo");
  CHECK(provider.end_session_endpoint == "https://id.example.com/logout");
  CHECK(provider.id_token_signing_alg_values_supported ==
        std::vector<std::string>{"RS256", "ES256"});
  CHECK(provider.subject_types_supported == std::vector<std::string>{"public"});
}

TEST_CASE("discovery: what a login needs must be there", "[oidc]") {
  for (const char* name : {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri",
                           "response_types_supported", "id_token_signing_alg_values_supported"}) {
    INFO(name);
    CHECK(read_outcome({{name, ""}}) == "invalid_metadata metadata.missing_member");
    CHECK(read_outcome({{name, "1"}}) == "invalid_metadata metadata.wrong_type");
  }
  for (const char* name : {"userinfo_endpoint", "end_session_endpoint", "subject_types_supported",
                           "scopes_supported"}) {
    INFO(name);
    CHECK(read_outcome({{name, ""}}) == "ok");
    CHECK(read_outcome({{name, "1"}}) == "invalid_metadata metadata.wrong_type");
  }
  CHECK(read_outcome({{"response_types_supported", R"(["id_token"])"}}) ==
        "invalid_metadata metadata.openid.response_type");
}

TEST_CASE("discovery: every endpoint is https", "[oidc]") {
  for (const char* name :
       {"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint",
        "end_session_endpoint", "revocation_endpoint", "device_authorization_endpoint",
        "pushed_authorization_request_endpoint"}) {
    for (const char* url :
         {"http://id.example.com/x", "http://localhost/x", "/x", "x", "javascript:alert(1)",
          "https://id.example.com/x#y", "https://u:p@id.example.com/x", "file:///etc/passwd"}) {
      INFO(name << ' ' << url);
      CHECK(read_outcome({{name, quoted(url)}}) == "invalid_metadata metadata.endpoint_not_https");
    }
    CHECK(read_outcome({{name, quoted("http://localhost:1/x")}}, kIssuer,
                       HttpRule::allow_http_for_loopback) == "ok");
    CHECK(read_outcome({{name, quoted("http://id.example.com/x")}}, kIssuer,
                       HttpRule::allow_http_for_loopback) ==
          "invalid_metadata metadata.endpoint_not_https");
  }
}

TEST_CASE("discovery: the issuer is compared exactly with what was asked for", "[oidc]") {
  for (const char* issuer :
       {"https://id.example.com/", "https://ID.example.com", "https://id.example.com:443",
        "https://other.example.com", "http://id.example.com"}) {
    INFO(issuer);
    CHECK(read_outcome({}, issuer) == "invalid_metadata metadata.issuer_mismatch");
    CHECK(read_outcome({{"issuer", quoted(issuer)}}) ==
          "invalid_metadata metadata.issuer_mismatch");
    CHECK(read_outcome({{"issuer", quoted(issuer)}}, issuer) == "ok");
  }
}

TEST_CASE("discovery: an issuer of another name is shown, so that one can ask for it", "[oidc]") {
  const auto refused = process_openid_configuration_response(
      "https://id.example.com/", json_answer(200, to_json(good_document())), {});
  CHECK(refused.error().message.find("exactly this name") != std::string::npos);
}

TEST_CASE("discovery: only an answer of 200 with one JSON object is read", "[oidc]") {
  const auto of = [](const HttpResponse& response) {
    return outcome(process_openid_configuration_response(kIssuer, response, {}));
  };
  const auto good = to_json(good_document());
  for (const int status : {201, 204, 301, 302, 307, 400, 401, 404, 500, 503}) {
    INFO(status);
    CHECK(of(json_answer(status, good)) == "invalid_metadata metadata.status");
  }
  CHECK(of(answer(200, {{"Content-Type", "text/html"}}, good)) ==
        "invalid_metadata metadata.content_type");
  CHECK(of(json_answer(200, "<html>")) == "invalid_metadata metadata.not_json");
  CHECK(of(json_answer(200, "[]")) == "invalid_metadata metadata.not_json");
  CHECK(of(json_answer(200, good + good)) == "invalid_metadata metadata.not_json");
  CHECK(of(json_answer(200, R"({"issuer":"a","issuer":"b"})")) ==
        "invalid_metadata metadata.duplicate_member");
}

TEST_CASE("discovery: asks once, within the limits of metadata", "[oidc]") {
  Site site;
  site.serve(kOpenId, json_answer(200, to_json(good_document())));
  CHECK(discover_openid(site.transport, kIssuer).value().server.issuer == kIssuer);
  CHECK(site.asked() == std::vector<std::string>{kOpenId});
  const auto options = site.transport.options();
  CHECK(options[0].max_body == std::size_t{512} * 1024);
  CHECK(options[0].timeout.count() == 10'000);
  CHECK_FALSE(site.transport.requests()[0].authorization);
}

TEST_CASE("discovery: an issuer with a slash at its end is another one", "[oidc]") {
  Site site;
  site.serve(kOpenId, json_answer(200, to_json(good_document("https://id.example.com/"))));
  CHECK(outcome(discover_openid(site.transport, "https://id.example.com/")) == "ok");
  site.serve(kOpenId, json_answer(200, to_json(good_document("https://id.example.com/"))));
  CHECK(outcome(discover_openid(site.transport, "https://id.example.com")) ==
        "invalid_metadata metadata.issuer_mismatch");
}

TEST_CASE("discovery: an issuer that is no https URL is not asked", "[oidc]") {
  Site site;
  const auto of = [&](std::string_view issuer, HttpRule rule = HttpRule::https_only) {
    const auto openid = outcome(discover_openid(site.transport, issuer, {.http_rule = rule}));
    CHECK(outcome(discover_server(site.transport, issuer, {.http_rule = rule})) == openid);
    return openid;
  };
  CHECK(of("") == "invalid_url url.malformed");
  CHECK(of("id.example.com") == "invalid_url url.malformed");
  CHECK(of("http://id.example.com") == "insecure_address url.not_https");
  CHECK(of("http://localhost:1") == "insecure_address url.not_https");
  CHECK(of("http://id.example.com", HttpRule::allow_http_for_loopback) ==
        "insecure_address url.not_https");
  CHECK(of("https://id.example.com?x=1") == "invalid_url metadata.issuer_url");
  CHECK(of("https://id.example.com#x") == "invalid_url metadata.issuer_url");
  CHECK(of("https://u:p@id.example.com") == "invalid_url url.userinfo");
  CHECK(site.transport.count() == 0);
}

TEST_CASE("discovery: the network's errors are handed on", "[oidc]") {
  for (const char* detail : {"test.first", "test.second"}) {
    Site site;
    site.serve(kOpenId, make_error(ErrorCode::unreachable, detail, "down"));
    CHECK(outcome(discover_openid(site.transport, kIssuer)) ==
          "unreachable " + std::string(detail));
    CHECK(outcome(discover_server(site.transport, kIssuer)).starts_with("unreachable"));
  }
}

TEST_CASE("server discovery: RFC 8414 first, and nothing else if that answers", "[oidc]") {
  Site site;
  site.serve(kOAuth, json_answer(200, R"({"issuer":"https://id.example.com"})"));
  CHECK(outcome(discover_server(site.transport, kIssuer)) == "ok");
  CHECK(site.asked() == std::vector<std::string>{kOAuth});
}

TEST_CASE("server discovery: the OpenID configuration where there is no other", "[oidc]") {
  for (const int status : {400, 401, 403, 404, 405, 410}) {
    INFO(status);
    Site site;
    site.serve(kOAuth, answer(status));
    site.serve(kOpenId, json_answer(200, to_json(good_document())));
    CHECK(discover_server(site.transport, kIssuer).value().token_endpoint ==
          "https://id.example.com/token");
    CHECK(site.asked() == std::vector<std::string>{kOAuth, kOpenId});
  }
  Site site;
  site.serve(kOAuth, answer(200, {{"Content-Type", "text/html"}}, "<html>"));
  site.serve(kOpenId, json_answer(200, to_json(good_document())));
  CHECK(outcome(discover_server(site.transport, kIssuer)) == "ok");
}

TEST_CASE("server discovery: issuers with a path have two forms of address", "[oidc]") {
  Site site;
  site.serve("/t/1" + kOpenId,
             json_answer(200, to_json(good_document("https://id.example.com/t/1"))));
  CHECK(outcome(discover_server(site.transport, "https://id.example.com/t/1")) == "ok");
  CHECK(site.asked() == std::vector<std::string>{kOAuth + "/t/1", "/t/1" + kOpenId});
}

TEST_CASE("server discovery: a document that is wrong is not made up for by another", "[oidc]") {
  const auto refused = [](Result<HttpResponse> response) {
    Site site;
    site.serve(kOAuth, std::move(response));
    site.serve(kOpenId, json_answer(200, to_json(good_document())));
    const auto result = outcome(discover_server(site.transport, kIssuer));
    CHECK(site.transport.count() == 1);
    return result;
  };
  CHECK(refused(json_answer(200, R"({"issuer":"https://evil.example"})")) ==
        "invalid_metadata metadata.issuer_mismatch");
  CHECK(refused(json_answer(200, "{")) == "invalid_metadata metadata.not_json");
  CHECK(refused(json_answer(500, "")) == "invalid_metadata metadata.status");
  CHECK(refused(json_answer(503, "")) == "invalid_metadata metadata.status");
  CHECK(refused(json_answer(429, "")) == "invalid_metadata metadata.status");
  CHECK(refused(json_answer(302, "", {{"Location", "https://evil.example"}})) ==
        "invalid_metadata metadata.status");
  CHECK(refused(make_error(ErrorCode::timeout, "test.slow", "slow")) == "timeout test.slow");
  CHECK(refused(json_answer(
            200, R"({"issuer":"https://id.example.com","token_endpoint":"http://a.example/t"})")) ==
        "invalid_metadata metadata.endpoint_not_https");
}

TEST_CASE("server discovery: where there is neither, the second answer counts", "[oidc]") {
  Site site;
  const auto result = discover_server(site.transport, kIssuer);
  CHECK(outcome(result) == "invalid_metadata metadata.status");
  CHECK(result.error().http_status == 404);
  CHECK(site.transport.count() == 2);
}
