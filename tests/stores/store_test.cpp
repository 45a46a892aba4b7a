// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.broken_stores;
import latchkey.test.outcome;
import latchkey.test.rules;

using namespace latchkey;
using namespace latchkey::test;

namespace {

OAuthSession session_of(std::string_view subject, std::uint64_t revision) {
  return {
      record_of(subject, revision).summary, SecretString("access"), SecretString("refresh"), {}};
}

// Gives Bob's record to whoever asks.
struct MixesSubjectsUp final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<SealedRecord>> load_record(std::string_view) override {
    return inner().load_record(kBob);
  }
};

struct EditsSummaries final : ForwardingStore {
  using ForwardingStore::ForwardingStore;
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    auto record = inner().load_record(subject);
    if (record && *record) (*record)->summary.resource_server = "https://evil.example";
    return record;
  }
};

std::shared_ptr<OAuthTokenStore> memory_store() {
  return MemoryOAuthTokenStore::create(memory_vault()->sealer());
}

}  // namespace

TEST_CASE("store: a record of another subject is corrupt", "[store]") {
  const auto inner = memory_store();
  REQUIRE(inner->save(session_of(kBob, 1), kNone));
  MixesSubjectsUp store(inner);
  CHECK(outcome(store.load(kAlice)) == "corrupt record.subject_mismatch");
}

TEST_CASE("store: an edited summary does not authenticate", "[store]") {
  const auto inner = memory_store();
  REQUIRE(inner->save(session_of(kAlice, 1), kNone));
  EditsSummaries store(inner);
  CHECK(outcome(store.load(kAlice)) == "corrupt box.altered");
}

TEST_CASE("store: a record that another vault sealed is wrong_key", "[store]") {
  const auto mine = memory_store();
  const auto other = memory_store();
  REQUIRE(mine->save(session_of(kAlice, 1), kNone));
  REQUIRE(other->save_record(*mine->load_record(kAlice).value(), kNone));
  CHECK(outcome(other->load(kAlice)) == "wrong_key box.unknown_key");
}

TEST_CASE("store: a session of a bad subject or of no revision is not saved", "[store]") {
  const auto store = memory_store();
  CHECK(outcome(store->save(session_of("", 1), kNone)) == "invalid_argument subject.invalid");
  CHECK(outcome(store->save(session_of(kAlice, 0), kNone)) ==
        "invalid_argument session.no_revision");
}

TEST_CASE("store: tokens over the limit are not saved", "[store]") {
  const auto store = memory_store();
  auto session = session_of(kAlice, 1);
  session.access_token = SecretString(std::string(kMaxBoxSize, 'x'));
  CHECK(outcome(store->save(session, kNone)) == "invalid_argument record.too_large");
  CHECK(!store->load(kAlice).value());
}

TEST_CASE("store: a summary over the limit is not saved", "[store]") {
  const auto store = memory_store();
  auto session = session_of(kAlice, 1);
  session.scope = std::string(std::size_t{64} * 1024, 'x');
  CHECK(outcome(store->save(session, kNone)) == "invalid_argument session.too_large");
}

TEST_CASE("memory store: a lease waits no longer than its deadline by its own clock", "[store]") {
  const auto store = memory_store();
  const auto held = store->lease(kAlice, {.deadline = {}});
  REQUIRE(held);
  CHECK(outcome(store->lease(kAlice, {.deadline = {}})) == "locked lease.timeout");
}
