// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::FaultKind;

namespace {

/// Alice is logged in, and has an account with her DID at a second PDS too.
struct TwoServers {
  SandboxWorld world;
  std::unique_ptr<sandbox::Sandbox> other = sandbox::Sandbox::start({.clock = world.clock}).value();

  TwoServers() {
    REQUIRE(other->add_account("alice.test", "secret", true, world.alice.did));
    REQUIRE(outcome(world.log_in()) == "ok");
  }
  [[nodiscard]] Result<void> move() {
    return world.servers->move_account("alice.test", other->pds());
  }
};

}  // namespace

TEST_CASE("move: what the account has no more is not asked for, and its token not spent",
          "[sandbox]") {
  TwoServers two;
  REQUIRE(two.move());
  CHECK(two.world.servers->live_sessions("alice.test") == 0);
  two.world.expire();
  CHECK(outcome(two.world.client.fresh(two.world.alice.did)) ==
        "identity_mismatch issuer.not_authoritative");
  CHECK(two.world.refreshes().empty());
}

TEST_CASE("move: the next login is at the new server, with the same DID", "[sandbox]") {
  TwoServers two;
  REQUIRE(two.move());
  const auto session = two.world.log_in();
  REQUIRE(outcome(session) == "ok");
  CHECK(session->subject == two.world.alice.did);
  CHECK(session->resource_server == two.other->pds());
  CHECK(session->issuer == two.other->issuer());
  CHECK(outcome(two.world.client.pds(session->subject).create_record(kPosts, kPost)) == "ok");
}

TEST_CASE("move: nobody signs in at the old server, nor reads there", "[sandbox]") {
  TwoServers two;
  REQUIRE(two.move());
  two.world.servers->forget_requests();
  CHECK(outcome(two.world.log_in_by_paste(two.world.servers->pds())) ==
        "callback_invalid callback.pasted");
  CHECK(two.world.servers->counts().logins == 1);
  const auto answer =
      exchange(two.world.servers->pds(), "GET",
               "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=" + two.world.alice.did);
  CHECK(answer.outcome() == "400 RepoDeactivated");
}

TEST_CASE(
    "move: C5.8, C5.11: a server may not speak for an account that has left, nor keep its session",
    "[sandbox]") {
  TwoServers two;
  SandboxWorld& world = two.world;
  world.servers->inject({.kind = FaultKind::hold, .path = "/oauth/token"});
  auto login = std::async(std::launch::async,
                          [&] { return outcome(world.log_in_by_paste(world.servers->pds())); });
  while (world.servers->faults_left() > 0) std::this_thread::yield();
  REQUIRE(two.move());
  world.servers->release();
  CHECK(login.get() == "identity_mismatch issuer.not_authoritative");
  CHECK(world.servers->requests().back().path == "/oauth/revoke");
  CHECK(world.servers->requests().back().status == 200);
  CHECK(world.servers->live_sessions("alice.test") == 0);
  CHECK(world.store->load(world.alice.did).value()->issuer == world.servers->issuer());
}

TEST_CASE("move: an account can come back, and must be one that is there", "[sandbox]") {
  TwoServers two;
  auto& servers = *two.world.servers;
  REQUIRE(two.move());
  CHECK(outcome(servers.move_account("nobody.test", two.other->pds())) ==
        "invalid_argument sandbox.account");
  CHECK(detail_of(servers.move_account("alice.test", "https://pds.example/path")) ==
        "url.not_an_origin");
  CHECK(detail_of(servers.move_account("alice.test", "http://pds.example")) != "");
  REQUIRE(servers.move_account("alice.test", servers.pds()));
  CHECK(two.world.log_in().value().resource_server == servers.pds());
}

TEST_CASE("change_handle: the session stays the DID's, and the old handle is nobody's",
          "[sandbox]") {
  TwoServers two;
  SandboxWorld& world = two.world;
  REQUIRE(world.servers->change_handle("alice.test", "Alicia.test"));
  CHECK(outcome(world.log_in()) == "identity_not_found handle.not_found");
  world.expire();
  CHECK(outcome(world.client.fresh(world.alice.did)) == "ok");
  CHECK(world.client.login("alicia.test").value().handle == "alicia.test");
}

TEST_CASE("change_handle: only a free and well-formed handle is taken", "[sandbox]") {
  TwoServers two;
  auto& servers = *two.world.servers;
  REQUIRE(servers.add_account("bob.test"));
  CHECK(detail_of(servers.change_handle("alice.test", "bob.test")) == "sandbox.account_exists");
  CHECK(detail_of(servers.change_handle("alice.test", "alice")) == "sandbox.handle");
  CHECK(detail_of(servers.change_handle("carol.test", "dave.test")) == "sandbox.account");
}
