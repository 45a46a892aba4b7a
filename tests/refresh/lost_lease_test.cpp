// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.refresh.run;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;

// A store whose leases can run out, and what a refresh does when its own has.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// Something happens at the two moments at which a lost lease is found out.
class LosingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
    struct Asked final : Lease {
      explicit Asked(LosingStore& owner) : store(owner) {}
      bool still_held() override { return store.at_check(); }
      bool can_expire() const noexcept override { return true; }
      LosingStore& store;
    };
    return std::make_unique<Asked>(*this);
  }
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override {
    if (auto failure = at_load_claim()) return *std::move(failure);
    return ForwardingStore::load_claim(subject);
  }
  Result<void> save_claim(const RefreshClaim& claim) override {
    if (auto refusal = at_claim()) return *std::move(refusal);
    if (auto saved = ForwardingStore::save_claim(claim); !saved) return saved;
    if (auto failure = after_claim()) return *std::move(failure);
    return {};
  }

  std::function<std::optional<Error>()> at_claim = [] { return std::nullopt; };
  std::function<std::optional<Error>()> at_load_claim = [] { return std::nullopt; };
  std::function<std::optional<Error>()> after_claim = [] { return std::nullopt; };
  std::function<bool()> at_check = [] { return true; };
};

struct LosingWorld {
  std::shared_ptr<KeyVault> vault = memory_vault();
  std::shared_ptr<LosingStore> store =
      std::make_shared<LosingStore>(MemoryOAuthTokenStore::create(vault->sealer()));
  World world{store, vault};
  Revision revision = world.log_in();

  LosingWorld() { world.clock->advance(1h); }

  [[nodiscard]] std::string refresh() const {
    const auto session = world.keeper()->fresh(kSubject);
    return session ? std::string((*session)->access_token.expose()) : outcome(session);
  }
  /// What the process that has the lease now has saved.
  void save_as_other(const std::function<void(OAuthSession&)>& change) const {
    OAuthSession session = world.stored();
    session.revision = Revision{99};
    change(session);
    REQUIRE(world.store->save(session, revision));
  }
  void renew_as_other() const {
    save_as_other([this](OAuthSession& session) {
      session.access_token = SecretString("theirs");
      session.expires_at = world.clock->now() + 1h;
    });
  }
  [[nodiscard]] std::optional<RefreshClaim> claim() const {
    return world.store->load_claim(kSubject).value();
  }
};

/// Written by a process that may be alive.
RefreshClaim old_claim(const LosingWorld& w) {
  return {.subject = std::string(kSubject),
          .revision = w.revision,
          .id = 5,
          .at = w.world.clock->now() - 1h,
          .pid = 1,
          .host = "elsewhere"};
}

Error lost() {
  return make_error(ErrorCode::locked, "lease.lost", "the lease is another's");
}
Error outdated() {
  return make_error(ErrorCode::conflict, "store.conflict", "the record has another revision");
}

}  // namespace

TEST_CASE("a lease lost before the request: the session that another has renewed is adopted",
          "[keeper]") {
  LosingWorld w;
  w.store->at_check = [&] {
    w.renew_as_other();
    return false;
  };
  CHECK(w.refresh() == "theirs");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("a lease lost before the request, and nobody has renewed: nothing is sent", "[keeper]") {
  LosingWorld w;
  w.store->at_check = [] { return false; };
  CHECK(w.refresh() == "locked lease.lost");
  CHECK(w.world.server.refreshes() == 0);
  CHECK_FALSE(w.claim().has_value());
  CHECK(w.world.stored().revision == w.revision);
}

TEST_CASE("a lost lease is no failure to back off from: the next call refreshes", "[keeper]") {
  LosingWorld w;
  const auto keeper = w.world.keeper();
  w.store->at_check = [] { return false; };
  CHECK(outcome(keeper->fresh(kSubject)) == "locked lease.lost");
  w.store->at_check = [] { return true; };
  CHECK(keeper->fresh(kSubject).has_value());
  CHECK(w.world.server.refreshes() == 1);
}

TEST_CASE("a lease lost before the request, and the session was logged out meanwhile", "[keeper]") {
  LosingWorld w;
  w.store->at_check = [&] {
    REQUIRE(w.world.store->remove(kSubject, w.revision));
    return false;
  };
  CHECK(w.refresh() == "login_required session.absent");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("a lease lost before the request, and the session has ended meanwhile", "[keeper]") {
  LosingWorld w;
  w.store->at_check = [&] {
    w.save_as_other([](OAuthSession& session) {
      session.state = SessionState::dead;
      session.state_cause = "refresh.interrupted";
    });
    return false;
  };
  CHECK(w.refresh() == "refresh_interrupted refresh.interrupted");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("a lease lost before the request: a new revision with the same due token is not adopted",
          "[keeper]") {
  LosingWorld w;
  w.store->at_check = [&] {
    w.save_as_other([](OAuthSession&) {});
    return false;
  };
  CHECK(w.refresh() == "locked lease.lost");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("a claim that is refused, since lease or revision are not ours: what is there is adopted",
          "[keeper]") {
  for (const Error& refusal : {lost(), outdated()}) {
    CAPTURE(refusal.detail);
    LosingWorld w;
    w.store->at_claim = [&] {
      w.renew_as_other();
      return std::optional(refusal);
    };
    CHECK(w.refresh() == "theirs");
    CHECK(w.world.server.refreshes() == 0);
    CHECK_FALSE(w.claim().has_value());
  }
}

TEST_CASE("a claim that is refused, and nobody has renewed: nothing is sent", "[keeper]") {
  for (const Error& refusal : {lost(), outdated()}) {
    CAPTURE(refusal.detail);
    LosingWorld w;
    w.store->at_claim = [&] { return std::optional(refusal); };
    CHECK(w.refresh() == "locked lease.lost");
    CHECK(w.world.server.refreshes() == 0);
  }
}

TEST_CASE("a claim beside a found one has an id of its own: the former holder cannot clear it",
          "[keeper]") {
  LosingWorld w;
  const RefreshClaim theirs = old_claim(w);
  REQUIRE(w.world.store->save_claim(theirs));
  std::optional<RefreshClaim> ours;
  w.store->at_check = [&] {
    ours = w.claim();
    REQUIRE(w.world.store->clear_claim(kSubject, theirs.id));
    return true;
  };
  w.world.server.next(RotatingServer::Fault::drop_before);
  CHECK(w.refresh() == "unreachable test.lost");
  REQUIRE(ours.has_value());
  CHECK(ours->id != theirs.id);
  CHECK(w.claim() == ours);
}

TEST_CASE("behind an old claim its holder has time to save, and what it saves is adopted",
          "[keeper]") {
  LosingWorld w;
  REQUIRE(w.world.store->save_claim(old_claim(w)));
  int loads = 0;
  w.world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    // The caller's look, and the first one under the lease.
    if (call == "load" && ++loads == 3) w.renew_as_other();
    return std::nullopt;
  });
  const auto before = w.world.clock->slept();
  CHECK(w.refresh() == "theirs");
  CHECK(w.world.clock->slept() - before == kClaimAge);
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("behind an old claim whose holder has given up the refresh is no interrupted one",
          "[keeper]") {
  LosingWorld w;
  const RefreshClaim theirs = old_claim(w);
  REQUIRE(w.world.store->save_claim(theirs));
  w.store->at_load_claim = [&, looks = 0]() mutable -> std::optional<Error> {
    if (++looks == 2) REQUIRE(w.world.store->clear_claim(kSubject, theirs.id));
    return std::nullopt;
  };
  w.world.server.next(RotatingServer::Fault::drop_before);
  CHECK(w.refresh() == "unreachable test.lost");
  CHECK_FALSE(w.claim().has_value());
}

TEST_CASE("behind an old claim of a holder that is gone the refresh goes on after the wait",
          "[keeper]") {
  LosingWorld w;
  REQUIRE(w.world.store->save_claim(old_claim(w)));
  const auto before = w.world.clock->slept();
  CHECK(w.refresh() == "at-2");
  CHECK(w.world.clock->slept() - before == kClaimAge);
}

TEST_CASE("behind an old claim, and what is stored can't be read again: nothing is sent",
          "[keeper]") {
  LosingWorld w;
  REQUIRE(w.world.store->save_claim(old_claim(w)));
  const auto gone = make_error(ErrorCode::io, "test.gone", "the database is gone");
  SECTION("the record") {
    w.world.store->set_hook([=, loads = 0](std::string_view call) mutable -> std::optional<Error> {
      if (call == "load" && ++loads == 3) return gone;
      return std::nullopt;
    });
  }
  SECTION("the claim") {
    w.store->at_load_claim = [=, looks = 0]() mutable -> std::optional<Error> {
      if (++looks == 2) return gone;
      return std::nullopt;
    };
  }
  CHECK(w.refresh() == "io test.gone");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("a claim whose write failed is cleared: it may have been written all the same",
          "[keeper]") {
  LosingWorld w;
  w.store->after_claim = [] {
    return std::optional(make_error(ErrorCode::io, "test.gone", "the answer was lost"));
  };
  CHECK(w.refresh() == "io test.gone");
  CHECK_FALSE(w.claim().has_value());
  CHECK(w.world.server.refreshes() == 0);
}
