// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.cli.profile;
import latchkey.cli.profile.json;
import latchkey.core;
import latchkey.session;

// What may stand in a profile's file.

using namespace latchkey;
using namespace latchkey::cli;

namespace {

constexpr std::string_view kFull = R"({
  "version": 1,
  "issuer": "https://id.example.com",
  "client_id": "my-client",
  "scope": "openid email",
  "client_auth": "client_secret_basic",
  "client_secret_file": "/home/me/secret",
  "resources": ["https://api.example.com/v1"],
  "origins": ["https://files.example.com"],
  "parameters": {"access_type": "offline", "prompt": "consent"},
  "endpoints": {"authorization": "https://id.example.com/a", "token": "https://id.example.com/t"},
  "port": 8400,
  "https": true,
  "without_jwks_validation": true
})";

std::string parse_fault(std::string_view text) {
  const auto profile = parse_profile(text, ErrorCode::corrupt);
  return profile ? "ok" : profile.error().detail;
}

std::string check_fault(std::string_view text) {
  const auto profile = parse_profile(text, ErrorCode::corrupt);
  if (!profile) return profile.error().detail;
  const auto checked = check_profile(*profile);
  return checked ? "ok" : checked.error().detail;
}

std::string name_fault(std::string_view name) {
  const auto checked = check_profile_name(name);
  return checked ? "ok" : checked.error().detail;
}

}  // namespace

TEST_CASE("check_profile_name: names are 1 to 64 letters, digits, points, underscores and hyphens",
          "[cli]") {
  const std::string longest(64, 'x');
  for (const std::string_view name :
       {std::string_view("work"), std::string_view("A.b_c-9"), std::string_view("..."),
        std::string_view(".hidden"), std::string_view("-"), std::string_view(longest)}) {
    CAPTURE(name);
    CHECK(name_fault(name) == "ok");
  }
  const std::string too_long(65, 'x');
  for (const std::string_view name :
       {std::string_view(""), std::string_view("."), std::string_view(".."),
        std::string_view("../x"), std::string_view("a/b"), std::string_view("a\\b"),
        std::string_view("a b"), std::string_view("a:b"), std::string_view("did:plc:x"),
        std::string_view("n\xc3\xa4me"), std::string_view("a\n"), std::string_view("a\0b", 3),
        std::string_view("%2e"), std::string_view("~"), std::string_view(".latchkey-tmp-x"),
        std::string_view(too_long)}) {
    CAPTURE(name);
    CHECK(name_fault(name) == "profile.name");
  }
}

TEST_CASE("name_for_issuer: two tenants of one host have two names", "[cli]") {
  const auto name = [](const std::string& issuer) { return name_for_issuer(issuer).value(); };
  CHECK(name("https://id.example.com/a") != name("https://id.example.com/b"));
  CHECK(name("https://id.example.com/a") != name("https://id.example.com/a/"));
  CHECK(name("https://id.example.com/a") != name("https://id.example.com"));
  const std::string host = "https://" + std::string(60, 'a') + ".example.com";
  CHECK(name(host + "/a") != name(host + "/b"));
  CHECK(name("https://id.example.com/a") == name("https://ID.example.com:443/a"));
  CHECK(name("https://id.example.com:8443/tenant").starts_with("id.example.com-8443-"));
}

TEST_CASE("name_for_issuer: is the host if that is all, and always a name", "[cli]") {
  CHECK(name_for_issuer("https://accounts.example.com").value() == "accounts.example.com");
  CHECK(name_for_issuer("https://tenant.example.com/").value() == "tenant.example.com");
  CHECK(name_for_issuer("http://[::1]:80/").value() == "---1-");
  for (const char* path : {"", "/tenant", "/%2F~"}) {
    CAPTURE(path);
    CHECK(check_profile_name(
        name_for_issuer("https://" + std::string(60, 'a') + ".example.com" + path).value()));
  }
  CHECK_FALSE(name_for_issuer("no url"));
  CHECK_FALSE(name_for_issuer(""));
}

TEST_CASE("parse_profile: reads every member, and profile_json writes them all", "[cli]") {
  const Profile profile = parse_profile(kFull, ErrorCode::corrupt).value();
  CHECK(profile.kind == ProfileKind::oauth);
  CHECK(profile.issuer == "https://id.example.com");
  CHECK(profile.client_id == "my-client");
  CHECK(profile.client_auth == ClientAuthMethod::client_secret_basic);
  CHECK(profile.secret.file == "/home/me/secret");
  CHECK(profile.scope == "openid email");
  CHECK(profile.parameters.size() == 2);
  CHECK(profile.endpoints.token == "https://id.example.com/t");
  CHECK(profile.port == 8400);
  CHECK(profile.https);
  CHECK(profile.without_jwks_validation);
  CHECK(check_profile(profile));
  CHECK(parse_profile(profile_json(profile), ErrorCode::corrupt).value() == profile);
  const Profile key =
      parse_profile(R"({"kind":"api_key","origins":["https://a.example"]})", ErrorCode::corrupt)
          .value();
  CHECK(check_profile(key));
  CHECK(parse_profile(profile_json(key), ErrorCode::corrupt).value() == key);
}

TEST_CASE("parse_profile: what is not a profile's file is refused, each fault by its name",
          "[cli]") {
  struct Case {
    std::string_view text, fault;
  };
  for (const auto& [text, fault] : std::vector<Case>{
           {"", "profile.not_json"},
           {"[]", "profile.not_json"},
           {"{} x", "profile.not_json"},
           {R"({"client_id":"a",})", "profile.not_json"},
           {R"({"client_id":"a","client_id":"b"})", "profile.duplicate_member"},
           {R"({"clientid":"a"})", "profile.unknown_member"},
           {R"({"client_secret":"never here"})", "profile.unknown_member"},
           {R"({"endpoints":{"userinfo":"https://a.example"}})", "profile.unknown_member"},
           {R"({"version":2,"something":"new"})", "profile.version"},
           {R"({"version":0})", "profile.bad_value"},
           {R"({"version":"1"})", "profile.wrong_type"},
           {R"({"issuer":1})", "profile.wrong_type"},
           {R"({"issuer":null})", "profile.wrong_type"},
           {R"({"https":"yes"})", "profile.wrong_type"},
           {R"({"resources":"https://a.example"})", "profile.wrong_type"},
           {R"({"origins":[1]})", "profile.wrong_type"},
           {R"({"parameters":[]})", "profile.wrong_type"},
           {R"({"parameters":{"a":1}})", "profile.wrong_type"},
           {R"({"client_secret_command":"pass show x"})", "profile.wrong_type"},
           {R"({"endpoints":"x"})", "profile.wrong_type"},
           {R"({"port":"8400"})", "profile.wrong_type"},
           {R"({"port":1.5})", "profile.wrong_type"},
           {R"({"port":-1})", "profile.bad_value"},
           {R"({"port":65536})", "profile.bad_value"},
           {R"({"kind":"saml"})", "profile.bad_value"},
           {R"({"client_auth":"private_key_jwt"})", "profile.bad_value"},
           {R"({"client_auth":""})", "profile.bad_value"},
       }) {
    CAPTURE(text);
    CHECK(parse_fault(text) == fault);
  }
}

TEST_CASE("parse_profile: the code of its errors is the caller's, and no value is shown", "[cli]") {
  const auto typed = parse_profile(R"({"client_secret":"Marked"})", ErrorCode::invalid_argument);
  REQUIRE_FALSE(typed);
  CHECK(typed.error().code == ErrorCode::invalid_argument);
  CHECK(typed.error().message.find("Marked") == std::string::npos);
}

TEST_CASE("check_profile: what is set by half is an error, never a guess", "[cli]") {
  struct Case {
    std::string_view text, fault;
  };
  for (const auto& [text, fault] : std::vector<Case>{
           {R"({"issuer":"https://a.example","client_id":"c"})", "ok"},
           {R"({"issuer":"http://127.0.0.1:8080","client_id":"c"})", "ok"},
           {R"({"client_id":"c","endpoints":{"token":"https://a.example/t",)"
            R"("device_authorization":"https://a.example/d"}})",
            "ok"},
           {"{}", "profile.incomplete"},
           {R"({"issuer":"https://a.example"})", "profile.incomplete"},
           {R"({"client_id":"c"})", "profile.incomplete"},
           {R"({"issuer":"https://a.example","client_id":"c","client_auth":"client_secret_post"})",
            "profile.half_set"},
           {R"({"issuer":"https://a.example","client_id":"c","client_secret_file":"/s"})",
            "profile.half_set"},
           {R"({"issuer":"https://a.example","client_id":"c","client_secret_command":["x"]})",
            "profile.half_set"},
           {R"({"issuer":"https://a.example","client_id":"c","client_auth":"client_secret_post",)"
            R"("client_secret_file":"/s","client_secret_command":["x"]})",
            "profile.half_set"},
           {R"({"client_id":"c","endpoints":{"authorization":"https://a.example/a"}})",
            "profile.half_set"},
           {R"({"client_id":"c","endpoints":{"token":"https://a.example/t"}})", "profile.half_set"},
           {R"({"issuer":"https://a.example","client_id":"c","client_auth":"client_secret_post",)"
            R"("client_secret_file":"secret"})",
            "profile.bad_value"},
           {R"({"issuer":"https://a.example","client_id":"c","parameters":{"state":"x"}})",
            "authorization.reserved_parameter"},
           {R"({"issuer":"https://a.example","client_id":"c","parameters":{"client_secret":"x"}})",
            "authorization.reserved_parameter"},
           {R"({"issuer":"a.example","client_id":"c"})", "profile.bad_value"},
           {R"({"issuer":"http://a.example","client_id":"c"})", "profile.insecure_url"},
           {R"({"issuer":"https://a.example","client_id":"c","origins":["http://b.example"]})",
            "profile.insecure_url"},
           {R"({"client_id":"c","endpoints":{"token":"http://a.example/t",)"
            R"("authorization":"https://a.example/a"}})",
            "profile.insecure_url"},
           {R"({"kind":"api_key","client_id":"c"})", "profile.not_for_api_key"},
           {R"({"kind":"api_key","scope":"x"})", "profile.not_for_api_key"},
           {R"({"kind":"api_key","origins":["http://b.example"]})", "profile.insecure_url"},
       }) {
    CAPTURE(text);
    CHECK(check_fault(text) == fault);
  }
}

TEST_CASE("original_subject: is whose logout is kept beside, and any other subject itself",
          "[cli]") {
  for (const std::string_view subject :
       {"work", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "https://id.example.com|alice",
        "revoking|0102030405060708", "revoking|0102030405060708|", "revoking|01020304|work",
        "revoking|010203040506070x|work", "revoking|0102030405060708work",
        "Revoking|0102030405060708|work", "x|revoking|0102030405060708|work", "revoking|", ""}) {
    CAPTURE(subject);
    CHECK(original_subject(subject) == subject);
  }
  CHECK(original_subject("revoking|0102030405060708|work") == "work");
  CHECK(original_subject("revoking|0102030405060708|did:web:a.test") == "did:web:a.test");
  CHECK(original_subject("revoking|0102030405060708|https://id.test|b") == "https://id.test|b");
}

TEST_CASE("is_configured_by: no file is for another client, issuer or token endpoint", "[cli]") {
  SessionSummary session;
  session.client_id = "my-client";
  session.issuer = "https://id.example.com";
  session.token_endpoint = "https://id.example.com/t";
  const auto is_it = [&](std::string_view text) {
    return is_configured_by(session, parse_profile(text, ErrorCode::corrupt).value());
  };
  CHECK_FALSE(is_it(R"({"issuer":"https://id.example.com","client_id":"other"})"));
  CHECK_FALSE(is_it(R"({"issuer":"https://id.example.com/b","client_id":"my-client"})"));
  CHECK_FALSE(is_it(R"({"issuer":"https://id.example.com/","client_id":"my-client"})"));
  CHECK_FALSE(is_it(R"({"issuer":"https://id.example.com","client_id":"my-client",)"
                    R"("endpoints":{"token":"https://b.example.com/t"}})"));
  CHECK_FALSE(
      is_it(R"({"client_id":"my-client","endpoints":{"token":"https://id.example.com/t"}})"));
  CHECK_FALSE(is_it(R"({"kind":"api_key"})"));
  CHECK(is_it(R"({"issuer":"https://id.example.com","client_id":"my-client"})"));
  CHECK(is_it(kFull));
  session.issuer.clear();
  CHECK(is_it(R"({"client_id":"my-client","endpoints":{"token":"https://id.example.com/t"}})"));
  CHECK_FALSE(is_it(R"({"client_id":"my-client","endpoints":{"token":"https://b.test/t"}})"));
  session.client_id.clear();
  session.token_endpoint.clear();
  CHECK(is_it(R"({"kind":"api_key"})"));
  CHECK_FALSE(is_it(R"({"client_id":"c","endpoints":{"token":"https://b.test/t"}})"));
}

TEST_CASE("allows_origin: the issuer's, those named, and those of resources; no other", "[cli]") {
  const Profile profile = parse_profile(kFull, ErrorCode::corrupt).value();
  CHECK(allows_origin(profile, "https://id.example.com"));
  CHECK(allows_origin(profile, "https://api.example.com"));
  CHECK(allows_origin(profile, "https://files.example.com"));
  CHECK_FALSE(allows_origin(profile, "https://example.com"));
  CHECK_FALSE(allows_origin(profile, "http://id.example.com"));
  CHECK_FALSE(allows_origin(profile, "https://id.example.com:8443"));
  CHECK_FALSE(allows_origin(profile, ""));
  CHECK_FALSE(allows_origin(Profile{}, "https://id.example.com"));
  CHECK_FALSE(allows_origin(Profile{}, ""));
}
