// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.device;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.strategy_rig;

// A strategy that asks a person when there is no session.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// A person who logs in when asked, as a mint of nothing: it is counted, held back and failed.
struct DeviceRig {
  World world{};
  TokenMint person{world.clock};
  std::shared_ptr<SessionKeeper> keeper = world.keeper();
  DeviceCodeStrategy strategy{keeper, std::string(kSubject),
                              [this](std::stop_token stop) { return log_in(std::move(stop)); },
                              world.clock};

  Result<void> log_in(std::stop_token stop) {
    auto agreed = person.source()(nullptr, std::move(stop));
    if (!agreed) return std::move(agreed).error();
    OAuthSession session = sample_session(world.jkt);
    session.access_token = SecretString("device-" + std::to_string(person.calls()));
    session.issued_at = world.clock->now();
    session.expires_at = world.clock->now() + 1h;
    auto saved = keeper->save_login(std::move(session));
    if (!saved) return std::move(saved).error();
    return {};
  }
  std::string get(const TokenOptions& options = {}) {
    const auto token = strategy.get_token(options);
    return token ? std::string(token->access_token.expose()) : outcome(token);
  }
};

}  // namespace

TEST_CASE("DeviceCodeStrategy: without a session a person is asked once", "[device_strategy]") {
  DeviceRig rig;
  CHECK(rig.get() == "device-1");
  CHECK(rig.get() == "device-1");
  CHECK(rig.person.calls() == 1);
}

TEST_CASE("DeviceCodeStrategy: 50 callers ask one person once", "[device_strategy][concurrency]") {
  DeviceRig rig;
  rig.person.hold();
  const auto answers = ask_together(
      50, [&] { return rig.get(); },
      [&] {
        rig.person.wait_for_call(1);
        CHECK(rig.strategy.logging_in());
        rig.person.release();
      });
  CHECK(answers == std::vector<std::string>(50, "device-1"));
  CHECK(rig.person.calls() == 1);
}

TEST_CASE("DeviceCodeStrategy: an existing session is used, and refreshed, without a person",
          "[device_strategy]") {
  DeviceRig rig;
  rig.world.log_in();
  CHECK(rig.get() == "at-1");
  rig.world.clock->advance(1h);
  CHECK(rig.get() == "at-2");
  CHECK(rig.person.calls() == 0);
}

TEST_CASE("DeviceCodeStrategy: a dead session leads to a login, trouble with the server does not",
          "[device_strategy]") {
  DeviceRig rig;
  rig.world.log_in();
  rig.world.clock->advance(1h);
  rig.world.server.next(RotatingServer::Fault::drop_before);
  CHECK(rig.get() == "unreachable test.lost");
  CHECK(rig.person.calls() == 0);
  rig.world.clock->advance(1s);
  rig.world.server.kill_session();
  CHECK(rig.get() == "device-1");
}

TEST_CASE("DeviceCodeStrategy: a refused token that nothing renews leads to a login",
          "[device_strategy]") {
  DeviceRig rig;
  OAuthSession key = sample_session(rig.world.jkt);
  key.refresh_token.reset();
  key.expires_at.reset();
  key.revision = Revision{9};
  REQUIRE(rig.world.store->save(key, Revision{}));
  CHECK(rig.get() == "at-1");
  CHECK(rig.get({.rejected = token_fingerprint(SecretString("at-1"))}) == "device-1");
  CHECK(rig.get({.rejected = token_fingerprint(SecretString("at-1"))}) == "device-1");
  CHECK(rig.person.calls() == 1);
}

TEST_CASE("DeviceCodeStrategy: a caller who does not wait so long leaves the login going on",
          "[device_strategy]") {
  DeviceRig rig;
  rig.person.hold();
  CHECK(rig.get({.timeout = 1ms}) == "timeout strategy.timeout");
  CHECK(rig.strategy.logging_in());
  rig.person.release();
  CHECK(rig.get() == "device-1");
  CHECK(rig.person.calls() == 1);
}

TEST_CASE("DeviceCodeStrategy: a person who says no is asked again only after a while",
          "[device_strategy]") {
  DeviceRig rig;
  rig.person.fail_next(make_error(ErrorCode::access_denied, "device.access_denied", "no"));
  CHECK(rig.get() == "access_denied device.access_denied");
  CHECK(rig.get() == "backing_off strategy.backing_off");
  rig.world.clock->advance(1s);
  CHECK(rig.get() == "device-2");
}

TEST_CASE("DeviceCodeStrategy: its end stops a login that nobody answers", "[device_strategy]") {
  World world;
  const std::shared_ptr<SessionKeeper> keeper = world.keeper();
  TokenMint person{world.clock};
  person.hold();
  {
    DeviceCodeStrategy strategy(
        keeper, std::string(kSubject),
        [&](std::stop_token stop) -> Result<void> {
          auto agreed = person.source()(nullptr, std::move(stop));
          if (!agreed) return std::move(agreed).error();
          return {};
        },
        world.clock);
    CHECK(outcome(strategy.get_token({.timeout = 1ms})) == "timeout strategy.timeout");
  }
  CHECK(person.calls() == 1);
}
