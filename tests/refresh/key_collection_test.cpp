// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.oauth.authorization;
import latchkey.refresh.key_collection;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.key_ids;
import latchkey.test.outcome;

// Which keys nobody needs any more. A key too many is removed costs a session.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const TimePoint kNow{std::chrono::hours(500'000)};
using Ids = std::vector<std::string>;

Ids abandoned(TimePoint stored_at, const KeyReferences& references = {},
              Duration age = kAbandonedAfter) {
  return abandoned_keys({{"key", stored_at}}, references, kNow, age);
}

// A vault and a store whose clock the test moves.
struct Setting {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  std::shared_ptr<KeyVault> vault = memory_vault(clock);
  std::shared_ptr<OAuthTokenStore> store = MemoryOAuthTokenStore::create(vault->sealer(), clock);

  void put(std::string_view id) const { REQUIRE(vault->put(id, SecretBytes(as_bytes("key")))); }
  void put_before(std::string_view id, Duration age) const {
    clock->advance(-age);
    put(id);
    clock->advance(age);
  }
  [[nodiscard]] OAuthSession session(std::string subject, std::string key) const {
    OAuthSession out;
    out.subject = std::move(subject);
    out.dpop_jkt = std::move(key);
    out.token_type = "DPoP";
    out.revision = {1};
    out.issued_at = out.session_started_at = kNow;
    out.access_token = SecretString("access");
    return out;
  }
  void save(const OAuthSession& session) const { REQUIRE(store->save(session, Revision{})); }
  // A login with this key that waits for its browser.
  void begin_login(std::string_view key) const {
    PendingLogin login;
    login.state = "state of " + std::string(key);
    login.dpop_jkt = key;
    login.created_at = clock->now();
    const auto record = seal_pending(login, login.created_at + 10min, store->sealer()).value();
    REQUIRE(store->save_pending(record, login.created_at));
  }
  [[nodiscard]] Ids collect(const KeyCollection& options = {}) const {
    return collect_abandoned_keys(*vault, *store, clock->now(), options).value();
  }
};

}  // namespace

TEST_CASE("abandoned_keys: a key is abandoned a moment after a day, not before", "[keys]") {
  CHECK(abandoned(kNow - 24h - 1ms) == Ids{"key"});
  CHECK(abandoned(kNow - 24h).empty());
  CHECK(abandoned(kNow - 24h + 1ms).empty());
  CHECK(abandoned(kNow).empty());
}

TEST_CASE("abandoned_keys: none is younger than an hour, whatever age is asked for", "[keys]") {
  for (const Duration age : {Duration(0), Duration(-24h), Duration(59min), Duration::min()}) {
    CHECK(abandoned(kNow - 1h, {}, age).empty());
    CHECK(abandoned(kNow - 1h - 1ms, {}, age) == Ids{"key"});
  }
}

TEST_CASE("abandoned_keys: a key from the future is young: the clock went back", "[keys]") {
  CHECK(abandoned(kNow + 1ms).empty());
  CHECK(abandoned(kNow + 48h).empty());
}

TEST_CASE("abandoned_keys: what is referred to stays, however old", "[keys]") {
  CHECK(abandoned(kNow - 10'000h, {.keys = {"key"}, .doubts = {}}).empty());
  CHECK(abandoned(kNow - 48h, {.keys = {"another"}, .doubts = {}}) == Ids{"key"});
}

TEST_CASE("abandoned_keys: one doubt keeps all", "[keys]") {
  CHECK(abandoned(kNow - 48h, {.keys = {}, .doubts = {"row 7"}}).empty());
}

TEST_CASE("collect_abandoned_keys: the key of a login that was cut off goes after a day",
          "[keys]") {
  const Setting s;
  s.put("cut-off");
  s.clock->advance(24h);
  CHECK(s.collect().empty());
  s.clock->advance(1ms);
  CHECK(s.collect() == Ids{"cut-off"});
  CHECK(key_ids(*s.vault).empty());
  CHECK(s.collect().empty());
}

TEST_CASE("collect_abandoned_keys: sessions in every state keep their keys", "[keys]") {
  const Setting s;
  for (const char* id : {"active", "dead", "revoking", "kept-beside", "nobodys"}) s.put(id);
  s.save(s.session("did:plc:a", "active"));
  for (const auto& [subject, key, state] :
       {std::tuple{"did:plc:b", "dead", SessionState::dead},
        std::tuple{"did:plc:c", "revoking", SessionState::revoking},
        std::tuple{"revoking|0000000000000001|did:plc:a", "kept-beside", SessionState::revoking}}) {
    auto session = s.session(subject, key);
    session.state = state;
    session.state_cause = "cause";
    s.save(session);
  }
  s.save(s.session("did:plc:bearer", ""));
  s.clock->advance(48h);
  CHECK(s.collect() == Ids{"nobodys"});
  CHECK(key_ids(*s.vault) == Ids{"active", "dead", "kept-beside", "revoking"});
}

TEST_CASE("collect_abandoned_keys: a pending login keeps its key, also when the clock jumps",
          "[keys]") {
  const Setting s;
  s.put("pending");
  s.begin_login("pending");
  s.clock->advance(48h);  // it has expired; who knows whether that much time has passed
  CHECK(s.collect().empty());
  s.begin_login("another");  // drops expired ones on its way
  CHECK(s.collect() == Ids{"pending"});
}

TEST_CASE("collect_abandoned_keys: an hour's jump in either direction collects nothing", "[keys]") {
  const Setting s;
  s.put("new");
  for (const Duration jump : {Duration(6h), Duration(-12h)}) {
    s.clock->advance(jump);
    CHECK(s.collect().empty());
  }
}

TEST_CASE("collect_abandoned_keys: an unreadable pending login may own a key", "[keys]") {
  const Setting s;
  s.put("old");
  s.clock->advance(48h);
  const auto now = s.clock->now();
  REQUIRE(s.store->save_pending({.key = sha256_base64url("x"), .expires_at = now + 1h, .box = {1}},
                                now));
  CHECK(s.collect().empty());
  CHECK(key_references(*s.store).value().doubts.size() == 1);
}

TEST_CASE("collect_abandoned_keys: a quarantined record may own a key", "[keys]") {
  const Setting s;
  s.put("old");
  auto record = seal_session(s.session("did:plc:a", "old"), *s.vault->sealer()).value();
  record.box.back() ^= 1;
  REQUIRE(s.store->save_record(record, Revision{}));
  REQUIRE(s.store->quarantine("did:plc:a"));
  s.clock->advance(48h);
  CHECK(s.collect().empty());
  CHECK(key_ids(*s.vault) == Ids{"old"});
}

TEST_CASE("collect_abandoned_keys: no more than allowed are removed, and the rest the next time",
          "[keys]") {
  const Setting s;
  for (const char* id : {"a", "b", "c"}) s.put(id);
  s.clock->advance(48h);
  CHECK(s.collect({.at_most = 0}).empty());
  CHECK(s.collect({.at_most = 2}).size() == 2);
  CHECK(s.collect({.at_most = 2}).size() == 1);
}

TEST_CASE("KeyCollector: collects at once, and then not before an hour is over", "[keys]") {
  const Setting s;
  KeyCollector collector(s.vault, s.store, s.clock);
  s.put("first");
  s.clock->advance(48h);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault).empty());
  s.put_before("second", 48h);
  s.clock->advance(kBetweenCollections - 1ms);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault) == Ids{"second"});
  s.clock->advance(1ms);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault).empty());
}

TEST_CASE("KeyCollector: a vault of more keys than one login may remove is emptied in slices",
          "[keys]") {
  const Setting s;
  KeyCollector collector(s.vault, s.store, s.clock);
  for (std::size_t i = 0; i < kMaxKeysAtLogin + 3; ++i) s.put("key-" + std::to_string(i));
  s.put("needed");
  s.save(s.session("did:plc:a", "needed"));
  s.clock->advance(48h);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault).size() == 4);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault).size() == 4);
  s.clock->advance(kBetweenSlices);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault) == Ids{"needed"});
}

TEST_CASE("KeyCollector: a clock that went back does not stop it", "[keys]") {
  const Setting s;
  KeyCollector collector(s.vault, s.store, s.clock);
  s.clock->advance(1000h);
  collector.collect_if_due();
  s.clock->advance(-500h);
  s.put_before("old", 48h);
  collector.collect_if_due();
  CHECK(key_ids(*s.vault).empty());
}

TEST_CASE("pending login: opens under its own key only, and with the sealer that sealed it",
          "[keys]") {
  const Setting s;
  PendingLogin login;
  login.state = "state";
  login.dpop_jkt = "key";
  auto record = seal_pending(login, kNow, s.store->sealer()).value();
  CHECK(record.key == pending_key("state"));
  CHECK(open_pending(record, s.store->sealer()).value().dpop_jkt == "key");
  CHECK(outcome(open_pending(record, *memory_vault()->sealer())) == "wrong_key box.unknown_key");
  record.key = pending_key("another");
  CHECK(outcome(open_pending(record, s.store->sealer())) == "corrupt box.altered");
}
