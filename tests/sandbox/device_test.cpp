// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cctype>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Device {
  explicit Device(const Members& metadata = openid_metadata())
      : world(metadata), client(world.openid("openid")) {}

  WireAnswer start() {
    auto answer =
        client->post("/oauth/device", {{"client_id", client->client_id}, {"scope", client->scope}});
    device_code = answer.text("device_code");
    user_code = answer.text("user_code");
    return answer;
  }
  [[nodiscard]] Form poll_form() const {
    return {{"grant_type", std::string(sandbox::kDeviceGrant)},
            {"client_id", client->client_id},
            {"device_code", device_code}};
  }
  [[nodiscard]] WireAnswer poll() { return client->post("/oauth/token", poll_form()); }
  /// After a wait that is long enough.
  [[nodiscard]] std::string polled() {
    world.clock->advance(1min);
    return poll().outcome();
  }
  [[nodiscard]] WireAnswer page(const std::string& query = {}, const WireHeaders& headers = {}) {
    return exchange(world.servers->issuer(), "GET", "/device" + query, headers);
  }
  [[nodiscard]] WireAnswer send(const Form& form, WireHeaders headers) {
    headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    return exchange(world.servers->issuer(), "POST", "/device", headers, encode(form));
  }

  RegisteredWorld world;
  std::unique_ptr<WireClient> client;
  std::string device_code, user_code;
};

std::string hidden(const std::string& page, const std::string& name) {
  const std::string start = "name=\"" + name + "\" value=\"";
  const auto at = page.find(start);
  if (at == std::string::npos) return {};
  const auto from = at + start.size();
  return page.substr(from, page.find('"', from) - from);
}

/// A person before the page with the code typed in.
struct Visit {
  explicit Visit(Device& of) : device(of) {
    const auto shown = device.page("?user_code=" + device.user_code);
    cookie = shown.header("Set-Cookie").substr(0, shown.header("Set-Cookie").find(';'));
    body = shown.body;
    form = {{"user_code", hidden(body, "user_code")},
            {"form_token", hidden(body, "form_token")},
            {"identifier", "alice.test"},
            {"password", "secret"},
            {"decision", "allow"}};
  }
  [[nodiscard]] WireAnswer send() { return device.send(form, {{"Cookie", cookie}}); }

  Device& device;
  std::string cookie, body;
  Form form;
};

}  // namespace

TEST_CASE("device: a start says all that RFC 8628 wants", "[sandbox]") {
  Device device;
  const auto answer = device.start();
  REQUIRE(answer.outcome() == "200 ");
  const std::string page = device.world.servers->issuer() + "/device";
  CHECK(answer.text("verification_uri") == page);
  CHECK(answer.text("verification_uri_complete") == page + "?user_code=" + device.user_code);
  const auto json = JsonObject::parse(answer.body, ErrorCode::invalid_response, "test").value();
  CHECK(json.integer("interval").value() == 5);
  CHECK(json.integer("expires_in").value() == 600);
  CHECK(device.device_code.size() >= 43);
  REQUIRE(device.user_code.size() == 9);
  CHECK(device.user_code[4] == '-');
  CHECK(answer.header("Cache-Control") == "no-store");
}

TEST_CASE("device: user codes have no vowels and no letters that look alike", "[sandbox]") {
  Device device;
  std::set<std::string> codes;
  for (int i = 0; i < 50; ++i) {
    static_cast<void>(device.start());
    codes.insert(device.user_code);
    for (const char c : device.user_code) {
      CHECK(std::string_view("BCDFGHJKLMNPQRSTVWXZ-").find(c) != std::string_view::npos);
    }
  }
  CHECK(codes.size() == 50);
}

TEST_CASE("device: who may not start is told why", "[sandbox]") {
  Device device;
  const auto refused = [&](const std::string& outcome, const std::string& detail,
                           const Form& form) {
    CHECK(device.client->post("/oauth/device", form).outcome() == outcome);
    CHECK(device.world.last_detail() == detail);
  };
  const std::string id = device.client->client_id;
  refused("400 invalid_request", "device.scope_missing", {{"client_id", id}});
  refused("400 invalid_scope", "device.scope_not_declared",
          {{"client_id", id}, {"scope", "openid atproto"}});
  device.client->extra_headers = basic(id, "wrong");
  refused("401 invalid_client", "device.client_secret", {{"client_id", id}, {"scope", "openid"}});
  device.client->extra_headers = {};
  const WireClient loopback(*device.world.servers);
  refused("400 unauthorized_client", "device.grant_type",
          {{"client_id", loopback.client_id}, {"scope", "atproto"}});
  CHECK(exchange(device.world.servers->issuer(), "GET", "/oauth/device").status == 405);
}

TEST_CASE("device: pending until somebody allows it, then tokens once", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.poll().outcome() == "400 authorization_pending");
  CHECK(device.polled() == "400 authorization_pending");
  CHECK(device.world.servers->approve_device(device.user_code, "alice.test"));
  device.world.clock->advance(5s);
  const auto answer = device.poll();
  REQUIRE(answer.outcome() == "200 ");
  CHECK(answer.text("token_type") == "Bearer");
  CHECK(answer.text("refresh_token") != "");
  CHECK(answer.text("id_token") != "");
  CHECK(device.world.servers->live_sessions("alice.test") == 1);
  CHECK(device.polled() == "400 invalid_grant");
  CHECK(device.world.last_detail() == "device.used");
  CHECK(device.world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("device: asking too early makes the interval five seconds longer, for good",
          "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.poll().outcome() == "400 authorization_pending");
  device.world.clock->advance(4999ms);
  CHECK(device.poll().outcome() == "400 slow_down");
  device.world.clock->advance(9999ms);
  CHECK(device.poll().outcome() == "400 slow_down");
  device.world.clock->advance(15s);
  CHECK(device.poll().outcome() == "400 authorization_pending");
  // Allowed or not: too early is too early.
  CHECK(device.world.servers->approve_device(device.user_code, "alice.test"));
  device.world.clock->advance(14s);
  CHECK(device.poll().outcome() == "400 slow_down");
  device.world.clock->advance(20s);
  CHECK(device.poll().outcome() == "200 ");
}

TEST_CASE("device: each code has an interval of its own", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.poll().outcome() == "400 authorization_pending");
  CHECK(device.poll().outcome() == "400 slow_down");
  static_cast<void>(device.start());
  CHECK(device.poll().outcome() == "400 authorization_pending");
}

TEST_CASE("device: a code ends after ten minutes, allowed or not", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  device.world.clock->advance(10min - 1ms);
  CHECK(device.world.servers->approve_device(device.user_code, "alice.test"));
  device.world.clock->advance(1ms);
  CHECK(device.poll().outcome() == "400 expired_token");
  static_cast<void>(device.start());
  device.world.clock->advance(10min);
  CHECK_FALSE(device.world.servers->approve_device(device.user_code, "alice.test"));
  CHECK(device.page("?user_code=" + device.user_code).status == 404);
}

TEST_CASE("device: no is access_denied", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.world.servers->deny_device(device.user_code));
  CHECK(device.polled() == "400 access_denied");
  CHECK_FALSE(device.world.servers->approve_device(device.user_code, "alice.test"));
  CHECK(device.polled() == "400 access_denied");
}

TEST_CASE("device: an account that approves by itself is still asked", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.page("?user_code=" + device.user_code).status == 200);
  CHECK(device.polled() == "400 authorization_pending");
}

TEST_CASE("device: a code of nobody, or of another client, gives nothing", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  auto form = device.poll_form();
  form.erase("device_code");
  CHECK(device.client->post("/oauth/token", form).outcome() == "400 invalid_request");
  form["device_code"] = "dev-x";
  CHECK(device.client->post("/oauth/token", form).outcome() == "400 invalid_grant");
  CHECK(device.world.last_detail() == "device.unknown");
  const auto other = device.world.backend();
  form = device.poll_form();
  form["client_id"] = other->client_id;
  CHECK(device.world.servers->approve_device(device.user_code, "alice.test"));
  CHECK(other->post("/oauth/token", form).outcome() == "400 invalid_grant");
  CHECK(device.world.last_detail() == "device.wrong_client");
  CHECK(device.polled() == "200 ");
}

TEST_CASE("device: tokens are bound to the key of the last poll", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.world.servers->approve_device(device.user_code, "alice.test"));
  device.client->bearer = false;
  const auto answer = device.poll();
  CHECK(answer.text("token_type") == "DPoP");
  const auto refresh = device.client->refresh_form(answer.text("refresh_token"));
  CHECK(device.client->post("/oauth/token", refresh).text("token_type") == "DPoP");
}

TEST_CASE("device: an ATProto client must prove its key when it polls", "[sandbox]") {
  Device device;
  const auto backend = device.world.backend();
  backend->bearer = true;
  const auto started =
      backend->post("/oauth/device", {{"client_id", backend->client_id}, {"scope", "atproto"}});
  REQUIRE(started.outcome() == "200 ");
  CHECK(device.world.servers->approve_device(started.text("user_code"), "alice.test"));
  const Form form{{"grant_type", std::string(sandbox::kDeviceGrant)},
                  {"client_id", backend->client_id},
                  {"device_code", started.text("device_code")}};
  CHECK(backend->post("/oauth/token", form).outcome() == "400 invalid_dpop_proof");
  backend->bearer = false;
  const auto tokens = backend->post("/oauth/token", form);
  CHECK(tokens.text("sub") == device.world.alice.did);
  CHECK(backend->call("GET", "/xrpc/com.atproto.server.getSession", tokens.text("access_token"))
            .status == 200);
}

TEST_CASE("device page: a code may be typed in small letters and without its dash", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  CHECK(device.page().body.find("name=\"user_code\"") != std::string::npos);
  std::string typed = device.user_code;
  std::transform(typed.begin(), typed.end(), typed.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  typed.erase(4, 1);
  CHECK(device.page("?user_code=" + typed).status == 200);
  CHECK(device.page("?user_code=+" + typed.substr(0, 2) + '-' + typed.substr(2)).status == 200);
  CHECK(device.page("?user_code=" + typed.substr(1)).status == 404);
  CHECK(device.world.last_detail() == "device.user_code");
  const auto shown = device.page("?user_code=%3Cb%3E");
  CHECK(shown.body.find("<b>") == std::string::npos);
  CHECK(device.page("?user_code=" + typed, {{"Sec-Fetch-Dest", "iframe"}}).status == 400);
}

TEST_CASE("device page: shows the code to compare, and the right password allows", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  Visit visit(device);
  CHECK(visit.body.find("<code>" + device.user_code) != std::string::npos);
  CHECK(visit.body.find("books app") != std::string::npos);
  visit.form["password"] = "guess";
  CHECK(visit.send().status == 401);
  CHECK(device.polled() == "400 authorization_pending");
  visit.form["password"] = "secret";
  CHECK(visit.send().status == 200);
  CHECK(visit.send().status == 400);
  CHECK(device.polled() == "200 ");
}

TEST_CASE("device page: no, and five wrong passwords, refuse the device", "[sandbox]") {
  Device device;
  for (const bool says_no : {true, false}) {
    static_cast<void>(device.start());
    Visit visit(device);
    visit.form[says_no ? "decision" : "password"] = says_no ? "deny" : "guess";
    for (int i = 0; i < 4 && !says_no; ++i) CHECK(visit.send().status == 401);
    CHECK(visit.send().status == 200);
    CHECK(device.polled() == "400 access_denied");
  }
}

TEST_CASE("device page: a form that is not its own is refused", "[sandbox]") {
  Device device;
  static_cast<void>(device.start());
  Visit visit(device);
  CHECK(device.send(visit.form, {}).status == 400);
  CHECK(device.send(visit.form, {{"Cookie", visit.cookie}, {"Origin", "http://evil.example"}})
            .status == 400);
  auto form = visit.form;
  form["form_token"] = "guess";
  CHECK(device.send(form, {{"Cookie", visit.cookie}}).status == 400);
  form = visit.form;
  form["user_code"] = "BBBB-BBBB";
  CHECK(device.send(form, {{"Cookie", visit.cookie}}).status == 400);
  // The code typed in again elsewhere: the form shown last counts.
  Visit second(device);
  CHECK(visit.send().status == 400);
  CHECK(second.send().status == 200);
}
