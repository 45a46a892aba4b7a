// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.rotation;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.store.vault.managed;
import latchkey.test.fleet;
import latchkey.test.forwarding_store;
import latchkey.test.sample;
import latchkey.test.support;

// The data key of a fleet is changed while its machines work.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Machine {
  std::shared_ptr<PostgresKeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
};

Machine machine(const Fleet& fleet) {
  const auto vault = fleet.vault();
  return {.vault = vault, .store = PostgresOAuthTokenStore::open(vault->database(), vault).value()};
}

OAuthSession session_of(std::string_view subject, std::string_view access) {
  SystemRandom random;
  OAuthSession session = sample_session();
  session.subject = subject;
  session.dpop_jkt = "key-of-" + std::string(subject.substr(subject.rfind(':') + 1));
  session.access_token = SecretString(access);
  session.revision = draw_revision(random);
  return session;
}

// A login: the key first, then the session.
void log_in(const Machine& on, std::string_view subject) {
  const auto session = session_of(subject, subject);
  on.vault->put(session.dpop_jkt, key_of(subject)).value();
  on.store->save(session, Revision{}).value();
}

std::string access_of(OAuthTokenStore& store, std::string_view subject) {
  const auto session = store.load(subject);
  if (!session) return outcome(session);
  return *session ? std::string((*session)->access_token.expose()) : "absent";
}

std::vector<std::string> subjects(std::size_t count) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back("did:example:" + std::to_string(i));
  return all;
}

// As a refresh saves: under the lease, over the revision that was read.
void refresh(OAuthTokenStore& store, std::string_view subject, std::string_view access) {
  const auto lease =
      store.lease(subject, {.deadline = SystemClock().steady_now() + std::chrono::seconds(30)})
          .value();
  store.save(session_of(subject, access), store.load(subject).value()->revision).value();
}

LockWait at_once() {
  return {.deadline = SystemClock().steady_now()};
}

// As a refresh does before it sends its request; gives the revision that its save expects.
Revision claim(OAuthTokenStore& store, std::string_view subject) {
  RefreshClaim claim;
  claim.subject = subject;
  claim.revision = store.load(subject).value()->revision;
  claim.id = 7;
  claim.host = "host";
  store.save_claim(claim).value();
  return claim.revision;
}

void expire_leases(Fleet& fleet) {
  fleet.place.run("UPDATE latchkey_leases SET expires_at = clock_timestamp() - INTERVAL '1 hour'");
}

// Something happens between the reading of a record and what follows.
class PausedStore final : public ForwardingStore {
 public:
  PausedStore(std::shared_ptr<OAuthTokenStore> inner, std::function<void()> pause)
      : ForwardingStore(std::move(inner)), pause_(std::move(pause)) {}
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    auto record = inner().load_record(subject);
    if (const auto pause = std::exchange(pause_, nullptr)) pause();
    return record;
  }

 private:
  std::function<void()> pause_;
};

}  // namespace

TEST_CASE(
    "postgres rotate_vault: keys and sessions of one database are sealed anew, and the old "
    "data key can go",
    "[postgres][rotation]") {
  const Fleet fleet;
  const auto one = machine(fleet);
  for (const auto& subject : subjects(3)) log_in(one, subject);
  const auto done = rotate_vault(*one.vault, *one.store).value();
  CHECK(done.new_data_key);
  CHECK(done.keys_resealed == 3);
  CHECK(done.sessions_resealed == 3);
  CHECK(done.sessions_left.empty());
  CHECK(outcome(drop_old_data_keys(*one.vault, *one.store)) == "locked vault.rotated_recently");
  fleet.clock->advance(kDataKeyGrace);
  CHECK(drop_old_data_keys(*one.vault, *one.store).value() == 1);
  const auto other = machine(fleet);
  for (const auto& subject : subjects(3)) CHECK(access_of(*other.store, subject) == subject);
}

TEST_CASE("postgres rotate_vault: stopped in the middle, another machine finishes it",
          "[postgres][rotation]") {
  const Fleet fleet;
  const auto one = machine(fleet);
  for (const auto& subject : subjects(5)) log_in(one, subject);
  std::stop_source stop;
  const auto first = rotate_vault(*one.vault, *one.store,
                                  {.progress =
                                       [&](RotationStage stage, std::size_t done, std::size_t) {
                                         if (stage == RotationStage::sessions && done == 2)
                                           stop.request_stop();
                                       },
                                   .stop = stop.get_token()});
  CHECK(outcome(first) == "cancelled vault.cancelled");
  const auto other = machine(fleet);
  for (const auto& subject : subjects(5)) CHECK(access_of(*other.store, subject) == subject);
  const auto second = rotate_vault(*other.vault, *other.store).value();
  CHECK_FALSE(second.new_data_key);
  CHECK(second.keys_resealed == 0);
  CHECK(second.sessions_resealed == 3);
}

TEST_CASE(
    "postgres rotate_vault: beside machines that refresh, and another rotation, no session "
    "is lost",
    "[postgres][rotation][concurrency]") {
  Fleet fleet;
  fleet.uses_real_time = true;
  const auto first = machine(fleet);
  const auto all = subjects(12);
  for (const auto& subject : all) log_in(first, subject);
  std::vector<std::string> last(all.size());
  std::atomic<int> rotating = 2;
  {
    std::vector<std::jthread> threads;
    for (std::size_t part = 0; part < 2; ++part) {
      threads.emplace_back([&, part] {
        const auto own = machine(fleet);
        for (int n = 0; n == 0 || rotating > 0; ++n) {
          for (std::size_t i = part; i < all.size(); i += 2) {
            last[i] = all[i] + " " + std::to_string(n);
            refresh(*own.store, all[i], last[i]);
          }
        }
      });
      threads.emplace_back([&] {
        const auto own = machine(fleet);
        for (int n = 0; n < 3; ++n) {
          CHECK_NOTHROW(rotate_vault(*own.vault, *own.store, {.workers = 3}).value());
        }
        --rotating;
      });
    }
  }
  const auto again = machine(fleet);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(access_of(*again.store, all[i]) == last[i]);
  const auto done = rotate_vault(*again.vault, *again.store).value();
  CHECK(done.keys_left.empty());
  CHECK(done.sessions_left.empty());
  const auto sealed = count_sealed_sessions(*again.store).value();
  CHECK(sealed.by_data_key.size() == 1);
}

TEST_CASE("postgres rotate_vault: a refresh that outlasts its lease keeps its tokens",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto refreshing = machine(fleet), rotating = machine(fleet);
  log_in(refreshing, "did:example:a");
  const auto held = refreshing.store->lease("did:example:a", at_once()).value();
  const auto before = claim(*refreshing.store, "did:example:a");
  // It waits for its answer, and the lease runs out.
  expire_leases(fleet);
  const auto done = rotate_vault(*rotating.vault, *rotating.store).value();
  REQUIRE(done.sessions_left.size() == 1);
  CHECK(outcome(*done.sessions_left[0].error) == "locked rotation.refresh_unfinished");
  CHECK(outcome(refreshing.store->save(session_of("did:example:a", "new"), before)) == "ok");
  CHECK(access_of(*rotating.store, "did:example:a") == "new");
}

TEST_CASE("postgres rotate_vault: paused past its lease, it leaves what another has claimed",
          "[postgres][rotation]") {
  Fleet fleet;
  const auto refreshing = machine(fleet), rotating = machine(fleet);
  log_in(refreshing, "did:example:a");
  Revision before;
  PausedStore paused(rotating.store, [&] {
    expire_leases(fleet);
    const auto held = refreshing.store->lease("did:example:a", at_once()).value();
    before = claim(*refreshing.store, "did:example:a");
  });
  const auto done = rotate_vault(*rotating.vault, paused).value();
  REQUIRE(done.sessions_left.size() == 1);
  CHECK(outcome(*done.sessions_left[0].error) == "locked lease.lost");
  CHECK(outcome(refreshing.store->save(session_of("did:example:a", "new"), before)) == "ok");
  CHECK(access_of(*rotating.store, "did:example:a") == "new");
}
