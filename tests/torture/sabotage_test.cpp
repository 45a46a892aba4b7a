// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.forwarding_store;
import latchkey.test.torture_sabotage;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kName = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

std::shared_ptr<OAuthTokenStore> new_store() {
  return MemoryOAuthTokenStore::create(store_sessions_unsealed());
}

OAuthSession session_with(std::uint64_t revision) {
  OAuthSession session;
  session.subject = kName;
  session.revision = {revision};
  session.access_token = SecretString("at");
  return session;
}

LockWait at_once() {
  return {.deadline = std::chrono::steady_clock::now()};
}

std::uint64_t stored_revision(OAuthTokenStore& store) {
  const auto stored = store.load(kName).value();
  return stored ? stored->revision.value : 0;
}

}  // namespace

TEST_CASE("sabotage: each has a name, and no other name is one", "[torture]") {
  for (const Sabotage sabotage : kSabotages)
    CHECK(sabotage_from(to_string(sabotage)).value_or(Sabotage::none) == sabotage);
  CHECK_FALSE(sabotage_from("leases"));
  CHECK_FALSE(sabotage_from(""));
}

TEST_CASE("sabotage none: it is the store itself", "[torture]") {
  const auto store = new_store();
  CHECK(sabotaged(Sabotage::none, store) == store);
}

TEST_CASE("sabotage lease: two hold it at once", "[torture]") {
  const auto broken = sabotaged(Sabotage::lease, new_store());
  const auto one = broken->lease(kName, at_once()), two = broken->lease(kName, at_once());
  CHECK(one.has_value());
  CHECK(two.has_value());
}

TEST_CASE("sabotage handout: a save that is reported as done is not there yet, and comes",
          "[torture]") {
  const auto store = new_store();
  {
    const auto broken = sabotaged(Sabotage::handout, store);
    REQUIRE(broken->save(session_with(1), Revision{}));
    CHECK(stored_revision(*store) == 0);
  }
  CHECK(stored_revision(*store) == 1);
}

TEST_CASE("sabotage reread: under the lease the record is what it was before", "[torture]") {
  const auto store = new_store();
  REQUIRE(store->save(session_with(1), Revision{}));
  const auto broken = sabotaged(Sabotage::reread, store);
  {
    const auto lease = broken->lease(kName, at_once()).value();
    REQUIRE(store->save(session_with(2), Revision{1}));  // whom the lease should have waited for
    CHECK(stored_revision(*broken) == 1);
  }
  CHECK(stored_revision(*broken) == 2);
}

TEST_CASE("sabotage reread: its own save is seen", "[torture]") {
  const auto store = new_store();
  REQUIRE(store->save(session_with(1), Revision{}));
  const auto broken = sabotaged(Sabotage::reread, store);
  const auto lease = broken->lease(kName, at_once()).value();
  REQUIRE(broken->save(session_with(2), Revision{1}));
  CHECK(stored_revision(*broken) == 2);
}

TEST_CASE("sabotage room: the store is not asked for any", "[torture]") {
  // Without a lease a real reservation of a subject that is none is refused.
  CHECK_FALSE(new_store()->reserve_room("", 100));
  CHECK(sabotaged(Sabotage::room, new_store())->reserve_room("", 100));
}

TEST_CASE("sabotage check: a lease that is lost says it is held", "[torture]") {
  class Losing final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
      class Lost final : public Lease {
        bool still_held() override { return false; }
      };
      return std::unique_ptr<Lease>(std::make_unique<Lost>());
    }
  };
  const auto store = std::make_shared<Losing>(new_store());
  CHECK_FALSE(store->lease(kName, at_once()).value()->still_held());
  CHECK(sabotaged(Sabotage::check, store)->lease(kName, at_once()).value()->still_held());
}

TEST_CASE("sabotage check: a lease that cannot be had is still refused", "[torture]") {
  const auto broken = sabotaged(Sabotage::check, new_store());
  const auto lease = broken->lease(kName, at_once());
  REQUIRE(lease);
  CHECK_FALSE(broken->lease(kName, at_once()));
}

TEST_CASE("sabotage compare: a save goes over a newer record, and over no other trouble",
          "[torture]") {
  const auto store = new_store();
  REQUIRE(store->save(session_with(1), Revision{}));
  REQUIRE(store->save(session_with(2), Revision{1}));
  const auto broken = sabotaged(Sabotage::compare, store);
  CHECK(broken->save(session_with(3), Revision{1}));
  CHECK(stored_revision(*broken) == 3);
  REQUIRE(store->remove(kName, Revision{3}));
  CHECK_FALSE(broken->save(session_with(4), Revision{3}));  // nothing there to go over
}
