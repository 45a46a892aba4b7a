// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.login_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.raw_client;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// The whole client over scripted servers, and browsers that do what tests want.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

class FakeBrowser final : public BrowserOpener {
 public:
  std::function<Result<void>(const Url&)> on_open = [](const Url&) { return Result<void>{}; };
  Result<void> open(const Url& url) override {
    ++opened;
    return on_open(url);
  }
  int opened = 0;
};

struct ClientWorld : LoginWorld {
  std::shared_ptr<FakeBrowser> browser = std::make_shared<FakeBrowser>();

  explicit ClientWorld(std::shared_ptr<KeyVault> vault = nullptr)
      : LoginWorld(nullptr, std::move(vault)) {}
  AtprotoClientOptions options() const {
    return {.client = loopback_client("atproto transition:generic"),
            .store = world.store,
            .vault = world.vault,
            .transport = server,
            .strangers = strangers,
            .browser = browser,
            .clock = world.clock,
            .random = world.random};
  }
  AtprotoClient make() const { return AtprotoClient::create(options()).value(); }

  std::string pushed(std::string_view name) const {
    return field(requests_to("/par").back(), name);
  }
  /// Where the browser ends.
  std::string landing() const { return pushed("redirect_uri") + "?" + callback(pushed("state")); }
  /// What a browser gets that is sent to `target` of the receiver.
  std::string visit(const std::string& target) const {
    const Url url = Url::parse(pushed("redirect_uri")).value();
    return RawClient(url.port())
        .send("GET " + target + " HTTP/1.1\r\nHost: " + url.authority() + "\r\n\r\n")
        .read_all();
  }
};

Result<SessionSummary> log_in(AtprotoClient& client, std::string_view who,
                              std::function<Result<std::string>()> paste) {
  return client.login(who, {.open_browser = false, .paste = std::move(paste)});
}

}  // namespace

TEST_CASE("create: what is missing or not allowed is said before anything happens", "[client]") {
  const ClientWorld w;
  const auto create = [&](const std::function<void(AtprotoClientOptions&)>& change) {
    AtprotoClientOptions options = w.options();
    change(options);
    return outcome(AtprotoClient::create(std::move(options)));
  };
  using Options = AtprotoClientOptions;
  CHECK(create([](Options&) {}) == "ok");
  CHECK(create([](Options& o) { o.store.reset(); }) == "invalid_argument client.store_missing");
  CHECK(create([](Options& o) { o.vault.reset(); }) == "invalid_argument client.vault_missing");
  CHECK(create([](Options& o) { o.client = loopback_client("email"); }) ==
        "invalid_argument client.scope_without_atproto");
  CHECK(create([](Options& o) { o.client = loopback_client("atproto", "callback"); }) ==
        "invalid_argument client.redirect_path");
  CHECK(create([](Options& o) { o.client = loopback_client_of("https://app.test/c.json"); }) ==
        "invalid_argument client.not_loopback");
  CHECK(create([](Options& o) { o.plc_url = "plc.directory"; }) == "invalid_url url.malformed");
  CHECK(create([](Options& o) { o.plc_url = "http://127.0.0.1:2582"; }) ==
        "insecure_address url.not_https");
  CHECK(create([](Options& o) { o.resolve_handles_at = "http://localhost:2583"; }) ==
        "insecure_address url.not_https");
  CHECK(create([](Options& o) {
          o.plc_url = "http://127.0.0.1:2582";
          o.http_rule = HttpRule::allow_http_for_loopback;
        }) == "ok");
  CHECK(create([](Options& o) {
          o.plc_url = "http://plc.test";
          o.http_rule = HttpRule::allow_http_for_loopback;
        }) == "insecure_address url.not_https");
  CHECK(w.server->count() + w.strangers->count() == 0);
}

TEST_CASE("login: a handle, a DID or a server lead to a session by way of a pasted address",
          "[client]") {
  for (const std::string who :
       {"alice.test", "@alice.test", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "https://pds.test"}) {
    CAPTURE(who);
    ClientWorld w;
    AtprotoClient client = w.make();
    const auto session =
        log_in(client, who, [&] { return Result<std::string>(" \t" + w.landing() + "#f\r\n"); });
    CHECK(session.value().subject == kSubject);
    CHECK(session.value().handle == "alice.test");
    CHECK(w.world.stored().access_token.expose() == kAccess);
    CHECK(w.browser->opened == 0);
    CHECK(client.fresh(kSubject).value()->access_token.expose() == kAccess);
  }
}

TEST_CASE("login: what was pasted must be the address of this login, and nothing is left if not",
          "[client]") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "callback.pasted"},
      {"   ", "callback.pasted"},
      {"yes", "callback.pasted"},
      {"http://127.0.0.1/callback", "callback.pasted"},
      {"http://127.0.0.1/callback?", "callback.pasted_other"},
      {"http://127.0.0.1/callback?" + LoginWorld::callback("another"), "callback.pasted_other"},
  };
  for (const auto& [text, detail] : cases) {
    CAPTURE(text);
    ClientWorld w;
    AtprotoClient client = w.make();
    const std::size_t keys = w.keys();
    const auto session =
        log_in(client, "alice.test", [&, line = text] { return Result<std::string>(line); });
    CHECK(outcome(session) == "callback_invalid " + detail);
    CHECK(keeps_secrets(w, session.error()));
    CHECK(w.keys() == keys);
    CHECK(outcome(w.login->finish(LoginWorld::callback(w.pushed("state")))) ==
          "callback_invalid callback.unknown_state");
  }
  ClientWorld w;
  AtprotoClient client = w.make();
  const std::size_t keys = w.keys();
  CHECK(outcome(log_in(client, "alice.test", []() -> Result<std::string> {
          return make_error(ErrorCode::io, "test.closed", "closed");
        })) == "io test.closed");
  CHECK(w.keys() == keys);
  CHECK(w.requests_to("/token").empty());
}

TEST_CASE("login: the browser comes back to a port of its own, and is shown how it ended",
          "[client]") {
  ClientWorld w;
  std::string told, page;
  std::future<void> visitor;
  w.browser->on_open = [&](const Url& url) {
    CHECK(url.text() == told);  // told before the browser opens
    visitor = std::async(std::launch::async, [&] {
      page = w.visit("/callback?" + LoginWorld::callback(w.pushed("state")));
    });
    return Result<void>{};
  };
  AtprotoClient client = w.make();
  const auto session =
      client.login("alice.test", {.on_url = [&](const Url& url) { told = url.text(); }});
  CHECK(outcome(session) == "ok");
  visitor.get();
  CHECK(page.starts_with("HTTP/1.1 200"));
  CHECK(page.find("alice.test") != std::string::npos);
  CHECK(page.find("Marked") == std::string::npos);
  CHECK(w.pushed("redirect_uri").starts_with("http://127.0.0.1:"));
}

TEST_CASE("login: collects keys of logins that were cut off, if the vault is this store's alone",
          "[client]") {
  for (const bool alone : {false, true}) {
    const auto long_ago = std::make_shared<ManualClock>(TimePoint(1h));
    const ClientWorld w(memory_vault(long_ago));
    REQUIRE(w.world.vault->put("cut-off", SecretBytes(as_bytes("key"))));
    AtprotoClientOptions options = w.options();
    options.vault_serves_this_store_alone = alone;
    AtprotoClient client = AtprotoClient::create(std::move(options)).value();
    const auto session = log_in(client, "alice.test", [&] { return w.landing(); });
    REQUIRE(session);
    CHECK(w.world.vault->get("cut-off").value().has_value() == !alone);
    CHECK(w.world.vault->get(session->dpop_jkt).value());
  }
}

TEST_CASE("authorize: collects keys of logins that were cut off, though nobody ever comes back",
          "[client]") {
  const ClientWorld w(memory_vault(std::make_shared<ManualClock>(TimePoint(1h))));
  REQUIRE(w.world.vault->put("cut-off", SecretBytes(as_bytes("key"))));
  AtprotoClientOptions options = w.options();
  options.vault_serves_this_store_alone = true;
  AtprotoClient client = AtprotoClient::create(std::move(options)).value();
  REQUIRE(client.authorize("alice.test", {.redirect_uri = "http://127.0.0.1/callback"}));
  CHECK_FALSE(w.world.vault->get("cut-off").value());
}

TEST_CASE("login: collects nothing when it fails", "[client]") {
  const ClientWorld w(memory_vault(std::make_shared<ManualClock>(TimePoint(1h))));
  REQUIRE(w.world.vault->put("cut-off", SecretBytes(as_bytes("key"))));
  AtprotoClientOptions options = w.options();
  options.vault_serves_this_store_alone = true;
  AtprotoClient client = AtprotoClient::create(std::move(options)).value();
  CHECK_FALSE(log_in(client, "alice.test", [] { return std::string("nonsense"); }));
  CHECK(w.world.vault->get("cut-off").value());
}

TEST_CASE("login: a refused login is refused in the browser too, without a secret on the page",
          "[client]") {
  ClientWorld w;
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json({{"sub", "\"did:web:<script>.test\""}}));
  };
  std::string page;
  std::future<void> visitor;
  w.browser->on_open = [&](const Url&) {
    visitor = std::async(std::launch::async, [&] {
      page = w.visit("/callback?" + LoginWorld::callback(w.pushed("state")));
    });
    return Result<void>{};
  };
  AtprotoClient client = w.make();
  const auto session = client.login("alice.test");
  CHECK(session.error().code == ErrorCode::token_invalid);
  visitor.get();
  CHECK(page.starts_with("HTTP/1.1 400"));
  CHECK(page.find("<script>") == std::string::npos);
  CHECK(page.find("Marked") == std::string::npos);
}

TEST_CASE("login: without a browser, with a stale tab, and stopped: nothing is left", "[client]") {
  ClientWorld w;
  const std::size_t keys = w.keys();
  std::stop_source stop;
  int failures = 0, strays = 0;
  std::string page;
  std::future<void> visitor;
  w.browser->on_open = [&](const Url&) {
    visitor = std::async(std::launch::async, [&] {
      page = w.visit("/callback?" + LoginWorld::callback("stale"));
      stop.request_stop();
    });
    return Result<void>(make_error(ErrorCode::io, "browser.not_opened", "no display"));
  };
  AtprotoClient client = w.make();
  const auto session =
      client.login("alice.test", {.stop = stop.get_token(),
                                  .on_browser_failure =
                                      [&](const Error& error) {
                                        CHECK(error.detail == "browser.not_opened");
                                        ++failures;
                                      },
                                  .on_stray = [&] { ++strays; }});
  visitor.get();
  CHECK(session.error().code == ErrorCode::cancelled);
  CHECK(page.starts_with("HTTP/1.1 4"));
  CHECK(failures == 1);
  CHECK(strays == 1);
  CHECK(w.keys() == keys);
  CHECK(w.requests_to("/token").empty());
  CHECK(outcome(w.login->finish(LoginWorld::callback(w.pushed("state")))) ==
        "callback_invalid callback.unknown_state");
}

TEST_CASE("login: a person who does not come back is waited for so long", "[client]") {
  ClientWorld w;
  const std::size_t keys = w.keys();
  AtprotoClient client = w.make();
  CHECK(client.login("alice.test", {.timeout = 1ms}).error().code == ErrorCode::timeout);
  CHECK(w.browser->opened == 1);
  CHECK(w.keys() == keys);
}

TEST_CASE("login: what can't be found is not pushed anywhere", "[client]") {
  ClientWorld w;
  AtprotoClient client = w.make();
  for (const char* who : {"nobody.test", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "https://nowhere.test",
                          "", "not a handle", "http://pds.test"}) {
    CAPTURE(who);
    CHECK_FALSE(client.login(who));
  }
  CHECK(w.server->count() == 0);
  CHECK(w.browser->opened == 0);
}

TEST_CASE("request: C10.1: another origin never gets the token", "[client]") {
  ClientWorld w;
  w.world.log_in();
  const AtprotoClient client = w.make();
  for (const char* target :
       {"https://evil.test/", "https://pds.test.evil.test/", "https://pds.test:8443/",
        "http://pds.test/", "https://sub.pds.test/", "https://as.test/xrpc/x"}) {
    CAPTURE(target);
    CHECK(outcome(client.request(kSubject, "GET", target, "", "")) ==
          "insecure_address resource.other_origin");
  }
  CHECK(outcome(client.request(kSubject, "GET", "https://user@pds.test/", "", "")) ==
        "invalid_url url.userinfo");
  CHECK(client.request(kSubject, "GET", "xrpc/x", "", "").error().code == ErrorCode::invalid_url);
  CHECK(client.request(kSubject, "GET", "", "", "").error().code == ErrorCode::invalid_url);
  CHECK(outcome(client.request(kSubject, "POST", "/x", "text/plain\r\nX: y", "b")) ==
        "invalid_argument header.value");
  CHECK(w.server->count() == 0);
}

TEST_CASE("request: a path, or a URL on the session's own server", "[client]") {
  ClientWorld w;
  w.world.log_in();
  const AtprotoClient client = w.make();
  for (const char* target : {"/xrpc/x?a=1", "https://pds.test/xrpc/x?a=1",
                             "HTTPS://PDS.test:443/xrpc/x?a=1", "//evil.test/x"}) {
    w.server->push(json_answer(200, "{}"));
    CHECK(client.request(kSubject, "GET", target, "", "").value().status == 200);
  }
  w.server->push(json_answer(418, "{}"));
  CHECK(client.request(kSubject, "PATCH", "/x", "text/plain", "body").value().status == 418);
  const auto sent = w.server->requests();
  REQUIRE(sent.size() == 5);
  for (const auto& request : sent) {
    CHECK(request.url.origin() == "https://pds.test");
    CHECK(token_of(request) == "at-1");
    CHECK(claim_of(request, "htm") == request.method);
  }
  CHECK(sent[0].url.target() == "/xrpc/x?a=1");
  CHECK(sent[4].body.expose() == "body");
  CHECK(*sent[4].headers.find("Content-Type") == "text/plain");
}

TEST_CASE("request: a GET is repeated on a new connection, anything else has one to begin with",
          "[client]") {
  ClientWorld w;
  w.world.log_in();
  const AtprotoClient client = w.make();
  w.server->push(connection_lost()).push(json_answer(200, "{}"));
  CHECK(client.request(kSubject, "GET", "/x", "", "").value().status == 200);
  w.server->push(connection_lost());
  CHECK(outcome(client.request(kSubject, "POST", "/x", "", "")) == "connection_lost test.lost");
  CHECK(w.server->count() == 3);
  CHECK(w.server->options()[2].connection == Connection::fresh);
}

TEST_CASE("fresh: C7.5: the account's documents are asked again before a token is spent",
          "[client]") {
  ClientWorld w;
  OAuthSession session = sample_session(w.world.jkt);
  session.client_id = w.client.client_id;
  session.revision = Revision{1};
  REQUIRE(w.world.store->save(session, Revision{}));
  w.on_token = [&](const HttpRequest& request) { return w.world.server.answer(request); };
  w.world.clock->advance(1h);
  {
    w.documents["https://pds.test/.well-known/oauth-protected-resource"] =
        R"({"resource":"https://pds.test","authorization_servers":["https://other.test"]})";
    const AtprotoClient client = w.make();
    CHECK(outcome(client.fresh(kSubject)) == "identity_mismatch issuer.not_authoritative");
    CHECK(w.server->count() == 0);
  }
  w.documents["https://plc.directory/" + std::string(kSubject)] =
      LoginWorld::did_document("https://moved.test");
  w.documents["https://moved.test/.well-known/oauth-protected-resource"] =
      R"({"resource":"https://moved.test","authorization_servers":["https://as.test"]})";
  const AtprotoClient client = w.make();
  CHECK(client.fresh(kSubject).value()->resource_server == "https://moved.test");
  CHECK(w.requests_to("/token").size() == 1);
}

TEST_CASE("fresh: C7.6: a renewed token of somebody else is refused and revoked", "[client]") {
  ClientWorld w;
  OAuthSession session = sample_session(w.world.jkt);
  session.client_id = w.client.client_id;
  session.revision = Revision{1};
  REQUIRE(w.world.store->save(session, Revision{}));
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json({{"sub", "\"did:plc:z72i7hdynmk6r22z27h6tvur\""}}));
  };
  w.world.clock->advance(1h);
  const AtprotoClient client = w.make();
  CHECK(outcome(client.fresh(kSubject)) == "token_invalid token.sub_mismatch");
  CHECK(w.world.server.revoked() == std::vector{std::string(kRefresh)});
  CHECK(w.world.stored().refresh_token->expose() == "rt-1");
}

TEST_CASE("pds: what it hands out lives longer than the client", "[client]") {
  ClientWorld w;
  w.world.log_in();
  std::optional<PdsClient> pds;
  {
    const AtprotoClient client = w.make();
    pds = AtprotoClient(client).pds(std::string(kSubject));
  }
  w.server->push(json_answer(200, R"({"uri":"at://x/y/z","cid":"bafy"})"));
  CHECK(pds->create_record("app.bsky.feed.post", "{}").value().cid == "bafy");
  CHECK(pds->did() == kSubject);
}

TEST_CASE("logout: ends the session by way of the client", "[client]") {
  ClientWorld w;
  w.world.log_in();
  const AtprotoClient client = w.make();
  CHECK(client.logout(kSubject).value() == LogoutOutcome::revoked);
  CHECK(outcome(client.fresh(kSubject)) == "login_required session.absent");
}
