// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http.policy;
import latchkey.refresh.events;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using sandbox::FaultKind;
using sandbox::refresh_fault;

namespace {

std::string rkey_of(const std::string& uri) {
  return uri.substr(uri.rfind('/') + 1);
}

std::string fresh(SandboxWorld& world) {
  return outcome(world.client.fresh(world.alice.did));
}

}  // namespace

TEST_CASE("a client logs in and works on its repository", "[sandbox]") {
  SandboxWorld world;
  const auto session = world.log_in();
  REQUIRE(outcome(session) == "ok");
  CHECK(session->subject == world.alice.did);
  CHECK(session->issuer == world.servers->issuer());
  CHECK(session->resource_server == world.servers->pds());
  CHECK(session->handle == "alice.test");

  auto pds = world.client.pds(session->subject);
  const auto written = pds.create_record(kPosts, kPost);
  REQUIRE(outcome(written) == "ok");
  const auto rkey = rkey_of(written->uri);
  CHECK(pds.get_record(kPosts, rkey).value().cid == written->cid);
  const auto replaced =
      pds.put_record(kPosts, rkey, R"({"text":"new"})",
                     {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = written->cid}});
  CHECK(outcome(replaced) == "ok");
  const auto stale = pds.put_record(
      kPosts, rkey, kPost, {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = written->cid}});
  CHECK(outcome(stale) == "invalid_swap xrpc.InvalidSwap");
  CHECK(pds.list_records(kPosts).value().records.size() == 1);
  CHECK(outcome(pds.delete_record(kPosts, rkey)) == "ok");
  CHECK(outcome(pds.get_record(kPosts, rkey)) == "record_not_found xrpc.RecordNotFound");
}

TEST_CASE("a login may begin with a DID or with the server", "[sandbox]") {
  SandboxWorld world;
  CHECK(outcome(world.client.login(world.alice.did)) == "ok");
  const auto by_server = world.client.login(world.servers->pds());
  REQUIRE(outcome(by_server) == "ok");
  CHECK(by_server->subject == world.alice.did);
  CHECK(outcome(world.client.login("nobody.test")) == "identity_not_found handle.not_found");
  // The second login has revoked the first's session.
  CHECK(world.servers->live_sessions("alice.test") == 1);
}

TEST_CASE("a login that is refused on the page is refused here", "[sandbox]") {
  SandboxWorld world;
  world.servers->set_auto_approve("alice.test", false);
  world.browser->open_twice(true);
  CHECK(outcome(world.log_in()) == "access_denied callback.access_denied");
  CHECK(world.servers->counts().logins == 0);
}

TEST_CASE("an expired session is refreshed by its next use, once", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  for (int round = 1; round <= 3; ++round) {
    world.expire();
    CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
    CHECK(world.refreshes().size() == static_cast<std::size_t>(round));
  }
  CHECK(world.servers->counts().replays == 0);
  CHECK(world.servers->live_sessions("alice.test") == 1);
}

TEST_CASE("a token that the server refuses before its time is refreshed", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.servers->expire_access_tokens();
  auto pds = world.client.pds(world.alice.did);
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
  CHECK(world.refreshes().size() == 1);
  CHECK(pds.list_records(kPosts).value().records.size() == 1);
}

TEST_CASE("a session that the server has ended is dead", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  CHECK(world.servers->end_sessions("alice.test") == 1);
  world.expire();
  CHECK(fresh(world).rfind("session_dead", 0) == 0);
  CHECK(fresh(world).rfind("session_dead", 0) == 0);
  CHECK(world.refreshes().size() == 1);
  CHECK(outcome(world.log_in()) == "ok");
  CHECK(fresh(world) == "ok");
}

TEST_CASE("logout ends the session at the server and here", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  const auto logout = world.client.logout(world.alice.did);
  REQUIRE(outcome(logout) == "ok");
  CHECK(*logout == LogoutOutcome::revoked);
  CHECK(world.servers->counts().revoked == 1);
  CHECK(world.servers->live_sessions("alice.test") == 0);
  CHECK(fresh(world).rfind("login_required", 0) == 0);
  CHECK(world.client.logout(world.alice.did).value() == LogoutOutcome::not_logged_in);
}

TEST_CASE("a program is told what becomes of its sessions", "[sandbox]") {
  SandboxWorld world;
  std::vector<std::string> told;  // by one thread, and read when it has ended
  {
    auto client =
        AtprotoClient::create({.client = loopback_client(kScope),
                               .store = world.store,
                               .vault = world.vault,
                               .on_event =
                                   [&](const SessionEvent& event) {
                                     told.push_back(std::string(to_string(event.kind())) + " " +
                                                    std::string(to_string(event.cause)) + " " +
                                                    event.session.value().handle);
                                   },
                               .plc_url = world.servers->plc(),
                               .resolve_handles_at = world.servers->pds(),
                               .http_rule = HttpRule::allow_http_for_loopback,
                               .browser = world.browser,
                               .clock = world.clock})
            .value();
    REQUIRE(client.login("alice.test"));
    world.expire();
    REQUIRE(client.fresh(world.alice.did));
    REQUIRE(client.logout(world.alice.did));
  }
  CHECK(told == std::vector<std::string>{"updated logged_in alice.test",
                                         "updated refreshed alice.test",
                                         "deleted logged_out alice.test"});
}

TEST_CASE("a lost answer to a refresh is found out by the next one", "[sandbox]") {
  for (const auto kind : {FaultKind::drop_after, FaultKind::truncate, FaultKind::garbage,
                          FaultKind::huge_body, FaultKind::status_after}) {
    INFO(to_string(kind));
    SandboxWorld world;
    REQUIRE(outcome(world.log_in()) == "ok");
    world.expire();
    auto fault = refresh_fault(kind);
    fault.text = "<p>";
    fault.size = 1024 * 1024;
    world.servers->inject(fault);
    const auto first = fresh(world);
    CHECK(first != "ok");
    CHECK(first.rfind("refresh_interrupted", 0) != 0);
    world.clock->advance(1min);
    CHECK(fresh(world).rfind("refresh_interrupted", 0) == 0);
    CHECK(world.servers->counts().refreshes == 1);
    CHECK(world.servers->counts().replays == 1);
    CHECK(world.servers->live_sessions("alice.test") == 0);
    CHECK(outcome(world.log_in()) == "ok");
    CHECK(fresh(world) == "ok");
  }
}

TEST_CASE("a refresh that the server has not processed is made up for later", "[sandbox]") {
  for (const auto kind : {FaultKind::drop_before, FaultKind::status, FaultKind::redirect}) {
    INFO(to_string(kind));
    SandboxWorld world;
    REQUIRE(outcome(world.log_in()) == "ok");
    world.expire();
    auto fault = refresh_fault(kind);
    fault.text = world.servers->plc() + "/stolen";
    world.servers->inject(fault);
    CHECK(fresh(world) != "ok");
    world.clock->advance(1min);
    CHECK(fresh(world) == "ok");
    CHECK(world.servers->counts().refreshes == 1);
    CHECK(world.servers->counts().replays == 0);
    const auto seen = world.servers->requests();
    CHECK(std::none_of(seen.begin(), seen.end(),
                       [](const auto& one) { return one.path == "/stolen"; }));
  }
}

TEST_CASE("a caller need not wait for a slow answer", "[sandbox]") {
  for (const auto kind : {FaultKind::slow_head, FaultKind::slow_body}) {
    INFO(to_string(kind));
    SandboxWorld world;
    world.servers->inject({.kind = kind, .server = sandbox::Server::plc, .delay = 1h});
    std::stop_source stop;
    auto login = std::async(std::launch::async, [&] {
      return outcome(world.client.login("alice.test", {.stop = stop.get_token()}));
    });
    while (world.servers->faults_left() > 0) std::this_thread::yield();
    stop.request_stop();
    CHECK(login.get() == "cancelled http.cancelled");
    CHECK(outcome(world.log_in()) == "ok");
  }
}

TEST_CASE("a slow answer to a refresh is waited for", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.expire();
  auto fault = refresh_fault(FaultKind::slow_body);
  fault.delay = 1ms;
  world.servers->inject(fault);
  CHECK(fresh(world) == "ok");
  CHECK(world.refreshes().size() == 1);
}

TEST_CASE("Retry-After is honoured", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.expire();
  auto fault = refresh_fault(FaultKind::status);
  fault.status = 429;
  fault.retry_after = 300s;
  world.servers->inject(fault);
  CHECK(fresh(world) != "ok");
  world.clock->advance(299s);
  CHECK(fresh(world).rfind("backing_off", 0) == 0);
  CHECK(world.refreshes().size() == 1);
  world.clock->advance(2s);
  CHECK(fresh(world) == "ok");
}

TEST_CASE("a nonce that is over is replaced on the way", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.clock->advance(201h);
  CHECK(fresh(world) == "ok");
  const auto seen = world.refreshes();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].detail == "proof.nonce_stale");
  CHECK(seen[1].status == 200);
}

TEST_CASE("a storm of nonces is given up, and the session lives", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto storm = refresh_fault(FaultKind::nonce_storm);
  storm.times = 2;
  world.expire();
  world.servers->inject(storm);
  CHECK(fresh(world).rfind("dpop_refused", 0) == 0);
  world.clock->advance(1min);
  CHECK(fresh(world) == "ok");
  CHECK(world.servers->counts().refreshes == 1);
  CHECK(world.servers->live_sessions("alice.test") == 1);
}

TEST_CASE("a copied session costs the login, and both learn it", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto stored = world.store->load(world.alice.did).value().value();
  auto copies = world.empty_store();
  stored.revision = Revision{1};
  REQUIRE(outcome(copies->save(stored, Revision{})) == "ok");
  const auto thief = world.client_over(copies);
  world.expire();
  CHECK(fresh(world) == "ok");
  CHECK(outcome(thief.fresh(world.alice.did)).rfind("session_dead", 0) == 0);
  CHECK(world.servers->counts().replays == 1);
  world.expire();
  CHECK(fresh(world).rfind("session_dead", 0) == 0);
}

TEST_CASE("servers whose clock is wrong are used all the same", "[sandbox]") {
  for (const auto skew : {std::chrono::hours{3}, std::chrono::hours{-3}}) {
    SandboxWorld world;
    world.servers->set_clock_skew(skew);
    REQUIRE(outcome(world.log_in()) == "ok");
    CHECK(outcome(world.client.pds(world.alice.did).create_record(kPosts, kPost)) == "ok");
  }
}

TEST_CASE("servers whose clock goes wrong later cost one request each", "[sandbox]") {
  for (const auto skew : {10min, -10min}) {
    SandboxWorld world;
    REQUIRE(outcome(world.log_in()) == "ok");
    auto pds = world.client.pds(world.alice.did);
    REQUIRE(outcome(pds.create_record(kPosts, kPost)) == "ok");
    world.servers->set_clock_skew(skew);
    world.servers->forget_requests();
    CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
    CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
    world.expire();
    CHECK(fresh(world) == "ok");
    std::vector<int> statuses;
    for (const auto& one : world.servers->requests())
      if (one.method == "POST") statuses.push_back(one.status);
    CHECK(statuses == std::vector<int>{401, 200, 200, 400, 200});
    CHECK(pds.list_records(kPosts).value().records.size() == 3);
    CHECK(world.servers->counts().replays == 0);
  }
}

TEST_CASE(
    "C9.5: what the session does not permit is refused here, and the server would do the same",
    "[sandbox]") {
  SandboxWorld world("atproto repo:app.bsky.feed.like?action=create");
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "insufficient_scope scope.missing");
  auto asking = world.client.pds(world.alice.did, {.without_preflight = true});
  CHECK(outcome(asking.create_record(kPosts, kPost)) ==
        "insufficient_scope xrpc.ScopeMissingError");
  CHECK(outcome(pds.create_record("app.bsky.feed.like", R"({"subject":{}})")) == "ok");
}

TEST_CASE("a record whose answer was lost is made once", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  REQUIRE(outcome(pds.create_record(kPosts, kPost)) == "ok");
  world.servers->inject({.kind = FaultKind::drop_after, .server = sandbox::Server::pds});
  CHECK(outcome(pds.create_record(kPosts, kPost)) == "ok");
  CHECK(pds.list_records(kPosts).value().records.size() == 2);
}

TEST_CASE("a kept connection that the PDS has closed is replaced", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto pds = world.client.pds(world.alice.did);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(outcome(pds.create_record(kPosts, kPost)) == "ok");
    world.servers->close_idle();
  }
  CHECK(pds.list_records(kPosts).value().records.size() == 5);
}

TEST_CASE("many callers of an expired session cause one refresh", "[sandbox][concurrency]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  world.expire();
  std::vector<std::future<std::string>> callers;
  for (int i = 0; i < 16; ++i) {
    callers.push_back(std::async(std::launch::async, [&world] {
      return outcome(world.client.pds(world.alice.did).create_record(kPosts, kPost));
    }));
  }
  for (auto& caller : callers) CHECK(caller.get() == "ok");
  CHECK(world.refreshes().size() == 1);
  CHECK(world.servers->counts().replays == 0);
}
