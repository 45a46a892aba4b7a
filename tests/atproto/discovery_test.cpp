// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.core;
import latchkey.http;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const std::string kHandle = "alice.example.com";
const std::string kPds = "https://pds.example.com";
const std::string kIssuer = "https://as.example.com";
const std::string kWellKnown = "https://alice.example.com/.well-known/atproto-did";
const std::string kDocument = "https://plc.directory/" + kDid;
const std::string kResource = kPds + "/.well-known/oauth-protected-resource";
const std::string kServer = kIssuer + "/.well-known/oauth-authorization-server";

std::string document(const std::string& pds) {
  return R"({"id":")" + kDid + R"(","alsoKnownAs":["at://)" + kHandle +
         R"("],"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer",)"
         R"("serviceEndpoint":")" +
         pds + R"("}]})";
}

std::string resource(const std::string& origin, const std::string& servers) {
  return R"({"resource":")" + origin + R"(","authorization_servers":)" + servers + "}";
}

std::string server(const std::string& issuer, const std::string& more = {}) {
  return R"({"issuer":")" + issuer + R"(","authorization_endpoint":")" + issuer +
         R"(/authorize","token_endpoint":")" + issuer +
         R"(/token","pushed_authorization_request_endpoint":")" + issuer + R"(/par",)" +
         R"("response_types_supported":["code"],)"
         R"("grant_types_supported":["authorization_code","refresh_token"],)"
         R"("code_challenge_methods_supported":["S256"],)"
         R"("token_endpoint_auth_methods_supported":["none","private_key_jwt"],)"
         R"("token_endpoint_auth_signing_alg_values_supported":["ES256"],)"
         R"("scopes_supported":["atproto"],)"
         R"("dpop_signing_alg_values_supported":["ES256"],)"
         R"("authorization_response_iss_parameter_supported":true,)"
         R"("require_pushed_authorization_requests":true,)"
         R"("client_id_metadata_document_supported":true)" +
         more + "}";
}

// An account, its PDS and its authorization server; everything else is 404.
class World {
 public:
  World() {
    set(kWellKnown, 200, kDid);
    set(kDocument, 200, document(kPds));
    set(kResource, 200, resource(kPds, "[\"" + kIssuer + "\"]"));
    set(kServer, 200, server(kIssuer));
  }
  HttpRule rule = HttpRule::https_only;
  std::map<std::string, std::function<Result<HttpResponse>()>> pages;
  std::shared_ptr<ScriptedTransport> transport =
      std::make_shared<ScriptedTransport>([this](const HttpRequest& request, const SendOptions&) {
        const auto page = pages.find(request.url.text());
        return page == pages.end() ? Result<HttpResponse>(answer(404)) : page->second();
      });

  void set(const std::string& url, int status, const std::string& body = {}) {
    pages[url] = [status, body] { return json_answer(status, body); };
  }
  void fail(const std::string& url, ErrorCode code) {
    pages[url] = [code] { return make_error(code, "scripted", "scripted"); };
  }
  AtprotoDiscovery discovery() {
    return {transport,
            std::make_shared<IdentityResolver>(transport, IdentityOptions{.http_rule = rule}),
            rule};
  }
  Result<LoginTarget> find(std::string_view text) { return discovery().find(text); }
  std::vector<std::string> asked() const {
    std::vector<std::string> out;
    for (const auto& request : transport->requests()) out.push_back(request.url.text());
    return out;
  }
};

template <class T>
std::string detail_of(const Result<T>& result) {
  return result ? "accepted" : result.error().detail;
}

}  // namespace

TEST_CASE("discovery: C2.1: a handle leads to its authorization server", "[discovery]") {
  World world;
  const auto target = world.find(kHandle).value();
  CHECK(target.identity.did == kDid);
  CHECK(target.identity.handle == kHandle);
  CHECK(target.pds == kPds);
  CHECK(target.server.issuer == kIssuer);
  CHECK(target.server.token_endpoint == kIssuer + "/token");
  CHECK(target.login_hint == kHandle);
  CHECK(world.asked() == std::vector{kWellKnown, kDocument, kResource, kServer});
}

TEST_CASE("discovery: C2.1: a DID leads to its authorization server", "[discovery]") {
  World world;
  const auto target = world.find(kDid).value();
  CHECK(target.identity.handle == kHandle);
  CHECK(target.server.issuer == kIssuer);
  CHECK(target.login_hint == kDid);
}

TEST_CASE("discovery: the login hint is what was typed, without decoration", "[discovery]") {
  using Pair = std::pair<std::string, std::string>;
  const auto [typed, hint] =
      GENERATE(Pair{"  alice.example.com\n", "alice.example.com"},
               Pair{"Alice.Example.com", "Alice.Example.com"},
               Pair{"@Alice.example.com", "alice.example.com"},
               Pair{"at://alice.example.com", "alice.example.com"},
               Pair{"\tdid:plc:ewvi7nxzyoun6zhxrhs64oiz ", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"});
  World world;
  CHECK(world.find(typed).value().login_hint == hint);
}

TEST_CASE("discovery: C3.12: from a PDS's URL, without hint and account", "[discovery]") {
  World world;
  const auto target =
      world.find(GENERATE("https://pds.example.com", " https://PDS.example.com/ ")).value();
  CHECK(target.identity.did.empty());
  CHECK(target.identity.handle.empty());
  CHECK(target.pds == kPds);
  CHECK(target.server.issuer == kIssuer);
  CHECK(target.login_hint.empty());
  CHECK(world.asked() == std::vector{kResource, kServer});
}

TEST_CASE("discovery: C3.12: from an authorization server's own URL", "[discovery]") {
  World world;
  const auto target = world.find(kIssuer).value();
  CHECK(target.pds.empty());
  CHECK(target.server.issuer == kIssuer);
  CHECK(target.login_hint.empty());
  CHECK(world.asked() == std::vector{kIssuer + "/.well-known/oauth-protected-resource", kServer});
}

TEST_CASE("discovery: C3.12: only 404 makes a URL an authorization server's", "[discovery]") {
  World world;
  const auto url = kIssuer + "/.well-known/oauth-protected-resource";
  const int status = GENERATE(200, 204, 301, 302, 400, 401, 403, 410, 500, 503);
  world.set(url, status, "{}");
  CHECK_FALSE(world.find(kIssuer));
  world.fail(url, ErrorCode::timeout);
  CHECK(world.find(kIssuer).error().code == ErrorCode::timeout);
  for (const auto& asked : world.asked()) CHECK(asked == url);
}

TEST_CASE("discovery: a server URL is scheme and host alone", "[discovery]") {
  using Pair = std::pair<std::string, ErrorCode>;
  const auto [url, code] =
      GENERATE(Pair{"https://pds.example.com/path", ErrorCode::invalid_url},
               Pair{"https://pds.example.com?q", ErrorCode::invalid_url},
               Pair{"https://pds.example.com#f", ErrorCode::invalid_url},
               Pair{"https://me@pds.example.com", ErrorCode::invalid_url},
               Pair{"https://", ErrorCode::invalid_url},
               Pair{"http://pds.example.com", ErrorCode::insecure_address},
               Pair{"http://localhost:2583", ErrorCode::insecure_address},
               Pair{"ftp://pds.example.com", ErrorCode::invalid_argument},
               Pair{"pds", ErrorCode::invalid_argument}, Pair{"", ErrorCode::invalid_argument},
               Pair{"pds.example.com:443", ErrorCode::invalid_argument});
  World world;
  const auto target = world.find(url);
  REQUIRE_FALSE(target);
  CHECK(target.error().code == code);
  CHECK(world.asked().empty());
}

TEST_CASE("discovery: a development server over http, where that is allowed", "[discovery]") {
  World world;
  world.rule = HttpRule::allow_http_for_loopback;
  const std::string local = "http://localhost:2583";
  world.set(local + "/.well-known/oauth-protected-resource", 200,
            resource(local, "[\"" + local + "\"]"));
  world.set(local + "/.well-known/oauth-authorization-server", 200, server(local));
  CHECK(world.find(local).value().server.issuer == local);
}

TEST_CASE("discovery: C3.2: a PDS names exactly one server", "[discovery]") {
  World world;
  const std::string servers =
      GENERATE("[]", R"(["https://as.example.com","https://b.example.com"])", "null",
               R"(["https://as.example.com/path"])", R"(["http://as.example.com"])");
  world.set(kResource, 200, resource(kPds, servers));
  for (const auto& start : {kHandle, kDid, kPds}) {
    const auto target = world.find(start);
    REQUIRE_FALSE(target);
    CHECK(target.error().code == ErrorCode::invalid_metadata);
  }
}

TEST_CASE("discovery: C3.1, C3.3, C3.4, C3.5: documents that break a rule are refused",
          "[discovery]") {
  World world;
  const int how = GENERATE(0, 1, 2, 3, 4, 5, 6);
  if (how == 0) world.set(kResource, 404);
  if (how == 1) world.set(kResource, 301);
  if (how == 2)
    world.set(kResource, 200, resource("https://other.example.com", "[\"" + kIssuer + "\"]"));
  if (how == 3) world.set(kServer, 404);
  if (how == 4) world.set(kServer, 200, server("https://other.example.com"));
  if (how == 5) world.set(kServer, 200, R"({"issuer":")" + kIssuer + "\"}");
  if (how == 6) {
    world.set(kServer, 200, server(kIssuer, R"(,"require_request_uri_registration":false)"));
  }
  INFO(how);
  const auto target = world.find(kHandle);
  REQUIRE_FALSE(target);
  CHECK(target.error().code == ErrorCode::invalid_metadata);
}

TEST_CASE("discovery: C3.13: a server that lists its resources must list the PDS", "[discovery]") {
  World world;
  world.set(kServer, 200,
            server(kIssuer, R"(,"protected_resources":["https://other.example.com"])"));
  CHECK(detail_of(world.find(kHandle)) == "metadata.atproto.protected_resources");
  CHECK(detail_of(world.find(kPds)) == "metadata.atproto.protected_resources");
  // Asked for itself, there is no PDS yet to compare with.
  CHECK(world.find(kIssuer));
  world.set(kServer, 200, server(kIssuer, R"(,"protected_resources":["https://pds.example.com"])"));
  CHECK(world.find(kHandle));
}

TEST_CASE("discovery: failures of identity and network pass through as they are", "[discovery]") {
  World world;
  world.set(kWellKnown, 404);
  CHECK(detail_of(world.find(kHandle)) == "handle.not_found");
  const auto url = GENERATE_COPY(kDocument, kResource, kServer);
  world.fail(url, ErrorCode::unreachable);
  CHECK(world.find(kDid).error().code == ErrorCode::unreachable);
}

TEST_CASE("discovery: C3.14: every request is bounded and can be stopped", "[discovery]") {
  World world;
  std::stop_source source;
  REQUIRE(world.discovery().find(kHandle, source.get_token()));
  source.request_stop();
  for (const auto& options : world.transport->options()) {
    CHECK(options.timeout <= std::chrono::seconds{10});
    CHECK(options.max_body <= std::size_t{512} * 1024);
    CHECK(options.stop.stop_requested());
  }
}

TEST_CASE("server_of: what it asks must be an origin", "[discovery]") {
  World world;
  CHECK(world.discovery().server_of(kPds).value().issuer == kIssuer);
  const auto before = world.transport->count();
  const auto pds = GENERATE("", "pds.example.com", "https://pds.example.com/",
                            "https://pds.example.com/x", "http://pds.example.com");
  CHECK_FALSE(world.discovery().server_of(pds));
  CHECK(world.transport->count() == before);
}

TEST_CASE("confirm_authority: C5.8, C7.5: the account's PDS names the issuer", "[discovery]") {
  World world;
  CHECK(world.discovery().confirm_authority(kDid, kIssuer).value() == kPds);
  CHECK(world.asked() == std::vector{kDocument, kResource});
}

TEST_CASE("confirm_authority: C5.8: another issuer may not speak for the account", "[discovery]") {
  World world;
  const std::string issuer = GENERATE("https://evil.example.com", "https://as.example.com/",
                                      "https://AS.example.com", "http://as.example.com",
                                      "https://as.example.com:443", "https://pds.example.com", "");
  const auto confirmed = world.discovery().confirm_authority(kDid, issuer);
  CHECK(detail_of(confirmed) == "issuer.not_authoritative");
  CHECK(confirmed.error().code == ErrorCode::identity_mismatch);
}

TEST_CASE("confirm_authority: an account that has moved is seen at once", "[discovery]") {
  World world;
  REQUIRE(world.discovery().confirm_authority(kDid, kIssuer));
  const std::string moved = "https://new.example.com";
  world.set(kDocument, 200, document(moved));
  world.set(moved + "/.well-known/oauth-protected-resource", 200,
            resource(moved, "[\"" + kIssuer + "\"]"));
  CHECK(world.discovery().confirm_authority(kDid, kIssuer).value() == moved);
  world.set(moved + "/.well-known/oauth-protected-resource", 200,
            resource(moved, R"(["https://as2.example.com"])"));
  CHECK(detail_of(world.discovery().confirm_authority(kDid, kIssuer)) ==
        "issuer.not_authoritative");
}

TEST_CASE("C2.7, C7.13: neither a login nor a refresh is decided by what is remembered",
          "[discovery]") {
  World world;
  const auto identities = std::make_shared<IdentityResolver>(world.transport, IdentityOptions{});
  AtprotoDiscovery discovery(world.transport, identities, HttpRule::https_only);
  const auto remembered = [&] { return identities->look_up(kDid).value(); };
  REQUIRE(remembered().pds == kPds);
  const std::string moved = "https://new.example.com";
  world.set(kDocument, 200, document(moved));
  world.set(moved + "/.well-known/oauth-protected-resource", 200,
            resource(moved, R"(["https://as2.example.com"])"));
  world.set(kWellKnown, 404);
  REQUIRE(remembered().pds == kPds);
  CHECK(detail_of(discovery.confirm_authority(kDid, kIssuer)) == "issuer.not_authoritative");
  CHECK(discovery.confirm_authority(kDid, "https://as2.example.com").value() == moved);
  world.set(moved + "/.well-known/oauth-protected-resource", 200,
            resource(moved, "[\"" + kIssuer + "\"]"));
  REQUIRE(remembered().handle == kHandle);
  CHECK(discovery.display_handle(kDid) == "handle.invalid");
  CHECK(discovery.find(kDid).value().pds == moved);
}

TEST_CASE("C2.9: an account whose handle cannot be found now is shown as handle.invalid",
          "[discovery]") {
  World world;
  const auto url = GENERATE_COPY(kDocument, kWellKnown);
  world.fail(url, ErrorCode::timeout);
  CHECK(world.discovery().display_handle(kDid) == "handle.invalid");
}

TEST_CASE("confirm_authority: what cannot be asked is neither confirmed nor refuted",
          "[discovery]") {
  World world;
  const auto url = GENERATE_COPY(kDocument, kResource);
  world.fail(url, ErrorCode::timeout);
  CHECK(world.discovery().confirm_authority(kDid, kIssuer).error().code == ErrorCode::timeout);
  world.set(kDocument, 404);
  CHECK(world.discovery().confirm_authority(kDid, kIssuer).error().code ==
        ErrorCode::identity_not_found);
  CHECK(world.discovery().confirm_authority("not a did", kIssuer).error().code ==
        ErrorCode::invalid_argument);
}
