// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.postgres_place;
import latchkey.test.refresh_world;

// A database that goes away in the midst of a refresh, at each step of it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// A session that is due, in a database of a server that can be killed.
struct Interrupted {
  PrivateServer& server;
  std::shared_ptr<KeyVault> vault = memory_vault();
  std::shared_ptr<PostgresDatabase> database;
  std::unique_ptr<World> world;
  std::future<void> coming_back{};

  explicit Interrupted(PrivateServer& its_server, const PostgresOptions& options = {})
      : server(its_server),
        database(PostgresDatabase::open(SecretString(server.address()), options).value()),
        world(running_world(PostgresOAuthTokenStore::open(database, vault->sealer()).value(),
                            vault)) {}

  /// Done once, at this step: "before:CALL" or "after:CALL" of WatchedStore's calls.
  void at(const std::string& step, const std::function<void()>& act) const {
    const auto pending = std::make_shared<bool>(true);
    const auto meet = [=](const std::string& moment) {
      if (moment != step || !*pending) return;
      *pending = false;
      act();
    };
    world->store->set_hook([meet](std::string_view call) -> std::optional<Error> {
      meet("before:" + std::string(call));
      return std::nullopt;
    });
    world->store->set_after([meet](std::string_view call) { meet("after:" + std::string(call)); });
  }
  /// It is gone at once, and comes back while others are asking for it.
  void restart() {
    server.kill();
    coming_back = std::async(std::launch::async, [this] { server.start(); });
  }
};

std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

// An hour goes by for the database alone.
void let_an_hour_pass(const std::string& address) {
  const auto connection = PostgresConnection::open(SecretString(address)).value();
  static_cast<void>(
      connection
          ->script("UPDATE latchkey_leases SET expires_at = expires_at - INTERVAL '1 hour'; "
                   "UPDATE latchkey_claims SET claimed_at = claimed_at - 3600000")
          .value());
}

}  // namespace

TEST_CASE("a database that is killed and comes back in the midst of a refresh: nothing is lost",
          "[postgres][keeper]") {
  PrivateServer server;
  for (const auto* step : {"before:lease", "before:load", "before:save_claim", "after:save_claim",
                           "before:save", "after:save"}) {
    CAPTURE(step);
    Interrupted it(server);
    it.at(step, [&] { it.restart(); });
    const auto session = it.world->keeper()->fresh(kSubject);
    REQUIRE(outcome(session) == "ok");
    it.coming_back.get();
    CHECK((*session)->access_token.expose() == "at-2");
    CHECK(it.world->server.refreshes() == 1);
    const OAuthSession stored = it.world->stored();
    CHECK(stored.refresh_token->expose() == "rt-2");
    REQUIRE(it.world->store->remove(kSubject, stored.revision));
  }
}

TEST_CASE(
    "a database that stays away longer than a save tries: the session is kept and saved later",
    "[postgres][keeper]") {
  PrivateServer server;
  Interrupted it(server, {.recovery = 200ms});
  const auto keeper = it.world->keeper();
  it.at("before:save", [&] { server.kill(); });
  CHECK(outcome(keeper->fresh(kSubject)) == "session_not_durable session.not_durable");
  server.start();
  REQUIRE(keeper->settle(60s));
  CHECK(it.world->server.refreshes() == 1);
  CHECK(it.world->stored().refresh_token->expose() == "rt-2");
  CHECK((*keeper->fresh(kSubject))->access_token.expose() == "at-2");
}

TEST_CASE(
    "a lease that ran out in an outage after the answer: its holder saves, and who has it now "
    "adopts that",
    "[postgres][keeper]") {
  PrivateServer server;
  Interrupted it(server);
  const auto other_database = PostgresDatabase::open(SecretString(server.address())).value();
  const auto other_store = std::make_shared<WatchedStore>(
      PostgresOAuthTokenStore::open(other_database, it.vault->sealer()).value());
  SessionContext context = it.world->context;
  context.store = other_store;
  SessionKeeper other(std::move(context));
  std::promise<void> taken;
  other_store->set_after([&, waiting = true](std::string_view call) mutable {
    if (call == "lease" && std::exchange(waiting, false)) taken.set_value();
  });
  std::future<std::string> adopted;
  it.at("before:save", [&] {
    server.kill();
    server.start();
    let_an_hour_pass(server.address());
    adopted = std::async(std::launch::async, [&] { return token_of(other.fresh(kSubject)); });
    taken.get_future().wait();
  });
  CHECK(token_of(it.world->keeper()->fresh(kSubject)) == "at-2");
  CHECK(adopted.get() == "at-2");
  CHECK(it.world->server.refreshes() == 1);
  CHECK(it.world->server.replays() == 0);
  CHECK(it.world->stored().refresh_token->expose() == "rt-2");
}
