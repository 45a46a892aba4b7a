// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
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
import latchkey.store.filesystem;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.managed;
import latchkey.test.forwarding_store;
import latchkey.test.sample;
import latchkey.test.support;

// Rotating a vault together with a store of sessions that it seals.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Place {
  TemporaryFolder root;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(TimePoint{} + 1000h);

  [[nodiscard]] std::shared_ptr<FileKeyVault> vault() const {
    return FileKeyVault::open(root.path() / "vault", MasterKey::key_file(root.path() / "key"),
                              {.files = {}, .random = {}, .clock = clock})
        .value();
  }
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> sqlite(
      const std::shared_ptr<FileKeyVault>& v) const {
    return SqliteOAuthTokenStore::open(root.path() / "sessions.db", v->sealer()).value();
  }
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> files(
      const std::shared_ptr<FileKeyVault>& v) const {
    return FilesystemOAuthTokenStore::open(root.path() / "store", v->sealer()).value();
  }
};

OAuthSession session_of(std::string_view subject) {
  SystemRandom random;
  OAuthSession session = sample_session();
  session.subject = subject;
  session.revision = draw_revision(random);
  return session;
}

Revision save(OAuthTokenStore& store, std::string_view subject) {
  const OAuthSession session = session_of(subject);
  store.save(session, Revision{}).value();
  return session.revision;
}

std::string access_of(OAuthTokenStore& store, std::string_view subject) {
  const auto session = store.load(subject);
  if (!session) return outcome(session);
  return *session ? std::string((*session)->access_token.expose()) : "absent";
}

// Counts what is read of single sessions.
class CountingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    ++loads;
    return inner().load_record(subject);
  }
  std::size_t loads = 0;
};

RefreshClaim claim_of(std::string_view subject, Revision revision) {
  RefreshClaim claim;
  claim.subject = subject;
  claim.revision = revision;
  claim.id = 7;
  claim.at = TimePoint{} + 999h;
  claim.host = "host";
  return claim;
}

// Something happens in the middle of sealing a session anew.
class HookedStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
    struct Asked final : Lease {
      explicit Asked(const HookedStore& owner) : store(owner) {}
      bool still_held() override { return store.is_held; }
      const HookedStore& store;
    };
    if (auto error = lease_error ? lease_error() : std::nullopt) return *std::move(error);
    return std::make_unique<Asked>(*this);
  }
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    auto record = inner().load_record(subject);
    if (const auto hook = std::exchange(at_load, nullptr)) hook();
    return record;
  }

  std::function<std::optional<Error>()> lease_error;
  std::function<void()> at_load;
  bool is_held = true;
};

LockWait briefly() {
  return {.deadline = SystemClock().steady_now() + 50ms};
}

}  // namespace

TEST_CASE("rotate_vault: seals keys and sessions of every kind of store anew", "[rotation]") {
  for (const bool sqlite : {true, false}) {
    const Place place;
    const auto vault = place.vault();
    const auto store = sqlite ? place.sqlite(vault) : place.files(vault);
    for (const std::string_view subject : {"did:a", "did:b", "did:c"}) save(*store, subject);
    REQUIRE(vault->put("key", SecretBytes(as_bytes("bytes"))));
    const auto old = vault->status().value().data_keys.front().id;
    std::size_t steps = 0;
    const auto done =
        rotate_vault(*vault, *store, {.progress = [&](auto, std::size_t, std::size_t) {
          ++steps;
        }}).value();
    CHECK(done.new_data_key);
    CHECK(done.keys_resealed == 1);
    CHECK(done.sessions_resealed == 3);
    CHECK(done.sessions_left.empty());
    CHECK(steps == 4);
    const auto sealed = count_sealed_sessions(*store).value();
    CHECK(sealed.by_data_key.size() == 1);
    CHECK_FALSE(sealed.by_data_key.contains(old));
    place.clock->advance(kDataKeyGrace);
    CHECK(drop_old_data_keys(*vault, *store).value() == 1);
    const auto again = place.vault();
    const auto reopened = sqlite ? place.sqlite(again) : place.files(again);
    for (const std::string_view subject : {"did:a", "did:b", "did:c"}) {
      CHECK(access_of(*reopened, subject) == "access-token");
    }
  }
}

TEST_CASE(
    "rotate_vault: reads no session that is sealed with the newest data key, and each other "
    "once",
    "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  CountingStore store(place.sqlite(vault));
  for (const std::string_view subject : {"did:a", "did:b"}) save(store, subject);
  REQUIRE(vault->add_data_key());
  for (const std::string_view subject : {"did:c", "did:d"}) save(store, subject);
  store.loads = 0;
  const auto done = rotate_vault(*vault, store).value();
  CHECK(done.sessions == 4);
  CHECK(done.sessions_resealed == 2);
  CHECK(store.loads == 2);
  CHECK(count_sealed_sessions(store).value().by_data_key.size() == 1);
  CHECK(store.loads == 2);
}

TEST_CASE(
    "rotate_vault: the total of its progress is of all pages from the start, however many "
    "work on them",
    "[rotation][concurrency]") {
  constexpr std::size_t kSessions = 510;  // more than a page
  const Place place;
  const auto vault = place.vault();
  const auto store = MemoryOAuthTokenStore::create(vault->sealer());
  for (std::size_t i = 0; i < kSessions; ++i) save(*store, "did:" + std::to_string(i));
  std::size_t last = 0;
  const auto done = rotate_vault(*vault, *store,
                                 {.progress =
                                      [&](RotationStage stage, std::size_t at, std::size_t total) {
                                        CHECK(stage == RotationStage::sessions);
                                        CHECK(at == ++last);
                                        CHECK(total == kSessions);
                                      },
                                  .workers = GENERATE(std::size_t{1}, std::size_t{4})});
  REQUIRE(outcome(done) == "ok");
  CHECK(last == kSessions);
  CHECK(done->sessions == kSessions);
  CHECK(done->sessions_resealed == kSessions);
}

TEST_CASE("rotate_vault: interrupted, the next run resumes instead of rotating again",
          "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.files(vault);
  for (const std::string_view subject : {"did:a", "did:b", "did:c"}) save(*store, subject);
  std::stop_source stop;
  const auto first =
      rotate_vault(*vault, *store,
                   {.progress = [&](auto, std::size_t, std::size_t) { stop.request_stop(); },
                    .stop = stop.get_token()});
  CHECK(outcome(first) == "cancelled vault.cancelled");
  for (const std::string_view subject : {"did:a", "did:b", "did:c"}) {
    CHECK(access_of(*store, subject) == "access-token");
  }
  const auto second = rotate_vault(*place.vault(), *store).value();
  CHECK_FALSE(second.new_data_key);
  CHECK(second.sessions_resealed == 2);
  CHECK(vault->status().value().data_keys.size() == 2);
  const auto third = rotate_vault(*vault, *store).value();
  CHECK(third.new_data_key);
}

TEST_CASE("rotate_vault: stopped with its last session, it has ended", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.files(vault);
  for (const std::string_view subject : {"did:a", "did:b"}) save(*store, subject);
  std::stop_source stop;
  const auto done = rotate_vault(*vault, *store,
                                 {.progress =
                                      [&](auto, std::size_t at, std::size_t total) {
                                        if (at == total) stop.request_stop();
                                      },
                                  .stop = stop.get_token()});
  CHECK(outcome(done) == "ok");
}

TEST_CASE("rotate_vault: a session that somebody is changing is left, and sealed by their save",
          "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.sqlite(vault), other = place.sqlite(place.vault());
  const auto revision = save(*store, "did:a");
  save(*store, "did:b");
  {
    const auto lease = other->lease("did:a", briefly()).value();
    const auto done = rotate_vault(*vault, *store, {.lease_patience = 20ms}).value();
    CHECK(done.sessions_resealed == 1);
    REQUIRE(done.sessions_left.size() == 1);
    CHECK(outcome(*done.sessions_left[0].error) == "locked lease.timeout");
    CHECK(other->load("did:a").value()->revision == revision);
    OAuthSession newer = session_of("did:a");
    newer.access_token = SecretString("newer");
    REQUIRE(other->save(newer, revision));
  }
  CHECK(store->sealer().is_current(store->load_record("did:a").value()->box));
  CHECK(access_of(*store, "did:a") == "newer");
  CHECK(rotate_vault(*vault, *store).value().new_data_key);
}

TEST_CASE("rotate_vault: what cannot be read is reported and kept, and its data key too",
          "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.files(vault);
  save(*store, "did:a");
  save(*store, "did:b");
  const auto sessions = place.root.path() / "store" / "sessions";
  const auto broken = sessions / names_in(sessions).front();
  write_text(broken, "{}");
  const auto done = rotate_vault(*vault, *store).value();
  CHECK(done.sessions_resealed == 1);
  REQUIRE(done.sessions_left.size() == 1);
  CHECK(done.sessions_left[0].error->code == ErrorCode::corrupt);
  CHECK(read_text(broken) == "{}");
  place.clock->advance(kDataKeyGrace);
  const auto dropped = drop_old_data_keys(*vault, *store);
  REQUIRE_FALSE(dropped);
  CHECK(dropped.error().code == ErrorCode::corrupt);
  CHECK(vault->status().value().data_keys.size() == 2);
}

TEST_CASE("reseal_session: draws a new revision, and only where it is needed", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.sqlite(vault);
  SystemRandom random;
  const auto before = save(*store, "did:a");
  CHECK(reseal_session(*store, "did:a", random, briefly()).value() == false);
  REQUIRE(vault->add_data_key());
  CHECK(reseal_session(*store, "did:a", random, briefly()).value() == true);
  CHECK(store->load("did:a").value()->revision != before);
  CHECK(reseal_session(*store, "did:nobody", random, briefly()).value() == false);
}

TEST_CASE("rotate_vault: a session whose refresh has an unknown outcome is left as it is",
          "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.sqlite(vault);
  const auto before = save(*store, "did:a");
  save(*store, "did:b");
  const auto claim = claim_of("did:a", before);
  REQUIRE(store->save_claim(claim));
  const auto done = rotate_vault(*vault, *store).value();
  CHECK(done.sessions_resealed == 1);
  CHECK(done.sessions_left_count == 1);
  REQUIRE(done.sessions_left.size() == 1);
  CHECK(outcome(*done.sessions_left[0].error) == "locked rotation.refresh_unfinished");
  CHECK(store->load("did:a").value()->revision == before);
  CHECK(store->load_claim("did:a").value() == claim);
  // When that is settled, the next run takes it.
  REQUIRE(store->clear_claim("did:a", claim.id));
  const auto next = rotate_vault(*vault, *store).value();
  CHECK_FALSE(next.new_data_key);
  CHECK(next.sessions_resealed == 1);
}

TEST_CASE("rotate_vault: what is claimed after a lost lease is left as it is", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  HookedStore store(place.sqlite(vault));
  const auto before = save(store, "did:a");
  for (const bool is_held : {false, true}) {
    INFO(is_held);
    // A pause after the record was read: the next one to have the lease has claimed it.
    store.at_load = [&] { store.save_claim(claim_of("did:a", before)).value(); };
    store.is_held = is_held;
    const auto done = rotate_vault(*vault, store).value();
    REQUIRE(done.sessions_left.size() == 1);
    CHECK(outcome(*done.sessions_left[0].error) ==
          (is_held ? "locked rotation.refresh_unfinished" : "locked lease.lost"));
    CHECK(store.load("did:a").value()->revision == before);
  }
}

TEST_CASE("rotate_vault: ends when a store is out of reach, instead of trying with each session",
          "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  HookedStore store(place.sqlite(vault));
  for (int i = 0; i < 20; ++i) save(store, "did:" + std::to_string(i));
  std::size_t tries = 0;
  store.lease_error = [&]() -> std::optional<Error> {
    ++tries;
    return make_error(ErrorCode::io, "postgres.unreachable", "no answer");
  };
  CHECK(outcome(rotate_vault(*vault, store)) == "io postgres.unreachable");
  CHECK(tries == 3);
  store.lease_error = nullptr;
  const auto next = rotate_vault(*vault, store).value();
  CHECK_FALSE(next.new_data_key);
  CHECK(next.sessions_resealed == 20);
}

TEST_CASE("rotate_vault: failures that are not in a row leave only their sessions", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  HookedStore store(place.sqlite(vault));
  for (int i = 0; i < 20; ++i) save(store, "did:" + std::to_string(i));
  std::size_t tries = 0;
  store.lease_error = [&]() -> std::optional<Error> {
    if (++tries % 3 == 0) return std::nullopt;
    return make_error(ErrorCode::io, "postgres.unreachable", "no answer");
  };
  const auto done = rotate_vault(*vault, store).value();
  CHECK(done.sessions_resealed == 6);
  CHECK(done.sessions_left_count == 14);
}

TEST_CASE("rotate_vault: of very many that are left it names some, and counts all", "[rotation]") {
  constexpr std::size_t kSessions = kMostListed + 5;
  const Place place;
  const auto vault = place.vault();
  HookedStore store(MemoryOAuthTokenStore::create(vault->sealer()));
  for (std::size_t i = 0; i < kSessions; ++i) save(store, "did:" + std::to_string(i));
  store.is_held = false;
  const auto done = rotate_vault(*vault, store).value();
  CHECK(done.sessions_left.size() == kMostListed);
  CHECK(done.sessions_left_count == kSessions);
}

TEST_CASE("reseal_session: a claim of another revision is not made to count", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store = place.files(vault);
  SystemRandom random;
  save(*store, "did:a");
  const auto claim = claim_of("did:a", draw_revision(random));
  REQUIRE(store->save_claim(claim));
  REQUIRE(vault->add_data_key());
  REQUIRE(reseal_session(*store, "did:a", random, briefly()).value());
  const auto kept = store->load_claim("did:a").value();
  CHECK((!kept || kept->revision == claim.revision));
}

TEST_CASE("rotate_vault: a store that is not sealed is left alone", "[rotation]") {
  const Place place;
  const auto vault = place.vault();
  const auto store =
      FilesystemOAuthTokenStore::open(place.root.path() / "store", store_sessions_unsealed())
          .value();
  const auto revision = save(*store, "did:a");
  CHECK(rotate_vault(*vault, *store).value().sessions_resealed == 0);
  CHECK(store->load("did:a").value()->revision == revision);
}

TEST_CASE("rotate_vault: beside processes that save, no session is lost",
          "[rotation][concurrency]") {
  const TemporaryFolder root;
  const auto open_vault = [&] {
    return FileKeyVault::open(root.path() / "vault", MasterKey::key_file(root.path() / "key"))
        .value();
  };
  const auto open_store = [&](const std::shared_ptr<FileKeyVault>& vault) {
    return SqliteOAuthTokenStore::open(root.path() / "sessions.db", vault->sealer()).value();
  };
  const auto vault = open_vault();
  const auto store = open_store(vault);
  const std::vector<std::string> subjects{"did:a", "did:b", "did:c"};
  for (const auto& subject : subjects) save(*store, subject);
  std::vector<std::string> last(subjects.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto own = open_store(open_vault());
        for (int n = 0; n < 15; ++n) {
          const auto lease =
              own->lease(subjects[i], {.deadline = SystemClock().steady_now() + 30s}).value();
          OAuthSession next = session_of(subjects[i]);
          last[i] = subjects[i] + std::to_string(n);
          next.access_token = SecretString(last[i]);
          own->save(next, own->load(subjects[i]).value()->revision).value();
        }
      });
    }
    for (int n = 0; n < 4; ++n) {
      CHECK(outcome(vault->add_data_key()) == "ok");
      CHECK(outcome(rotate_vault(*vault, *store)) == "ok");
    }
  }
  const auto again = open_store(open_vault());
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    CHECK(access_of(*again, subjects[i]) == last[i]);
  }
}
