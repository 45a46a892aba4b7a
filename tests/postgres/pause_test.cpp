// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.policy;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.postgres_machine;
import latchkey.test.postgres_place;
import latchkey.test.sandbox_world;

// Processes on one database, one of which is stopped in the midst of a refresh for longer than its
// lease: against a server that ends a session whose refresh token it sees twice.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr int kProcesses = 4, kThreads = 64;

class Refresher {
 public:
  explicit Refresher(std::vector<std::string> words) : child_(std::move(words)) {
    REQUIRE(child_.read_line() == "ready");
  }
  void go() { child_.write_line("go"); }
  /// Waits until it has stopped itself.
  void wait_for_stop() {
    int status = 0;
    REQUIRE(waitpid(child_.id(), &status, WUNTRACED) == child_.id());
    REQUIRE(WIFSTOPPED(status));
  }
  void go_on() { REQUIRE(::kill(child_.id(), SIGCONT) == 0); }
  /// What it got; waits for it.
  [[nodiscard]] std::string got() {
    const std::string line = child_.read_line();
    REQUIRE(child_.wait() == 0);
    return line;
  }

 private:
  ChildProcess child_;
};

// Alice is logged in, her access token is over, and many may notice.
struct Fleet {
  TemporaryFolder folder{};
  PostgresPlace place{};
  std::unique_ptr<sandbox::Sandbox> servers =
      sandbox::Sandbox::start({.nonce_rotation = 100h}).value();
  KeptInPostgres kept = open_in_postgres(place.address(), folder.path());
  std::string subject;

  Fleet() {
    REQUIRE(servers->add_account("alice.test", {}, true));
    auto client = AtprotoClient::create({.client = loopback_client(kScope),
                                         .store = kept.store,
                                         .vault = kept.vault,
                                         .plc_url = servers->plc(),
                                         .resolve_handles_at = servers->pds(),
                                         .http_rule = HttpRule::allow_http_for_loopback,
                                         .browser = std::make_shared<FollowingBrowser>()})
                      .value();
    subject = client.login("alice.test").value().subject;
    OAuthSession session = std::move(kept.store->load(subject).value().value());
    const Revision revision = session.revision;
    session.expires_at = SystemClock().now() - 1s;
    session.revision = Revision{1};
    kept.store->save(session, revision).value();
    servers->forget_requests();
  }

  [[nodiscard]] std::unique_ptr<Refresher> refresher(const std::string& step = {},
                                                     int threads = 1) const {
    std::vector<std::string> words{
        LATCHKEY_REFRESH_CHILD, place.address(), folder.path().string(),
        servers->plc(),         subject,         std::to_string(threads)};
    if (!step.empty()) words.push_back(step);
    return std::make_unique<Refresher>(std::move(words));
  }
  /// The time of the holder's lease is over, by the database's clock.
  void expire_lease() {
    place.run("UPDATE latchkey_leases SET expires_at = clock_timestamp() - INTERVAL '1 second'");
  }
  /// What was claimed was claimed long enough ago for others to go on.
  void age_claim() { place.run("UPDATE latchkey_claims SET claimed_at = claimed_at - 5000"); }
  [[nodiscard]] std::string stored_token() const {
    const auto session = kept.store->load(subject).value().value();
    CHECK(session.state == SessionState::active);
    return token_fingerprint(session.access_token);
  }
  [[nodiscard]] int seen(std::string_view path) const {
    int count = 0;
    for (const auto& request : servers->requests()) count += request.path == path;
    return count;
  }
  /// The session is whole: one refresh was seen, and what is stored is good.
  void check_whole(int refreshes) const {
    CHECK(seen("/oauth/token") == refreshes);
    CHECK(servers->counts().refreshes == 1);
    CHECK(servers->counts().replays == 0);
    CHECK(seen("/oauth/revoke") == 0);
    CHECK(servers->live_sessions(subject) == 1);
  }
};

}  // namespace

TEST_CASE("C7.2: 64 threads in each of 4 processes on one PostgreSQL: one refresh on the wire",
          "[postgres][keeper][concurrency]") {
  const Fleet fleet;
  std::vector<std::unique_ptr<Refresher>> crowd;
  for (int i = 0; i < kProcesses; ++i) crowd.push_back(fleet.refresher({}, kThreads));
  for (const auto& each : crowd) each->go();
  for (const auto& each : crowd)
    CHECK(each->got() == std::to_string(kThreads) + " " + fleet.stored_token() + " ");
  fleet.check_whole(1);
}

TEST_CASE(
    "a holder that was stopped before its request, past its lease: another has refreshed, "
    "and it adopts that",
    "[postgres][keeper][concurrency]") {
  const std::string step = GENERATE("before:save_claim", "after:save_claim", "before:check");
  CAPTURE(step);
  Fleet fleet;
  const auto first = fleet.refresher(step), second = fleet.refresher();
  first->go();
  first->wait_for_stop();
  fleet.expire_lease();
  fleet.age_claim();
  second->go();
  const std::string theirs = second->got();
  CHECK(theirs == "1 " + fleet.stored_token() + " ");
  first->go_on();
  CHECK(first->got() == theirs);
  fleet.check_whole(1);
}

TEST_CASE(
    "a holder that was stopped before its request, and wakes up before the other has "
    "refreshed: it sends nothing",
    "[postgres][keeper][concurrency]") {
  Fleet fleet;
  const auto first = fleet.refresher("before:check"), second = fleet.refresher("after:load_claim");
  first->go();
  first->wait_for_stop();
  fleet.expire_lease();
  fleet.age_claim();
  second->go();
  second->wait_for_stop();
  first->go_on();
  CHECK(first->got() == "1 locked lease.lost ");
  second->go_on();
  CHECK(second->got() == "1 " + fleet.stored_token() + " ");
  fleet.check_whole(1);
}

TEST_CASE(
    "a holder that was stopped with the answer in hand, and wakes up before the other has "
    "asked: it saves over the revision that it read, and the other adopts that",
    "[postgres][keeper][concurrency]") {
  Fleet fleet;
  const auto first = fleet.refresher("before:save"), second = fleet.refresher("after:load_claim");
  first->go();
  first->wait_for_stop();
  fleet.expire_lease();
  second->go();
  second->wait_for_stop();  // it has the lease, has found the claim, and is about to wait for it
  first->go_on();
  const std::string ours = first->got();
  CHECK(ours == "1 " + fleet.stored_token() + " ");
  second->go_on();
  CHECK(second->got() == ours);
  fleet.check_whole(1);
}

// Here the server has answered the first without taking its refresh token, as one with a time of
// grace does: it gives the second its tokens too.
TEST_CASE(
    "a holder that was stopped with the answer in hand, and wakes up when the other has "
    "saved: its save is refused, it adopts the other's, and nothing is revoked",
    "[postgres][keeper][concurrency]") {
  Fleet fleet;
  fleet.servers->inject({.kind = sandbox::FaultKind::status,
                         .grant_type = "refresh_token",
                         .status = 200,
                         .text = R"({"access_token":"first","refresh_token":"first-refresh",)"
                                 R"("token_type":"DPoP","expires_in":3600,"scope":")" +
                                 std::string(kScope) + R"(","sub":")" + fleet.subject + R"("})"});
  const auto first = fleet.refresher("before:save"), second = fleet.refresher();
  first->go();
  first->wait_for_stop();
  fleet.expire_lease();
  fleet.age_claim();
  second->go();
  const std::string theirs = second->got();
  CHECK(theirs == "1 " + fleet.stored_token() + " ");
  first->go_on();
  CHECK(first->got() == theirs);
  CHECK(theirs == "1 " + fleet.stored_token() + " ");
  fleet.check_whole(2);
}

TEST_CASE("a holder that was stopped for less than anybody waited goes on as if nothing had been",
          "[postgres][keeper][concurrency]") {
  const std::string step = GENERATE("before:save_claim", "before:check", "before:save");
  CAPTURE(step);
  Fleet fleet;
  const auto only = fleet.refresher(step);
  only->go();
  only->wait_for_stop();
  fleet.expire_lease();  // and nobody has taken it
  only->go_on();
  CHECK(only->got() == "1 " + fleet.stored_token() + " ");
  fleet.check_whole(1);
}
