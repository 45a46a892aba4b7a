// SPDX-License-Identifier: MIT
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.session.json;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.strategy.token_store;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;
import latchkey.test.random;
import latchkey.test.refresh_world;
import latchkey.test.strategy_rig;

// Where obtained tokens are kept: functions, session stores, nowhere; and what renewals do with
// what they find there.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// Text kept by two functions.
struct KeptText {
  std::optional<SecretString> text;
  std::optional<Error> failure;
  std::shared_ptr<TokenStore> store = std::make_shared<TokenStoreFn>(
      [this]() -> Result<std::optional<SecretString>> {
        if (failure) return *failure;
        if (!text) return std::nullopt;
        return std::optional(text->clone());
      },
      [this](const SecretString& saved) -> Result<void> {
        if (failure) return *failure;
        text = saved.clone();
        return {};
      });
};

struct Rig {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kRigNow);
  TokenMint mint{clock};

  std::unique_ptr<TokenRenewal> renewal(std::shared_ptr<TokenStore> store) {
    return std::make_unique<TokenRenewal>(
        RenewalOptions{.purpose = "test",
                       .source = mint.source(),
                       .store = std::move(store),
                       .clock = clock,
                       .random = std::make_shared<FixedRandom>(next_seed++)});
  }
  std::string get(std::shared_ptr<TokenStore> store) {
    return token_of(renewal(std::move(store))->get());
  }
  static std::string token_of(const Result<std::shared_ptr<const OAuthSession>>& session) {
    return session ? std::string((*session)->access_token.expose()) : outcome(session);
  }

 private:
  std::uint64_t next_seed = 1;
};

// Waits for leases as long as it takes: a clock that is told the time passes 45 s in no time.
class PatientStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    return ForwardingStore::lease(subject,
                                  {.deadline = wait.deadline + 10'000h, .stop = wait.stop});
  }
};

Error disk_error() {
  return make_error(ErrorCode::io, "test.disk", "the disk is gone");
}

}  // namespace

TEST_CASE("NoStore: each run obtains its own token", "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<NoStore>();
  CHECK(rig.get(store) == "t-1");
  CHECK(rig.get(store) == "t-2");
}

TEST_CASE("SA-55: a token kept by two functions is used by the next run", "[token_store]") {
  Rig rig;
  KeptText kept;
  CHECK(rig.get(kept.store) == "t-1");
  REQUIRE(kept.text);
  CHECK(session_from_json(*kept.text).value().access_token.expose() == "t-1");
  CHECK(rig.get(kept.store) == "t-1");
  rig.clock->advance(1h);
  CHECK(rig.get(kept.store) == "t-2");
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SA-55: what can't be loaded is an error and not an empty store", "[token_store]") {
  Rig rig;
  KeptText kept;
  kept.text = SecretString("{");
  CHECK(rig.get(kept.store).starts_with("corrupt session_json."));
  CHECK(kept.text->expose() == "{");
  kept.failure = disk_error();
  CHECK(rig.get(kept.store) == "io test.disk");
  CHECK(rig.mint.calls() == 0);
}

TEST_CASE("SessionTokenStore: the token is sealed in the store under the name that was chosen",
          "[token_store]") {
  Rig rig;
  World world;
  const auto store = std::make_shared<SessionTokenStore>(world.store, "profile");
  CHECK(rig.get(store) == "t-1");
  CHECK(rig.get(store) == "t-1");
  auto stored = world.store->load("profile").value();
  REQUIRE(stored);
  CHECK(stored->access_token.expose() == "t-1");
  CHECK_FALSE(stored->revision.is_none());
  CHECK_FALSE(world.store->load("mint").value());
}

TEST_CASE("SessionTokenStore: a token that another process has obtained is taken",
          "[token_store]") {
  Rig rig;
  World world;
  const auto store = std::make_shared<SessionTokenStore>(world.store, "profile");
  const auto ours = rig.renewal(store), theirs = rig.renewal(store);
  REQUIRE(Rig::token_of(ours->get()) == "t-1");
  rig.clock->advance(1h);
  REQUIRE(Rig::token_of(theirs->get()) == "t-2");
  CHECK(Rig::token_of(ours->get()) == "t-2");
  CHECK(rig.mint.calls() == 2);
}

TEST_CASE("SessionTokenStore: two processes that are due at once send one request",
          "[token_store][concurrency]") {
  Rig rig;
  World world;
  const auto store =
      std::make_shared<SessionTokenStore>(std::make_shared<PatientStore>(world.store), "profile");
  const auto ours = rig.renewal(store), theirs = rig.renewal(store);
  rig.mint.hold();
  std::atomic<unsigned> turn = 0;
  const auto answers = ask_together(
      8, [&] { return Rig::token_of((turn++ % 2 == 0 ? ours : theirs)->get()); },
      [&] {
        rig.mint.wait_for_call(1);
        rig.mint.release();
      });
  CHECK(answers == std::vector<std::string>(8, "t-1"));
  CHECK(rig.mint.calls() == 1);
}

TEST_CASE("SessionTokenStore: an ended session is no token, and is replaced", "[token_store]") {
  Rig rig;
  World world;
  OAuthSession ended = token_session("old", 3600s);
  ended.subject = "profile";
  ended.state = SessionState::dead;
  ended.refresh_token = SecretString("spent");
  REQUIRE(world.store->save(ended, Revision{}));
  CHECK(rig.get(std::make_shared<SessionTokenStore>(world.store, "profile")) == "t-1");
  CHECK(rig.mint.held() == std::vector<std::string>{"no token"});
}

TEST_CASE("TokenRenewal: a stored token that has ended is what the next one is obtained with",
          "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<ScriptedTokenStore>();
  OAuthSession old = token_session("old", 1s);
  old.refresh_token = SecretString("r-old");
  store->put(old);
  rig.clock->advance(1s);
  CHECK(rig.get(store) == "t-1");
  CHECK(rig.mint.held() == std::vector<std::string>{"r-old"});
}

TEST_CASE("TokenRenewal: a stored token that was refused is not taken", "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<ScriptedTokenStore>();
  store->put(token_session("old", 3600s));
  const auto renewal = rig.renewal(store);
  CHECK(Rig::token_of(renewal->get({.rejected = token_fingerprint(SecretString("old"))})) == "t-1");
}

TEST_CASE("TokenRenewal: what somebody saves during the request is taken instead of ours",
          "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<ScriptedTokenStore>();
  rig.mint.at_end([&] { store->put(token_session("theirs", 3600s)); });
  CHECK(rig.get(store) == "theirs");
  CHECK(store->stored() == "theirs");
}

TEST_CASE("TokenRenewal: a conflict over a token that is no use is an error, and tried again",
          "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<ScriptedTokenStore>();
  rig.mint.at_end([&] { store->put(token_session("theirs", 0s)); });
  const auto renewal = rig.renewal(store);
  CHECK(Rig::token_of(renewal->get()) == "conflict store.conflict");
  rig.mint.at_end({});
  rig.clock->advance(1s);
  CHECK(Rig::token_of(renewal->get()) == "t-2");
}

TEST_CASE("TokenRenewal: a store whose functions throw is an error", "[token_store]") {
  Rig rig;
  const auto store = std::make_shared<TokenStoreFn>(
      []() -> Result<std::optional<SecretString>> { throw std::runtime_error("oops"); },
      [](const SecretString&) -> Result<void> { return {}; });
  CHECK(rig.get(store) == "invalid_argument strategy.function_threw");
}
