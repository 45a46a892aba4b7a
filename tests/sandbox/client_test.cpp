// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

TEST_CASE("a client logs in to the sandbox and writes a record", "[sandbox]") {
  SandboxWorld world;
  const auto session = world.log_in();
  REQUIRE(outcome(session) == "ok");
  CHECK(session->subject == world.alice.did);
  CHECK(session->issuer == world.servers->issuer());
  CHECK(session->resource_server == world.servers->pds());
  CHECK(session->handle == "alice.test");
  auto pds = world.client->pds(session->subject);
  const auto written = pds.create_record(kPosts, kPost);
  REQUIRE(outcome(written) == "ok");
  CHECK(written->cid.rfind("bafyrei", 0) == 0);
  const auto record = pds.get_record(kPosts, written->uri.substr(written->uri.rfind('/') + 1));
  REQUIRE(outcome(record) == "ok");
  CHECK(record->cid == written->cid);
  CHECK(world.servers->counts().logins == 1);
}
