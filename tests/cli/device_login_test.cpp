// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.qr_reader;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Logging in by a code that is typed on another device.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// A provider of device codes that asks to be polled once a second, and answers as it is told.
struct Devices {
  Services services{};
  Home home{};

  Devices() {
    const std::string here = services.origin();
    services.on("/device", [here](const std::string&) {
      return json_http(200, R"({"device_code":"dev-Marked-1","user_code":"WDJB-MJHT",)"
                            R"("verification_uri":")" +
                                here + R"(/go","verification_uri_complete":")" + here +
                                R"(/go?user_code=WDJB-MJHT","expires_in":600,"interval":1})");
    });
    pending();
  }
  void pending() {
    services.on("/token", [](const std::string&) {
      return json_http(400, R"({"error":"authorization_pending"})");
    });
  }
  void refuse(const std::string& error) {
    services.on("/token", [error](const std::string&) {
      return json_http(400, R"({"error":")" + error + R"("})");
    });
  }
  void grant() {
    services.on("/token", [](const std::string&) {
      return json_http(200, R"({"access_token":"acc-Marked-1","refresh_token":"ref-Marked-1",)"
                            R"("token_type":"Bearer","expires_in":3600,"scope":"read"})");
    });
  }
  [[nodiscard]] ToolStart login(Words more = {}) const {
    const std::string here = services.origin();
    Words words{"login",
                "--device",
                "--profile",
                "tv",
                "--client-id",
                "tv app",
                "--scope",
                "read",
                "--token-endpoint",
                here + "/token",
                "--device-authorization-endpoint",
                here + "/device"};
    words.insert(words.end(), more.begin(), more.end());
    return home.start(std::move(words), services);
  }
  [[nodiscard]] ToolStart on_screen(ToolStart start, bool utf8 = true) const {
    start.screen = Screen{};
    start.environment["TERM"] = "xterm";
    start.environment["LANG"] = utf8 ? "C.UTF-8" : "C";
    return start;
  }
  void wait_for_polls(std::size_t count) const {
    while (services.requests_to("/token").size() < count) std::this_thread::yield();
  }
};

Json error_of(const ToolRun& run) {
  const auto begin = run.err.find("{\"error\"");
  return begin == std::string::npos ? Json::object() : Json::parse(run.err.substr(begin))["error"];
}

}  // namespace

TEST_CASE("login --device: shows the code and waits for the person", "[cli]") {
  Devices d;
  Tool tool(d.login());
  REQUIRE(tool.says("left; Ctrl-C to stop"));
  CHECK(has(tool.said(), "\n  WDJB-MJHT\n"));
  CHECK(has(tool.said(), "\n  " + d.services.origin() + "/go\n"));
  d.wait_for_polls(1);
  d.grant();
  const ToolRun login = tool.finish();
  CHECK(login.status == 0);
  CHECK(login.out == "logged in as tv\n");
  // To a pipe: plain lines, no escape sequences, no picture.
  CHECK_FALSE(has(login.err, "\x1b"));
  CHECK_FALSE(has(login.err, "\u2588"));
  CHECK_FALSE(has(login.out + login.err, "Marked"));
  CHECK(d.home.store()->load("tv").value()->access_token.expose() == "acc-Marked-1");
}

TEST_CASE("login --device: on a terminal, a QR code to scan and one line with the time left",
          "[cli]") {
  Devices d;
  Tool tool(d.on_screen(d.login()));
  REQUIRE(tool.says("left; Ctrl-C to stop"));
  d.wait_for_polls(1);
  d.grant();
  const ToolRun login = tool.finish();
  REQUIRE(login.status == 0);
  CHECK(read_qr_code(squares_of_half_blocks(login.err)) ==
        d.services.origin() + "/go?user_code=WDJB-MJHT");
  CHECK(has(login.err, "\r\x1b[Klatchkey: waiting for you, 10 min 0 s left; Ctrl-C to stop"));
  CHECK(has(login.err, "\r\x1b[Klatchkey: waiting for you, 9 min 59 s left; Ctrl-C to stop"));
  CHECK(login.err.ends_with("\r\x1b[K"));
  CHECK_FALSE(has(login.err, "Marked"));
}

TEST_CASE("login --device: what a terminal can't show is not drawn", "[cli]") {
  struct Case {
    const char* what;
    Words more;
    const char* name;
    const char* value;
    Screen screen;
    bool picture, colours, ascii;
  };
  for (const Case& one : std::vector<Case>{
           {"--no-qr", {"--no-qr"}, "LANG", "C.UTF-8", {}, false, false, false},
           {"NO_COLOR", {}, "NO_COLOR", "1", {}, true, false, false},
           {"dumb", {}, "TERM", "dumb", {}, true, false, false},
           {"narrow", {}, "LANG", "C.UTF-8", {.columns = 30, .rows = 50}, false, false, false},
           {"no UTF-8", {}, "LANG", "C", {}, false, true, true},
       }) {
    CAPTURE(one.what);
    Devices d;
    d.grant();
    ToolStart start = d.on_screen(d.login(one.more));
    start.environment[one.name] = one.value;
    start.screen = one.screen;
    const ToolRun login = run(std::move(start));
    CHECK(login.status == 0);
    CHECK(has(login.err, "WDJB-MJHT"));
    CHECK(has(login.err, "\u2588") == one.picture);
    CHECK(has(login.err, "####") == one.ascii);
    CHECK(has(login.err, "\x1b[97;40m") == one.colours);
    if (one.ascii)
      CHECK(read_qr_code(squares_of_ascii(login.err)) ==
            d.services.origin() + "/go?user_code=WDJB-MJHT");
  }
}

TEST_CASE("login --device: stopped, it says how to go on, and goes on", "[cli]") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    Devices d;
    Tool tool(d.login());
    d.wait_for_polls(1);
    tool.signal(number);
    const ToolRun stopped = tool.finish();
    CHECK(stopped.status == 1);
    CHECK(has(stopped.err, "latchkey login --device --resume --profile tv"));
    d.grant();
    const ToolRun resumed =
        run(d.home.start({"login", "--device", "--resume", "--profile", "tv"}, d.services));
    INFO(resumed.err);
    CHECK(resumed.status == 0);
    CHECK(has(resumed.err, "WDJB-MJHT"));
    CHECK(d.services.requests_to("/device").size() == 1);
    CHECK(has(body_of_request(d.services.requests_to("/token").back()), "dev-Marked-1"));
  }
}

TEST_CASE("login --device --resume: nothing to go on with is said", "[cli]") {
  Devices d;
  d.refuse("access_denied");
  CHECK(run(d.login()).status == 1);
  const ToolRun resumed =
      run(d.home.start({"login", "--resume", "--profile", "tv", "--json"}, d.services));
  CHECK(resumed.status == 3);
  CHECK(error_of(resumed)["detail"] == "profile.nothing_to_resume");
  CHECK(d.services.requests_to("/device").size() == 1);
}

TEST_CASE("login --device: the server's no is an end, each by its name", "[cli]") {
  struct Case {
    const char *error, *detail;
  };
  for (const auto& [error, detail] : {Case{"access_denied", "device.access_denied"},
                                      Case{"expired_token", "device.expired_token"},
                                      Case{"invalid_grant", "device.invalid_grant"}}) {
    CAPTURE(error);
    Devices d;
    d.refuse(error);
    const ToolRun refused = run(d.login({"--json"}));
    CHECK(refused.status == 1);
    CHECK(refused.out.empty());
    CHECK(error_of(refused)["detail"] == detail);
    CHECK_FALSE(has(refused.err, "Marked"));
    CHECK_FALSE(d.home.store()->load("tv").value().has_value());
  }
}

TEST_CASE("login --device: trouble with the network is said once, and waited out", "[cli]") {
  Devices d;
  d.services.on("/token", [](const std::string&) { return json_http(503, "{}"); });
  Tool tool(d.login());
  REQUIRE(tool.says("can't be asked right now"));
  d.grant();
  const ToolRun login = tool.finish();
  CHECK(login.status == 0);
  const auto first = login.err.find("can't be asked");
  CHECK(login.err.find("can't be asked", first + 1) == std::string::npos);
}

TEST_CASE("login --device: resources are refused, for a device's login does not send them",
          "[cli]") {
  const Devices d;
  const ToolRun refused = run(d.login({"--resource", "https://api.test", "--json"}));
  CHECK(refused.status == 2);
  CHECK(error_of(refused)["detail"] == "cli.device_resource");
  CHECK(d.services.requests_to("/device").empty());
}

TEST_CASE("login --device: a redirect over https needs no certificate here", "[cli]") {
  Devices d;
  d.grant();
  ToolStart start = d.login({"--https"});
  start.environment["PATH"] = d.home.path().native();
  const ToolRun login = run(std::move(start));
  INFO(login.err);
  CHECK(login.status == 0);
}

TEST_CASE("login --device: a server without device codes is said", "[cli]") {
  const Devices d;
  const std::string here = d.services.origin();
  const ToolRun refused = run(d.home.start(
      {"login", "--device", "--profile", "tv", "--client-id", "tv app", "--token-endpoint",
       here + "/token", "--authorization-endpoint", here + "/authorize", "--json"},
      d.services));
  CHECK(refused.status == 2);
  CHECK(error_of(refused)["detail"] == "device.no_endpoint");
}
