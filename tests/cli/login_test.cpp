// SPDX-License-Identifier: MIT
#include <signal.h>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.raw_client;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Logging in from a shell.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

constexpr std::string_view kCode = "cod-Marked9f8e7d6c5b4a39281706f5e4d3c2b1a0";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Wired {
  Services services{};
  Home home{};

  [[nodiscard]] ToolStart login(Words more, Input input = {}) const {
    Words words{"login", std::string(kAlice)};
    words.insert(words.end(), more.begin(), more.end());
    ToolStart start = home.start(std::move(words), services);
    start.input = std::move(input);
    return start;
  }
  // A member of the last pushed request.
  [[nodiscard]] std::string pushed(std::string_view name) const {
    const auto form = form_decode(body_of_request(services.requests_to("/par").back())).value();
    return **form_value(form, name);
  }
  // Where the browser ends when the person agrees.
  [[nodiscard]] std::string landing() const {
    return pushed("redirect_uri") + "?state=" + pushed("state") +
           "&iss=" + percent_encode(services.origin()) + "&code=" + std::string(kCode);
  }
  // What the browser is shown there.
  [[nodiscard]] std::string visit(const std::string& address) const {
    const Url url = Url::parse(address).value();
    return RawClient(url.port())
        .send("GET " + url.target() + " HTTP/1.1\r\nHost: " + url.authority() + "\r\n\r\n")
        .read_all();
  }
  void check_nothing_left() const {
    CHECK(home.vault()->list().value().empty());
    CHECK_FALSE(home.store()->load(kAlice).value().has_value());
  }
};

}  // namespace

TEST_CASE("login: by a browser on this machine, with results and talk on their own streams",
          "[cli]") {
  const Wired w;
  Tool tool(w.login({"--no-browser", "--json"}));
  REQUIRE(tool.says("waiting for you to finish in the browser"));
  CHECK(has(tool.said(), "\n" + w.services.origin() + "/authorize?client_id="));
  const std::string page = w.visit(w.landing());
  const ToolRun login = tool.finish();
  CHECK(page.starts_with("HTTP/1.1 200"));
  CHECK(has(page, "alice.test") != has(page, "handle.invalid"));
  CHECK(login.status == 0);
  CHECK(Json::parse(login.out)["subject"] == kAlice);
  CHECK_FALSE(has(login.out + login.err + page, "Marked"));
  CHECK(w.home.store()->load(kAlice).value()->access_token.expose() == kAccessToken);
  CHECK(run(w.home.start({"whoami"}, w.services)).status == 0);
  CHECK(w.home.vault()->list().value().size() == 1);
}

TEST_CASE("login: by an address that is pasted", "[cli]") {
  const Wired w;
  Tool tool(w.login({"--paste"}, {.kind = Input::Kind::silent}));
  REQUIRE(tool.says("press Enter:"));
  CHECK(w.pushed("redirect_uri") == "http://127.0.0.1/callback");
  tool.type(w.landing());
  const ToolRun login = tool.finish();
  CHECK(login.status == 0);
  CHECK(has(login.out, "logged in as"));
  CHECK_FALSE(has(login.out + login.err, "Marked"));
}

TEST_CASE("login: nothing to paste from, or the wrong thing pasted, leaves nothing behind",
          "[cli]") {
  const std::vector<std::pair<Input, std::string>> cases{
      {{.kind = Input::Kind::closed}, "cli.no_input"},
      {{.kind = Input::Kind::nothing}, "cli.no_input"},
      {typed("\n"), "cli.no_input"},
      {typed("no idea"), "callback.pasted"},
      {typed("http://127.0.0.1/callback?state=x&code=" + std::string(kCode)),
       "callback.pasted_other"},
      {typed(std::string(20'000, 'x')), "cli.input"},
  };
  for (const auto& [input, detail] : cases) {
    CAPTURE(detail);
    const Wired w;
    const ToolRun login = run(w.login({"--paste", "--json"}, input));
    CHECK(login.status == 1);
    CHECK(login.out.empty());
    CHECK(has(login.err, "\"" + detail + "\""));
    CHECK_FALSE(has(login.err, "Marked"));
    w.check_nothing_left();
  }
}

TEST_CASE("login: a signal while it waits for the browser ends it at once, and leaves nothing",
          "[cli]") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    const Wired w;
    Tool tool(w.login({"--no-browser"}));
    REQUIRE(tool.says("waiting for you"));
    tool.signal(number);
    const ToolRun login = tool.finish();
    CHECK(login.status == 1);
    CHECK(login.out.empty());
    CHECK(w.services.requests_to("/token").empty());
    w.check_nothing_left();
  }
}

TEST_CASE("login: a signal while it waits for a pasted address ends it too", "[cli]") {
  const Wired w;
  Tool tool(w.login({"--paste"}, {.kind = Input::Kind::silent}));
  REQUIRE(tool.says("press Enter:"));
  tool.signal(SIGINT);
  CHECK(tool.finish().status == 1);
  w.check_nothing_left();
}

TEST_CASE("login: a person who does not come is waited for as long as was said", "[cli]") {
  const Wired w;
  const ToolRun login = run(w.login({"--no-browser", "--timeout", "1", "--json"}));
  CHECK(login.status == 1);
  CHECK(has(login.err, R"("code":"timeout")"));
  w.check_nothing_left();
}

TEST_CASE("login: a browser that can't be started is said, and the wait goes on", "[cli]") {
  const Wired w;
  ToolStart start = w.login({});
  start.environment["BROWSER"] = "/bin/false";
  Tool tool(std::move(start));
  REQUIRE(tool.says("no browser could be opened"));
  REQUIRE(tool.says("waiting for you"));
  static_cast<void>(w.visit(w.landing()));
  CHECK(tool.finish().status == 0);
}

TEST_CASE("login: a stale tab is said, and the wait goes on", "[cli]") {
  const Wired w;
  Tool tool(w.login({"--no-browser"}));
  REQUIRE(tool.says("waiting for you"));
  static_cast<void>(w.visit(w.pushed("redirect_uri") + "?state=stale&code=x"));
  REQUIRE(tool.says("stale tab"));
  static_cast<void>(w.visit(w.landing()));
  CHECK(tool.finish().status == 0);
}

TEST_CASE("login: what the server gives for somebody else is refused and revoked", "[cli]") {
  Wired w;
  w.services.on("/token", [](const std::string&) {
    return json_http(
        200, R"({"access_token":"acc-Marked-x","refresh_token":"ref-Marked-x","token_type":"DPoP",)"
             R"("scope":"atproto","sub":"did:plc:z72i7hdynmk6r22z27h6tvur"})");
  });
  Tool tool(w.login({"--no-browser", "--json"}));
  REQUIRE(tool.says("waiting for you"));
  const std::string page = w.visit(w.landing());
  const ToolRun login = tool.finish();
  CHECK(page.starts_with("HTTP/1.1 400"));
  CHECK(login.status == 1);
  CHECK(has(login.err, "token.sub_mismatch"));
  CHECK_FALSE(has(login.out + login.err + page, "Marked"));
  CHECK(w.services.requests_to("/revoke").size() == 1);
  w.check_nothing_left();
}

TEST_CASE("login: who can't be found is not pushed anywhere", "[cli]") {
  const Wired w;
  for (const char* who : {"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "not a handle", "https://"}) {
    CAPTURE(who);
    const ToolRun login = run(w.home.start({"login", who, "--no-browser", "--json"}, w.services));
    CHECK((login.status == 1 || login.status == 2));
    CHECK(Json::parse(login.err).contains("error"));
  }
  CHECK(run(w.login({"--scope", "email"})).status == 2);
  CHECK(w.services.requests_to("/par").empty());
  w.check_nothing_left();
}

TEST_CASE("login: http servers are not talked to unless that is allowed", "[cli]") {
  const Wired w;
  ToolStart start = w.login({"--no-browser", "--json"});
  start.environment.erase("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK");
  const ToolRun login = run(std::move(start));
  CHECK(login.status == 1);
  CHECK(Json::parse(login.err)["error"]["code"] == "insecure_address");
}

TEST_CASE("login: a second login with other permissions replaces and revokes the first", "[cli]") {
  const Wired w;
  for (const char* scope : {"atproto transition:generic", "atproto"}) {
    Tool tool(w.login({"--no-browser", "--scope", scope}));
    REQUIRE(tool.says("waiting for you"));
    static_cast<void>(w.visit(w.landing()));
    CHECK(tool.finish().status == 0);
  }
  const auto revoked = w.services.requests_to("/revoke");
  REQUIRE(revoked.size() == 1);
  // In the name of the client that it was given to.
  CHECK(has(percent_encode(body_of_request(revoked[0])), "transition"));
  CHECK(w.home.vault()->list().value().size() == 1);
}
