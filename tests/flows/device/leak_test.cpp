// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.flows.device;
import latchkey.http;
import latchkey.session;
import latchkey.test.device_world;
import latchkey.test.marker;
import latchkey.test.outcome;

// From the server's answer through the store to the session and away again: neither the device code
// nor a token is left in memory, and nothing that people see has them.

using namespace latchkey;
using namespace latchkey::test;

namespace {

// An object that begins with `before`, the secret, and `after`, made without copies of the secret.
// The JSON library keeps the text of its last long token (SECURITY.md); the longer one at the end
// takes that place, so that what is found is ours.
HttpResponse answer_with(const Marker& marker, std::string_view before, std::string_view after) {
  const SecretString secret(marker.secret());
  SecretBuilder body;
  body.append(before).append(secret.expose()).append(after);
  body.append(R"(,"filler":")").append(std::string(110, 'f')).append("\"}");
  HttpResponse response{.status = 200, .body = std::move(body).finish()};
  response.headers.add("Content-Type", "application/json").value();
  return response;
}

void push_codes(DeviceWorld& world, const Marker& code) {
  world.then(answer_with(code, R"({"device_code":")",
                         R"(","user_code":"WDJB-MJHT","expires_in":600,)"
                         R"("verification_uri":"https://id.test/go")"));
}

void push_tokens(DeviceWorld& world, const Marker& token, std::string_view type) {
  world.then(
      answer_with(token, R"({"access_token":")", R"(","token_type":")" + std::string(type) + "\""));
}

}  // namespace

TEST_CASE("SA-03: a device login leaves neither its code nor its tokens in memory", "[leak]") {
  const Marker code, token;
  {
    DeviceWorld world;
    push_codes(world, code);
    auto pending = std::make_unique<PendingDeviceLogin>(world.begun());
    CHECK(code.is_in_memory());  // the search works while it is alive
    push_tokens(world, token, "Bearer");
    const auto session = std::move(*pending).poll();
    REQUIRE(outcome(session) == "ok");
    CHECK(token.is_in_memory());
  }
  CHECK_FALSE(code.is_in_memory());
  CHECK_FALSE(token.is_in_memory());
}

TEST_CASE("SA-03: nor does one that is cancelled and resumed, refused, or given up", "[leak]") {
  const Marker code, token;
  {
    DeviceWorld world;
    push_codes(world, code);
    std::stop_source stop;
    stop.request_stop();
    auto pending = world.begun();
    const std::string id = pending.codes().id;
    CHECK(outcome(std::move(pending).poll({.stop = stop.get_token()})) ==
          "cancelled device.cancelled");
    push_tokens(world, token, "Odd");
    auto again = world.flow().resume(id);
    REQUIRE(outcome(again) == "ok");
    const auto refused = (*std::move(again)).poll();
    CHECK(outcome(refused) == "token_invalid token.type");
    push_codes(world, code);
    world.begun().abandon();
  }
  CHECK_FALSE(code.is_in_memory());
  CHECK_FALSE(token.is_in_memory());
}

TEST_CASE("SA-03: what people see of a device login has no secret", "[leak]") {
  const Marker code;
  DeviceWorld world;
  push_codes(world, code);
  world.then(503, "").then_error("access_denied");
  auto pending = world.begun();
  const auto& codes = pending.codes();
  std::string seen = codes.id + codes.subject + codes.user_code + codes.verification_uri +
                     codes.verification_uri_complete;
  const auto note = [&](const DeviceProgress& progress) {
    if (progress.trouble != nullptr) seen += progress.trouble->message;
  };
  const auto session = std::move(pending).poll({.on_progress = note});
  REQUIRE_FALSE(session);
  seen += session.error().message + session.error().detail;
  CHECK_FALSE(code.is_in(as_bytes(seen)));
}
