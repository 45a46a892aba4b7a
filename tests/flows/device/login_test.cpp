// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.http;
import latchkey.session;
import latchkey.test.device_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

// The device grant as it should go, and what it does about time and trouble.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Times = std::vector<double>;

template <class P>
concept PollableAgain = requires(P pending) { pending.poll(); };
template <class P>
concept Pollable = requires(P pending) { std::move(pending).poll(); };
template <class P>
concept Printable = requires(P pending, std::ostream& out) { out << pending; };

// M046: a device code is polled for in one place, once.
static_assert(Pollable<PendingDeviceLogin> && !PollableAgain<PendingDeviceLogin>);
static_assert(!std::is_copy_constructible_v<PendingDeviceLogin>);
static_assert(!std::is_copy_assignable_v<PendingDeviceLogin>);
static_assert(!Printable<PendingDeviceLogin>);

TEST_CASE("device login: the person sees the code and the address, and no secret", "[device]") {
  DeviceWorld world;
  world.then_codes(600s);
  const auto pending = world.begun();
  const auto& codes = pending.codes();
  CHECK(codes.user_code == "WDJB-MJHT");
  CHECK(codes.verification_uri == "https://id.test/go");
  CHECK(codes.verification_uri_complete.empty());
  CHECK(codes.expires_at == kStart + 600s);
  CHECK(codes.subject == kProfile);
  CHECK(codes.id.size() == 22);
}

TEST_CASE("D.6: pending, slow_down, success: each slow_down adds five seconds for good",
          "[device]") {
  DeviceWorld world;
  world.then_codes().then_pending().then_error("slow_down").then_pending();
  world.then_error("slow_down").then_tokens();
  const auto session = world.log_in();
  REQUIRE(outcome(session) == "ok");
  CHECK(world.poll_times() == Times{5, 10, 20, 30, 45});
  CHECK((*session)->access_token.expose() == "at-1");
}

TEST_CASE("device login: the session is saved, durable, and nothing else is left", "[device]") {
  DeviceWorld world;
  world.then_codes().then_tokens();
  const auto session = world.log_in();
  REQUIRE(outcome(session) == "ok");
  const auto stored = world.stored();
  REQUIRE(stored);
  CHECK(stored->subject == kProfile);
  CHECK(stored->issuer == "https://id.test");
  CHECK(stored->token_endpoint == "https://id.test/token");
  CHECK(stored->revocation_endpoint == "https://id.test/revoke");
  CHECK(stored->client_id == "radio");
  CHECK(stored->scope == "books");
  CHECK(stored->token_type == "Bearer");
  CHECK(stored->access_token.expose() == "at-1");
  CHECK(stored->refresh_token->expose() == "rt-1");
  CHECK(stored->login_id != 0);
  CHECK(stored->expires_at == kStart + 5s + 3600s);
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: the requests carry what RFC 8628 says, and the extra fields", "[device]") {
  DeviceWorld world;
  world.options.extra = {{"device_name", "kitchen"}};
  world.then_codes().then_tokens();
  REQUIRE(outcome(world.log_in()) == "ok");
  const auto requests = world.server->requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].body.expose() == "scope=books&device_name=kitchen&client_id=radio");
  CHECK(requests[1].body.expose() ==
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
        "&device_code=the+device+code&client_id=radio");
}

TEST_CASE("M043: the first poll is one interval away, the server's or else five seconds",
          "[device]") {
  {
    DeviceWorld world;
    world.then_codes(600s, 7).then_pending().then_tokens();
    CHECK(outcome(world.log_in()) == "ok");
    CHECK(world.poll_times() == Times{7, 14});
  }
  DeviceWorld world;
  world.then_codes(600s, {}).then_pending().then_tokens();
  CHECK(outcome(world.log_in()) == "ok");
  CHECK(world.poll_times() == Times{5, 10});
}

TEST_CASE("M042: no poll is sent at or after the expiry, and the wait ends when none is left",
          "[device]") {
  DeviceWorld world;
  world.then_codes(15s).then_pending().then_pending();
  CHECK(outcome(world.log_in()) == "timeout device.expired_token");
  CHECK(world.poll_times() == Times{5, 10});
  CHECK(world.seconds_passed() == 10);
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: it waits half an hour at most, whatever the server allows", "[device]") {
  DeviceWorld world;
  world.then_codes(24h, 300);
  for (int i = 0; i < 5; ++i) world.then_pending();
  auto pending = world.begun();
  CHECK(pending.codes().expires_at == kStart + 30min);
  CHECK(outcome(std::move(pending).poll()) == "timeout device.expired_token");
  CHECK(world.poll_times() == Times{300, 600, 900, 1200, 1500});
}

TEST_CASE("M044: while the network is down the wait doubles up to a minute, and then is as before",
          "[device]") {
  DeviceWorld world;
  world.then_codes();
  for (int i = 0; i < 5; ++i) world.then_broken(ErrorCode::unreachable, Delivery::not_sent);
  world.then_pending().then_tokens();
  CHECK(outcome(world.log_in()) == "ok");
  CHECK(world.poll_times() == Times{5, 15, 35, 75, 135, 195, 200});
}

TEST_CASE("device login: a server in trouble is waited out, as long as it asks for", "[device]") {
  DeviceWorld world;
  world.then_codes().then(503, "").then(429, "", {{"Retry-After", "42"}});
  world.then(429, R"({"error":"slow_down"})", {{"Retry-After", "1"}}).then_tokens();
  CHECK(outcome(world.log_in()) == "ok");
  CHECK(world.poll_times() == Times{5, 15, 57, 67});
}

TEST_CASE("device login: back-off starts from the interval that slow_down has made", "[device]") {
  DeviceWorld world;
  world.then_codes().then_error("slow_down").then(500, "").then_pending().then_tokens();
  CHECK(outcome(world.log_in()) == "ok");
  CHECK(world.poll_times() == Times{5, 15, 35, 45});
}

TEST_CASE("device login: a network that stays down ends it at the expiry, with the cause",
          "[device]") {
  DeviceWorld world;
  world.then_codes(60s);
  for (int i = 0; i < 3; ++i) world.then_broken(ErrorCode::timeout, Delivery::maybe_sent);
  const auto session = world.log_in();
  CHECK(outcome(session) == "timeout device.expired_token");
  CHECK(session.error().message.find("the network is down") != std::string::npos);
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: the time left is told every second, and what is wrong", "[device]") {
  DeviceWorld world;
  world.then_codes(60s, 2).then(503, "").then_tokens();
  std::vector<std::pair<double, double>> told;
  std::vector<std::string> troubles;
  const auto note = [&](const DeviceProgress& progress) {
    told.emplace_back(std::chrono::duration<double>(progress.time_left).count(),
                      std::chrono::duration<double>(progress.next_poll).count());
    troubles.push_back(progress.trouble == nullptr ? "" : progress.trouble->detail);
  };
  CHECK(outcome(world.log_in({.on_progress = note})) == "ok");
  CHECK(told == std::vector<std::pair<double, double>>{
                    {60, 2}, {59, 1}, {58, 4}, {57, 3}, {56, 2}, {55, 1}});
  CHECK(troubles == std::vector<std::string>{"", "", "device.server_error", "device.server_error",
                                             "device.server_error", "device.server_error"});
}

TEST_CASE("device login: without proofs no key is made", "[device]") {
  DeviceWorld world;
  world.then_codes();
  const auto pending = world.begun();
  CHECK(world.key_count() == 0);
  CHECK(world.server->requests()[0].headers.find("DPoP") == nullptr);
}

TEST_CASE("device login: with proofs there is one key, from the first request on", "[device]") {
  DeviceWorld world;
  world.options.binding = TokenBinding::dpop;
  world.then_codes().then_pending().then_tokens("DPoP");
  const auto session = world.log_in();
  REQUIRE(outcome(session) == "ok");
  for (const auto& request : world.server->requests()) {
    CHECK(request.headers.find("DPoP") != nullptr);
  }
  REQUIRE(world.key_count() == 1);
  CHECK((*session)->dpop_jkt == world.vault->list().value()[0].id);
  CHECK((*session)->token_type == "DPoP");
}

TEST_CASE("device login: cancelled before or between polls it stays, to be resumed", "[device]") {
  for (const double when : {0.0, 3.0, 7.0}) {
    CAPTURE(when);
    DeviceWorld world;
    world.options.binding = TokenBinding::dpop;
    world.then_codes().then_pending();
    std::stop_source stop;
    const auto session = world.log_in({.stop = stop.get_token(), .on_progress = [&](const auto&) {
                                         if (world.seconds_passed() >= when) stop.request_stop();
                                       }});
    CHECK(outcome(session) == "cancelled device.cancelled");
    CHECK(world.pending_count() == 1);
    CHECK(world.key_count() == 1);
    CHECK(world.flow().resumable()->size() == 1);
  }
}

TEST_CASE("device login: a poll that is under way is not cancelled, and what it brings is kept",
          "[device]") {
  for (const bool granted : {true, false}) {
    DeviceWorld world;
    world.then_codes();
    std::stop_source stop;
    world.server->push([&](const HttpRequest&, const SendOptions& options) {
      stop.request_stop();
      CHECK_FALSE(options.stop.stop_possible());
      return granted ? json_answer(200, R"({"access_token":"at-1","token_type":"Bearer"})")
                     : json_answer(400, R"({"error":"authorization_pending"})");
    });
    const auto session = world.log_in({.stop = stop.get_token()});
    CHECK(outcome(session) == (granted ? "ok" : "cancelled device.cancelled"));
    CHECK(world.stored().has_value() == granted);
  }
}

TEST_CASE("device login: cancelled while it asks for the codes it leaves nothing", "[device]") {
  DeviceWorld world;
  world.options.binding = TokenBinding::dpop;
  std::stop_source stop;
  stop.request_stop();
  world.server->push([](const HttpRequest&, const SendOptions& options) -> Result<HttpResponse> {
    CHECK(options.stop.stop_requested());
    return make_error(ErrorCode::cancelled, "scripted.cancelled", "cancelled");
  });
  CHECK(outcome(world.flow().begin(stop.get_token())) == "cancelled scripted.cancelled");
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: given up, nothing is left of it", "[device]") {
  DeviceWorld world;
  world.options.binding = TokenBinding::dpop;
  world.then_codes();
  auto pending = world.begun();
  CHECK_FALSE(world.nothing_is_left());
  std::move(pending).abandon();
  CHECK(world.nothing_is_left());
  CHECK(world.server->count() == 1);
}
