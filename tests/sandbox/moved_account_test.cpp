// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Leaving {
  RegisteredWorld world;
  std::unique_ptr<WireClient> client = world.openid("openid");

  void leave() const { world.servers->move_account("alice.test", "https://pds.example").value(); }
  [[nodiscard]] WireAnswer open(const Form& changes = {}) const {
    auto form = client->par_form();
    for (const auto& [name, value] : changes) form[name] = value;
    return exchange(world.servers->issuer(), "GET", "/oauth/authorize?" + encode(form));
  }
  WireAnswer start_device() {
    return client->post("/oauth/device",
                        {{"client_id", client->client_id}, {"scope", client->scope}});
  }
};

}  // namespace

TEST_CASE("moved account: does not approve by itself any more", "[sandbox]") {
  Leaving alice;
  REQUIRE(query_field(alice.open({{"prompt", "none"}}).header("Location"), "code") != "");
  alice.leave();
  for (const char* hint : {"alice.test", ""}) {
    INFO(hint);
    alice.client->login_hint = hint;
    CHECK(alice.open().status == 200);
    const auto location = alice.open({{"prompt", "none"}}).header("Location");
    CHECK(query_field(location, "error") == "login_required");
  }
}

TEST_CASE("moved account: a code from before the move gives nothing", "[sandbox]") {
  Leaving alice;
  const auto code = alice.client->code();
  REQUIRE(code != "");
  alice.leave();
  CHECK(alice.client->post("/oauth/token", alice.client->code_form(code)).outcome() ==
        "400 invalid_grant");
  CHECK(alice.world.last_detail() == "token.account_moved");
  CHECK(alice.world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("moved account: a device that it allowed before the move gets nothing", "[sandbox]") {
  Leaving alice;
  const auto device = alice.start_device();
  REQUIRE(alice.world.servers->approve_device(device.text("user_code"), "alice.test"));
  alice.leave();
  CHECK(alice.client
            ->post("/oauth/token", {{"grant_type", std::string(sandbox::kDeviceGrant)},
                                    {"client_id", alice.client->client_id},
                                    {"device_code", device.text("device_code")}})
            .outcome() == "400 invalid_grant");
  CHECK(alice.world.last_detail() == "token.account_moved");
  CHECK(alice.world.servers->live_sessions("alice.test") == 0);
}

TEST_CASE("moved account: allows no device until it is back", "[sandbox]") {
  Leaving alice;
  alice.leave();
  const auto user_code = alice.start_device().text("user_code");
  CHECK_FALSE(alice.world.servers->approve_device(user_code, "alice.test"));
  REQUIRE(alice.world.servers->move_account("alice.test", ""));
  CHECK(alice.world.servers->approve_device(user_code, "alice.test"));
}

TEST_CASE("moved account: its Bearer tokens are over", "[sandbox]") {
  Leaving alice;
  const auto tokens = alice.client->log_in();
  REQUIRE(tokens.outcome() == "200 ");
  alice.leave();
  CHECK(exchange(alice.world.servers->issuer(), "GET", "/oauth/userinfo",
                 {{"Authorization", "Bearer " + tokens.text("access_token")}})
            .outcome() == "401 invalid_token");
  CHECK(alice.client->post("/oauth/token", alice.client->refresh_form(tokens.text("refresh_token")))
            .outcome() == "400 invalid_grant");
}
