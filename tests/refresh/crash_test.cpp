// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.refresh_places;
import latchkey.test.refresh_world;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Moment {
  const char* step;
  bool renewed;   // the record afterwards is the new one
  bool claimed;   // a claim of its revision is left
  bool consumed;  // the server has spent the refresh token
};

constexpr Moment kMoments[] = {
    {"before:lease", false, false, false},        {"after:lease", false, false, false},
    {"before:reserve_room", false, false, false}, {"after:reserve_room", false, false, false},
    {"before:save_claim", false, false, false},   {"after:save_claim", false, true, false},
    {"before:post", false, true, false},          {"after:post", false, true, true},
    {"before:save", false, true, true},           {"after:save", true, false, true},
};

}  // namespace

TEST_CASE(
    "C7.1: kill -9 at each step of a refresh leaves the old record or the new one, and the lease "
    "free",
    "[crash]") {
  const std::string store = GENERATE("file", "sqlite");
  for (const Moment& moment : kMoments) {
    CAPTURE(store, moment.step);
    const TemporaryFolder folder;
    Revision before;
    {
      const Kept kept = open_kept(store, folder.path());
      World world(kept.store, kept.vault);
      before = world.log_in();
    }
    ChildProcess child({LATCHKEY_CRASH_CHILD, store, folder.path().string(), moment.step});
    REQUIRE(child.wait() == 128 + 9);

    const Kept kept = open_kept(store, folder.path());
    World world(kept.store, kept.vault);
    const OAuthSession stored = world.stored();
    CHECK((stored.revision == before) == !moment.renewed);
    CHECK(stored.refresh_token->expose() == (moment.renewed ? "rt-2" : "rt-1"));
    const auto claim = kept.store->load_claim(kSubject).value();
    CHECK((claim && claim->revision == stored.revision) == moment.claimed);
    CHECK(kept.store->lease(kSubject, {.deadline = world.clock->steady_now()}).has_value());

    // The next process goes on from there.
    world.clock->advance(moment.renewed ? 1min : 1h);
    if (moment.consumed && !moment.renewed) world.server.kill_session();
    const auto next = world.keeper()->fresh(kSubject);
    if (!moment.consumed || moment.renewed) {
      CHECK(next);
    } else {
      CHECK(outcome(next) == "refresh_interrupted refresh.interrupted");
    }
  }
}
