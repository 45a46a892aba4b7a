// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;

// An account that has moved to another server, and what must not be disturbed while that is found
// out.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct MovingWorld {
  World world{};
  unsigned looks = 0;
  /// Happens while the DID document is looked at.
  std::function<void()> meanwhile = [] {};
  std::unique_ptr<SessionKeeper> keeper;

  explicit MovingWorld(std::shared_ptr<OAuthTokenStore> inner = nullptr) : world(std::move(inner)) {
    world.log_in();
    world.context.profile.confirm = [this](const SessionSummary&,
                                           std::stop_token) -> Result<std::string> {
      ++looks;
      meanwhile();
      return std::string("https://new.test");
    };
    keeper = world.keeper();
  }
  [[nodiscard]] std::string relocate() const {
    const auto moved = keeper->relocate(kSubject);
    if (!moved) return outcome(moved);
    return *moved ? "moved" : "stays";
  }
  [[nodiscard]] std::string server() const { return world.stored().resource_server; }
};

// A lease of it runs out before anybody asks whether it is still held.
class LapsingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
    struct Lapsed final : Lease {
      bool still_held() override { return false; }
    };
    return std::make_unique<Lapsed>();
  }
};

}  // namespace

TEST_CASE("C7.13: relocate: the new server is saved once, and nobody is asked again for a minute",
          "[keeper]") {
  MovingWorld w;
  CHECK(w.relocate() == "moved");
  CHECK(w.server() == "https://new.test");
  CHECK(w.relocate() == "stays");
  CHECK(w.looks == 1);
  w.world.clock->advance(61s);
  CHECK(w.relocate() == "stays");
  CHECK(w.looks == 2);
}

TEST_CASE("C7.13: relocate: a look that did not come about is made by the next call", "[keeper]") {
  MovingWorld w;
  w.world.store->set_hook([](std::string_view call) -> std::optional<Error> {
    if (call != "lease") return std::nullopt;
    return make_error(ErrorCode::io, "test.lease", "no lease");
  });
  CHECK(w.relocate() == "io test.lease");
  w.world.store->set_hook({});
  CHECK(w.relocate() == "moved");
  CHECK(w.looks == 1);
}

TEST_CASE("C7.13: relocate: who waited for the lease while another looked does not look again",
          "[keeper]") {
  MovingWorld w;
  w.world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "lease") return std::nullopt;
    w.world.store->set_hook({});
    CHECK(w.relocate() == "moved");  // the other, who was first
    return std::nullopt;
  });
  CHECK(w.relocate() == "stays");
  CHECK(w.looks == 1);
}

TEST_CASE("C7.13: relocate: a refresh that was begun meanwhile is not disturbed", "[keeper]") {
  MovingWorld w;
  w.meanwhile = [&] {
    REQUIRE(w.world.store->save_claim({.subject = std::string(kSubject),
                                       .revision = w.world.stored().revision,
                                       .id = 5,
                                       .at = kNow,
                                       .pid = 1,
                                       .host = "elsewhere"}));
  };
  const Revision before = w.world.stored().revision;
  CHECK(w.relocate() == "stays");
  CHECK(w.world.stored().revision == before);
  CHECK(w.server() == "https://pds.test");
}

TEST_CASE("C7.13: relocate: a session that was renewed meanwhile is not overwritten", "[keeper]") {
  MovingWorld w;
  w.meanwhile = [&] {
    OAuthSession session = w.world.stored();
    const Revision before = std::exchange(session.revision, Revision{900});
    session.refresh_token = SecretString("rt-theirs");
    REQUIRE(w.world.store->save(session, before));
  };
  CHECK(w.relocate() == "conflict store.conflict");
  CHECK(w.world.stored().refresh_token->expose() == "rt-theirs");
  CHECK(w.server() == "https://pds.test");
}

TEST_CASE("C7.13: relocate: nothing is saved under a lease that ran out", "[keeper]") {
  World plain;
  MovingWorld w(std::make_shared<LapsingStore>(plain.store));
  CHECK(w.relocate() == "locked lease.lost");
  CHECK(w.looks == 1);
  CHECK(w.server() == "https://pds.test");
}
