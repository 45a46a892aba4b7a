// SPDX-License-Identifier: MIT
#include <atomic>
#include <barrier>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.policy;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.refresh_places;
import latchkey.test.sandbox_world;

// Many callers of one session, over real HTTP, with a server that ends a session whose refresh
// token it sees twice.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using sandbox::FaultKind;
using sandbox::refresh_fault;

namespace {

constexpr int kProcesses = 4, kThreads = 64;

std::string fingerprint(const Result<std::shared_ptr<const OAuthSession>>& session) {
  return session ? token_fingerprint((*session)->access_token) : outcome(session);
}

unsigned refreshes_seen(const sandbox::Sandbox& servers) {
  unsigned count = 0;
  for (const auto& request : servers.requests()) count += request.grant_type == "refresh_token";
  return count;
}

// Alice, logged in to the store that lies in `folder`, with an access token that is over.
std::string log_in_expired(const Kept& kept, const sandbox::Sandbox& servers) {
  auto client = AtprotoClient::create({.client = loopback_client(kScope),
                                       .store = kept.store,
                                       .vault = kept.vault,
                                       .plc_url = servers.plc(),
                                       .resolve_handles_at = servers.pds(),
                                       .http_rule = HttpRule::allow_http_for_loopback,
                                       .browser = std::make_shared<FollowingBrowser>()})
                    .value();
  const std::string subject = client.login("alice.test").value().subject;
  OAuthSession session = std::move(kept.store->load(subject).value().value());
  const Revision revision = session.revision;
  session.expires_at = SystemClock().now() - 1s;
  session.revision = Revision{1};
  kept.store->save(session, revision).value();
  return subject;
}

}  // namespace

TEST_CASE("C7.2: 64 threads in each of 4 processes on one expired session: one refresh on the wire",
          "[keeper][concurrency]") {
  const std::string store = GENERATE("file", "sqlite");
  CAPTURE(store);
  const TemporaryFolder folder;
  const auto servers = sandbox::Sandbox::start({.nonce_rotation = 100h}).value();
  REQUIRE(servers->add_account("alice.test", {}, true));
  const std::string subject = log_in_expired(open_kept(store, folder.path()), *servers);

  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{LATCHKEY_CROWD_CHILD, store, folder.path().string(),
                                 servers->plc(), subject, std::to_string(kThreads)}));
    REQUIRE(children.back()->read_line() == "ready");
  }
  for (const auto& child : children) child->write_line("go");
  const auto stored_token = [&] {
    const Kept kept = open_kept(store, folder.path());
    return token_fingerprint(kept.store->load(subject).value().value().access_token);
  };
  for (const auto& child : children) {
    const std::string line = child->read_line();
    CHECK(line == std::to_string(kThreads) + " " + stored_token() + " ");
    CHECK(child->wait() == 0);
  }
  CHECK(refreshes_seen(*servers) == 1);
  CHECK(servers->counts().refreshes == 1);
  CHECK(servers->counts().replays == 0);
}

TEST_CASE("C7.2: 64 threads on one expired session in memory: one refresh on the wire",
          "[keeper][concurrency]") {
  SandboxWorld world;
  REQUIRE(world.log_in());
  world.expire();
  std::atomic<int> good = 0;
  {
    std::barrier start(kThreads);
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        const auto session = world.client.fresh(world.alice.did);
        if (session && !(*session)->is_expired(world.clock->now())) ++good;
      });
    }
  }
  CHECK(good == kThreads);
  CHECK(world.refreshes().size() == 1);
}

TEST_CASE("waiters: past the soft limit they keep the good token, past the hard one all wait",
          "[keeper][concurrency]") {
  SandboxWorld world;
  REQUIRE(world.log_in());
  const std::string& did = world.alice.did;
  const std::string old_token = fingerprint(world.client.fresh(did));
  const auto call = [&] { return fingerprint(world.client.fresh(did)); };

  world.clock->advance(1h - 20s);  // within the soft window
  world.servers->inject(refresh_fault(FaultKind::hold));
  auto refresher = std::async(std::launch::async, call);
  while (world.servers->counts().refreshes == 0) std::this_thread::yield();
  for (int i = 0; i < kThreads; ++i) CHECK(call() == old_token);  // while the answer is held

  world.clock->advance(15s);  // 5 s left: past the hard limit
  std::atomic<int> returned = 0;
  std::vector<std::future<std::string>> waiters;
  for (int i = 0; i < kThreads; ++i) {
    waiters.push_back(std::async(std::launch::async, [&] {
      auto token = call();
      ++returned;
      return token;
    }));
  }
  CHECK(returned == 0);
  world.servers->release();
  const std::string new_token = refresher.get();
  CHECK(new_token != old_token);
  for (auto& waiter : waiters) CHECK(waiter.get() == new_token);
  CHECK(world.refreshes().size() == 1);
}

TEST_CASE("waiters: a refresh that is lost fails for all who waited for it, with the real cause",
          "[keeper][concurrency]") {
  SandboxWorld world;
  REQUIRE(world.log_in());
  world.expire();
  world.servers->inject(refresh_fault(FaultKind::drop_after));
  std::vector<std::future<std::string>> waiters;
  for (int i = 0; i < kThreads; ++i) {
    waiters.push_back(std::async(std::launch::async,
                                 [&] { return outcome(world.client.fresh(world.alice.did)); }));
  }
  for (auto& waiter : waiters) {
    const std::string got = waiter.get();  // late ones meet the back-off
    CHECK((got.rfind("connection_lost", 0) == 0 || got == "backing_off refresh.backing_off"));
  }
  CHECK(world.refreshes().size() == 1);
}
