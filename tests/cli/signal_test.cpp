// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.policy;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;
import latchkey.test.tool;
import latchkey.test.tool_places;

// SIGINT, SIGTERM and SIGHUP ask the tool to stop.

using namespace latchkey;
using namespace latchkey::test;
using sandbox::FaultKind;

namespace {

constexpr std::string_view kSavedFirst = "a refresh under way is finished and saved first";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// A sandbox, and a home of the tool's in which alice is logged in to it.
struct LoggedIn {
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", {}, true).value();
  Home home{};

  LoggedIn() {
    auto client = AtprotoClient::create({.client = loopback_client(kScope),
                                         .store = home.store(),
                                         .vault = home.vault(),
                                         .plc_url = servers->plc(),
                                         .resolve_handles_at = servers->pds(),
                                         .http_rule = HttpRule::allow_http_for_loopback,
                                         .browser = std::make_shared<FollowingBrowser>()})
                      .value();
    REQUIRE(outcome(client.login("alice.test")) == "ok");
  }

  [[nodiscard]] ToolStart start(std::vector<std::string> words) const {
    ToolStart out = home.start(std::move(words));
    out.environment["LATCHKEY_PLC_URL"] = servers->plc();
    out.environment["LATCHKEY_RESOLVE_HANDLES_AT"] = servers->pds();
    out.environment["LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK"] = "1";
    return out;
  }
  [[nodiscard]] std::string refresh_token() const {
    return std::string(home.store()->load(alice.did).value().value().refresh_token->expose());
  }
  // Waits until the server has renewed the session so many times.
  void wait_for_refreshes(unsigned count) const {
    while (servers->counts().refreshes < count) std::this_thread::yield();
  }
};

}  // namespace

TEST_CASE("refresh: a signal while the server holds its answer waits for the save, and says so",
          "[cli]") {
  const LoggedIn world;
  unsigned refreshes = 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    const std::string before = world.refresh_token();
    world.servers->inject(sandbox::refresh_fault(FaultKind::hold));
    Tool tool(world.start({"refresh"}));
    world.wait_for_refreshes(++refreshes);
    tool.signal(number);
    REQUIRE(tool.says(kSavedFirst));
    tool.signal(number);  // a second one changes nothing
    CHECK(world.refresh_token() == before);
    world.servers->release();
    const ToolRun ended = tool.finish();
    CHECK(ended.status == 1);
    CHECK(ended.out.empty());
    CHECK(has(ended.err, "stopping"));
    CHECK(world.refresh_token() != before);
  }
  CHECK(run(world.start({"request", "GET", "/xrpc/com.atproto.server.getSession"})).status == 0);
  CHECK(world.servers->counts().refreshes == refreshes);
  CHECK(world.servers->counts().replays == 0);
}

TEST_CASE("refresh: one that nobody interrupts says nothing of waiting", "[cli]") {
  const LoggedIn world;
  const ToolRun done = run(world.start({"refresh"}));
  CHECK(done.status == 0);
  CHECK_FALSE(has(done.err, kSavedFirst));
}

TEST_CASE("sandbox: a signal ends it without a word of a refresh", "[cli]") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    const Home home;
    Tool tool(home.start({"sandbox"}));
    REQUIRE(tool.says("the sandbox runs until Ctrl-C"));
    tool.signal(number);
    const ToolRun ended = tool.finish();
    CHECK(ended.status == 0);
    CHECK(has(ended.err, "stopping"));
    CHECK_FALSE(has(ended.err, "refresh"));
  }
}
