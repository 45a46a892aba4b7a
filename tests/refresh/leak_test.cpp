// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

import latchkey.core;
import latchkey.dpop.prover;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.test.marker;
import latchkey.test.refresh_places;
import latchkey.test.refresh_world;
import latchkey.test.support;

// From the disk through the box to a proof and away again: no token is left in memory.

using namespace latchkey;
using namespace latchkey::test;

namespace {

void log_in_with(const Marker& access, const Marker& refresh, World& world) {
  OAuthSession session = sample_session(world.jkt);
  session.access_token = SecretString(access.secret());
  session.refresh_token = SecretString(refresh.secret());
  session.revision = Revision{1};
  REQUIRE(world.store->save(session, Revision{}));
}

}  // namespace

TEST_CASE("store load, unseal, proof, drop: the tokens are nowhere in memory", "[leak]") {
  for (const std::string store : {"file", "sqlite"}) {
    CAPTURE(store);
    const Marker access, refresh;
    const TemporaryFolder folder;
    {
      const Kept kept = open_kept(store, folder.path());
      World world(kept.store, kept.vault);
      log_in_with(access, refresh, world);
      const auto keeper = world.keeper();
      const auto session = keeper->fresh(kSubject).value();
      CHECK(access.is_in_memory());  // the search works while it is alive
      const auto prover = world.context.provers->find(session->dpop_jkt).value();
      CHECK(prover->proof({.htm = "GET",
                           .htu = "https://pds.test/xrpc/x",
                           .iat = kNow,
                           .access_token = &session->access_token}));
    }
    CHECK_FALSE(access.is_in_memory());
    CHECK_FALSE(refresh.is_in_memory());
  }
}

TEST_CASE("a deliberate leaker of a loaded token is caught", "[leak]") {
  const Marker access, refresh;
  {
    World world;
    log_in_with(access, refresh, world);
    const auto session = world.keeper()->fresh(kSubject).value();
    const auto leaker = std::make_unique<std::string>(session->access_token.expose());
    CHECK(leaker->size() == session->access_token.size());
  }
  CHECK(access.is_in_memory());
  CHECK_FALSE(refresh.is_in_memory());
}
