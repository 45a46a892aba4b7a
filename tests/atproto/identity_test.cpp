// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

import latchkey.atproto.identity;
import latchkey.core;
import latchkey.http;
import latchkey.http.dns;
import latchkey.test.scripted_dns;
import latchkey.test.scripted_transport;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const std::string kOther = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const std::string kHandle = "alice.example.com";
const std::string kPds = "https://pds.example.com";
const std::string kWellKnown = "https://alice.example.com/.well-known/atproto-did";
const std::string kDocument = "https://plc.directory/" + kDid;

std::string document(const std::string& did, const std::string& handle,
                     const std::string& pds = kPds) {
  std::string out =
      R"({"id":")" + did + R"(","alsoKnownAs":["at://)" + handle + R"("],"service":[)";
  if (!pds.empty()) {
    out += R"({"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":")" + pds +
           "\"}";
  }
  return out + "]}";
}

HttpResponse did_answer(const std::string& body) {
  return answer(200, {{"Content-Type", "application/did+ld+json; charset=utf-8"}}, body);
}

// A network of a few URLs; everything else is 404.
class World {
 public:
  World() {
    pages[kWellKnown] = [] { return answer(200, {{"Content-Type", "text/plain"}}, kDid); };
    pages[kDocument] = [] { return did_answer(document(kDid, kHandle)); };
  }
  using Page = std::function<Result<HttpResponse>()>;
  std::map<std::string, Page> pages;
  IdentityOptions options;
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
  Result<Identity> resolve(std::string_view text, std::stop_token stop = {}) {
    return IdentityResolver(transport, options).resolve(text, stop);
  }
  Result<std::string> resolve_handle(std::string_view text) {
    return IdentityResolver(transport, options).resolve_handle(text);
  }
  Result<DidDocument> resolve_did(std::string_view text) {
    return IdentityResolver(transport, options).resolve_did(text);
  }
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

template <class T>
std::string code_of(const Result<T>& result) {
  return result ? "accepted" : std::string(to_string(result.error().code));
}

}  // namespace

TEST_CASE("C2.1: a handle leads to its DID and PDS", "[identity]") {
  World world;
  const auto found =
      world.resolve(GENERATE("alice.example.com", "@Alice.Example.com", "at://alice.example.com"))
          .value();
  CHECK(found.did == kDid);
  CHECK(found.handle == kHandle);
  CHECK(found.pds == kPds);
  CHECK(world.asked() == std::vector{kWellKnown, kDocument});
}

TEST_CASE("C2.1: a DID leads to its PDS, and its handle is resolved back", "[identity]") {
  World world;
  const auto found = world.resolve(kDid).value();
  CHECK(found.did == kDid);
  CHECK(found.handle == kHandle);
  CHECK(found.pds == kPds);
  CHECK(world.asked() == std::vector{kDocument, kWellKnown});
}

TEST_CASE("C2.4: a document that does not claim the handle is refused", "[identity]") {
  World world;
  const std::string claimed = GENERATE("mallory.example.com", "alice.example.com.evil.com",
                                       "sub.alice.example.com", "not a handle");
  world.pages[kDocument] = [claimed] { return did_answer(document(kDid, claimed)); };
  const auto found = world.resolve(kHandle);
  CHECK(detail_of(found) == "handle.not_claimed");
  CHECK(code_of(found) == "identity_mismatch");
}

TEST_CASE("C2.4: claims compare without case", "[identity]") {
  World world;
  world.pages[kDocument] = [] { return did_answer(document(kDid, "ALICE.Example.com")); };
  CHECK(world.resolve(kHandle).value().handle == kHandle);
}

TEST_CASE("C2.9: a handle that does not resolve back is handle.invalid", "[identity]") {
  World world;
  const int how = GENERATE(0, 1, 2, 3, 4);
  if (how == 0) world.set(kWellKnown, 404);
  if (how == 1) world.set(kWellKnown, 200, kOther);
  if (how == 2) world.fail(kWellKnown, ErrorCode::timeout);
  if (how == 3) world.pages[kDocument] = [] { return did_answer(document(kDid, "a.invalid")); };
  if (how == 4) world.set(kWellKnown, 500);
  const auto found = world.resolve(kDid).value();
  CHECK(found.did == kDid);
  CHECK(found.handle == "handle.invalid");
  CHECK(found.pds == kPds);
}

TEST_CASE("identity: being stopped while the handle is checked is no invalid handle",
          "[identity]") {
  World world;
  world.fail(kWellKnown, ErrorCode::cancelled);
  CHECK(code_of(world.resolve(kDid)) == "cancelled");
}

TEST_CASE("identity: no PDS is an error of its own", "[identity]") {
  World world;
  world.pages[kDocument] = [] { return did_answer(document(kDid, kHandle, "")); };
  CHECK(detail_of(world.resolve(kHandle)) == "identity.no_pds");
  CHECK(detail_of(world.resolve(kDid)) == "identity.no_pds");
  CHECK(code_of(world.resolve_did(kDid)) == "identity_mismatch");
}

TEST_CASE("identity: what is neither handle nor DID asks nobody", "[identity]") {
  World world;
  const auto text = GENERATE("", "alice", "did:key:zabc", "did:plc:short", "alice.local",
                             "https://pds.example.com", "alice.example.com/../x");
  CHECK(code_of(world.resolve(text)) == "invalid_argument");
  IdentityResolver resolver(world.transport, world.options);
  CHECK(code_of(resolver.look_up(text)) == "invalid_argument");
  CHECK(world.asked().empty());
}

TEST_CASE("handle: 404 is not found; no other status is, and no failure of the network",
          "[identity]") {
  World world;
  world.set(kWellKnown, 404);
  CHECK(detail_of(world.resolve_handle(kHandle)) == "handle.not_found");
  CHECK(code_of(world.resolve_handle(kHandle)) == "identity_not_found");
  const int status = GENERATE(201, 204, 206, 301, 302, 307, 400, 401, 403, 410, 429, 500, 503);
  world.set(kWellKnown, status, kDid);
  const auto refused = world.resolve_handle(kHandle);
  CHECK(detail_of(refused) == "handle.status");
  CHECK(code_of(refused) == "invalid_response");
  CHECK(refused.error().http_status == status);
  const auto code = GENERATE(ErrorCode::unreachable, ErrorCode::timeout, ErrorCode::tls_failed,
                             ErrorCode::response_too_large, ErrorCode::insecure_address);
  world.fail(kWellKnown, code);
  CHECK(world.resolve_handle(kHandle).error().code == code);
  CHECK(world.resolve(kHandle).error().code == code);
}

TEST_CASE("handle: in development a PDS is asked", "[identity]") {
  World world;
  world.options = {
      .resolve_handles_at = GENERATE("http://localhost:2583", "http://localhost:2583/"),
      .http_rule = HttpRule::allow_http_for_loopback};
  const std::string url =
      "http://localhost:2583/xrpc/com.atproto.identity.resolveHandle?handle=alice.test";
  world.set(url, 200, R"({"did":")" + kDid + "\"}");
  CHECK(world.resolve_handle("alice.test").value() == kDid);
  CHECK(world.asked() == std::vector{url});

  world.set(url, 400, R"({"error":"HandleNotFound","message":"x"})");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.not_found");
  world.set(url, 400, R"({"error":"InvalidRequest","message":"Unable to resolve handle"})");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.not_found");
  world.set(url, 400, R"({"error":"InvalidRequest","message":"Bad handle"})");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.status");
  world.set(url, 400, "no JSON");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.status");
  world.set(url, 200, "{}");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.missing_member");
  world.set(url, 200, R"({"did":"x"})");
  CHECK(detail_of(world.resolve_handle("alice.test")) == "handle.not_a_did");
  world.options.http_rule = HttpRule::https_only;
  CHECK(code_of(world.resolve_handle("alice.test")) == "insecure_address");
}

TEST_CASE("DID: did:plc is asked at the directory, wherever that is", "[identity]") {
  World world;
  world.options = {.plc_url = GENERATE("http://localhost:2582", "http://localhost:2582/"),
                   .http_rule = HttpRule::allow_http_for_loopback};
  world.pages["http://localhost:2582/" + kDid] = world.pages[kDocument];
  CHECK(world.resolve_did(kDid).value().pds == kPds);
  world.options.http_rule = HttpRule::https_only;
  CHECK(code_of(world.resolve_did(kDid)) == "insecure_address");
}

TEST_CASE("DID: did:web is asked at its host", "[identity]") {
  using Row = std::tuple<std::string, HttpRule, std::string>;
  const auto [did, rule, url] = GENERATE(
      Row{"did:web:example.com", HttpRule::https_only, "https://example.com/.well-known/did.json"},
      Row{"did:web:example.com", HttpRule::allow_http_for_loopback,
          "https://example.com/.well-known/did.json"},
      Row{"did:web:localhost%3A8080", HttpRule::allow_http_for_loopback,
          "http://localhost:8080/.well-known/did.json"},
      Row{"did:web:localhost", HttpRule::allow_http_for_loopback,
          "http://localhost/.well-known/did.json"},
      Row{"did:web:localhost%3A8080", HttpRule::https_only,
          "https://localhost:8080/.well-known/did.json"});
  World world;
  world.options.http_rule = rule;
  world.pages[url] = [did] { return did_answer(document(did, kHandle)); };
  CHECK(world.resolve_did(did).value().did == did);
  CHECK(world.asked() == std::vector{url});
}

TEST_CASE("DID: unknown and deactivated are not found; other failures are not", "[identity]") {
  World world;
  for (const int status : {404, 410}) {
    world.set(kDocument, status);
    const auto missing = world.resolve_did(kDid);
    CHECK(detail_of(missing) == "did.not_found");
    CHECK(code_of(missing) == "identity_not_found");
    CHECK(missing.error().http_status == status);
  }
  const int status = GENERATE(201, 204, 301, 302, 308, 400, 403, 429, 500, 502);
  world.set(kDocument, status, document(kDid, kHandle));
  CHECK(detail_of(world.resolve_did(kDid)) == "did_document.status");
  CHECK(code_of(world.resolve_did(kDid)) == "invalid_response");
  const auto code = GENERATE(ErrorCode::unreachable, ErrorCode::timeout, ErrorCode::cancelled);
  world.fail(kDocument, code);
  CHECK(world.resolve_did(kDid).error().code == code);
}

TEST_CASE("DID: the document is JSON by its content type", "[identity]") {
  World world;
  const std::string type = GENERATE("text/html", "text/plain", "application/octet-stream", "");
  world.pages[kDocument] = [type] {
    return type.empty() ? answer(200, {}, document(kDid, kHandle))
                        : answer(200, {{"Content-Type", type}}, document(kDid, kHandle));
  };
  CHECK(detail_of(world.resolve_did(kDid)) == "did_document.content_type");
}

TEST_CASE("DID: a document about another DID is refused", "[identity]") {
  World world;
  world.pages[kDocument] = [] { return did_answer(document(kOther, kHandle)); };
  CHECK(detail_of(world.resolve_did(kDid)) == "did_document.id");
  CHECK(code_of(world.resolve(kHandle)) == "identity_mismatch");
}

TEST_CASE("C2.2, C2.4: DNS leads to the DID, and the document must claim the handle",
          "[identity]") {
  World world;
  world.set(kWellKnown, 404);
  world.options.dns =
      std::make_shared<ScriptedDns>([](const std::string& name, const DnsOptions&) -> TxtAnswer {
        if (name != "_atproto." + kHandle) return std::vector<std::string>{};
        return std::vector<std::string>{"did=" + kDid};
      });
  CHECK(world.resolve(kHandle).value().did == kDid);
  CHECK(world.resolve(kDid).value().handle == kHandle);
  world.pages[kDocument] = [] { return did_answer(document(kDid, "mallory.example.com")); };
  CHECK(detail_of(world.resolve(kHandle)) == "handle.not_claimed");
}

TEST_CASE("C2.3: an ambiguous handle does not log anybody in, nor is it shown", "[identity]") {
  World world;
  world.options.dns = std::make_shared<ScriptedDns>([](const std::string&, const DnsOptions&) {
    return TxtAnswer(std::vector<std::string>{"did=" + kDid, "did=" + kOther});
  });
  CHECK(detail_of(world.resolve(kHandle)) == "handle.ambiguous");
  CHECK(world.resolve(kDid).value().handle == "handle.invalid");
}

TEST_CASE("C2.8: a handle under a reserved top-level domain is asked of nobody", "[identity]") {
  World world;
  const auto dns = std::make_shared<ScriptedDns>([](const std::string&, const DnsOptions&) {
    return TxtAnswer(std::vector<std::string>{"did=" + kDid});
  });
  world.options.dns = dns;
  const std::string handle =
      "alice." + GENERATE(as<std::string>{}, "local", "arpa", "invalid", "localhost", "internal",
                          "example", "alt", "onion");
  CHECK(detail_of(world.resolve(handle)) == "handle.reserved_tld");
  CHECK(detail_of(world.resolve_handle("@" + handle)) == "handle.reserved_tld");
  CHECK(dns->names().empty());
  CHECK(world.asked().empty());
}

TEST_CASE("C2.7: only look_up remembers", "[identity]") {
  World world;
  IdentityResolver resolver(world.transport, world.options);
  const std::string moved = "https://moved.example.com";
  const auto pds_of = [](const auto& found) { return found.value().pds; };
  CHECK(pds_of(resolver.look_up(kDid)) == kPds);
  CHECK(pds_of(resolver.look_up(kHandle)) == kPds);
  world.pages[kDocument] = [&] { return did_answer(document(kDid, kHandle, moved)); };
  CHECK(pds_of(resolver.look_up(kDid)) == kPds);
  CHECK(pds_of(resolver.look_up("@Alice.Example.com")) == kPds);
  CHECK(pds_of(resolver.resolve_did(kDid)) == moved);
  CHECK(pds_of(resolver.look_up(kDid)) == kPds);
  CHECK(pds_of(resolver.resolve(kHandle)) == moved);
  CHECK(pds_of(resolver.look_up(kHandle)) == moved);  // what was found anew is remembered
  CHECK(pds_of(resolver.resolve(kDid)) == moved);
  CHECK(pds_of(resolver.look_up(kDid)) == moved);
}

TEST_CASE("C2.7: the memory of look_up is ten minutes by the clock that it was given",
          "[identity]") {
  World world;
  const auto clock = std::make_shared<ManualClock>(parse_rfc3339("2026-11-20T09:30:00Z").value());
  world.options.clock = clock;
  IdentityResolver resolver(world.transport, world.options);
  REQUIRE(resolver.look_up(kDid));
  clock->advance(std::chrono::minutes{10} - std::chrono::milliseconds{1});
  REQUIRE(resolver.look_up(kDid));
  CHECK(world.asked().size() == 2);
  clock->advance(std::chrono::milliseconds{1});
  REQUIRE(resolver.look_up(kDid));
  CHECK(world.asked().size() == 4);
}

TEST_CASE("identity: who named an address decides over which network it is asked", "[identity]") {
  const auto strangers = std::make_shared<ScriptedTransport>();
  const auto configured = std::make_shared<ScriptedTransport>();
  IdentityOptions options;
  const auto ask = [&](const std::string& name) {
    CHECK_FALSE(IdentityResolver(
                    IdentityTransports{.strangers = strangers, .configured = configured}, options)
                    .resolve(name));
  };
  ask(kHandle);
  ask("did:web:example.com");
  CHECK(strangers->count() == 2);
  CHECK(configured->count() == 0);
  ask(kDid);
  CHECK(configured->count() == 1);
  options.resolve_handles_at = "https://pds.example.com";
  ask(kHandle);
  CHECK(configured->count() == 2);
  CHECK(strangers->count() == 2);
}

TEST_CASE("identity: C3.14: every request is bounded and carries no secret", "[identity]") {
  World world;
  REQUIRE(world.resolve(kHandle));
  const auto options = world.transport->options();
  CHECK(options[0].timeout == std::chrono::seconds{3});
  CHECK(options[0].max_body == 2048);
  CHECK(options[1].timeout == std::chrono::seconds{10});
  CHECK(options[1].max_body == 512 * 1024);
  for (const auto& request : world.transport->requests()) {
    CHECK(request.method == "GET");
    CHECK_FALSE(request.authorization);
  }
}

TEST_CASE("identity: the caller's stop reaches every request", "[identity]") {
  World world;
  std::stop_source source;
  REQUIRE(world.resolve(kDid, source.get_token()));
  source.request_stop();
  for (const auto& options : world.transport->options()) CHECK(options.stop.stop_requested());
}
