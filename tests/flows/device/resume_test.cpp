// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.oauth.authorization;
import latchkey.oauth.client_secret;
import latchkey.refresh.keeper;
import latchkey.refresh.key_collection;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.device_world;
import latchkey.test.folder;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;

// A device login that outlives the program that began it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Times = std::vector<double>;

namespace {

/// One run of a program: vault, store and everything else are opened anew.
struct Run : DeviceWorld {
  static std::shared_ptr<KeyVault> open_vault(const TemporaryFolder& folder) {
    return FileKeyVault::open(folder.path() / "vault",
                              MasterKey::key_file(folder.path() / "config" / "vault.key"))
        .value();
  }
  Run(const TemporaryFolder& folder, TimePoint now) : Run(folder, open_vault(folder), now) {}
  Run(const TemporaryFolder& folder, const std::shared_ptr<KeyVault>& keys, TimePoint now)
      : DeviceWorld(
            SqliteOAuthTokenStore::open(folder.path() / "sessions.db", keys->sealer()).value(),
            keys, now) {
    options.binding = TokenBinding::dpop;
  }
};

// Begins a login and stops waiting when `polls` polls have been answered.
std::string begin_and_stop(DeviceWorld& world, std::size_t polls) {
  std::stop_source stop;
  auto pending = world.begun();
  std::string id = pending.codes().id;
  const auto session =
      std::move(pending).poll({.stop = stop.get_token(), .on_progress = [&](const auto&) {
                                 if (world.times->size() >= polls) stop.request_stop();
                               }});
  CHECK(outcome(session) == "cancelled device.cancelled");
  return id;
}

/// Notes the order of what a login changes.
class NotingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    notes.emplace_back("take_pending");
    return ForwardingStore::take_pending(key, now);
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    notes.emplace_back("save_record");
    return ForwardingStore::save_record(record, expected);
  }
  std::vector<std::string> notes;
};

}  // namespace

TEST_CASE("G-27: a device login goes on in another process, one interval after it has started",
          "[device]") {
  const TemporaryFolder folder;
  std::string key;
  {
    Run first(folder, kStart);
    first.then_codes().then_pending().then_error("slow_down").then_pending();
    begin_and_stop(first, 3);
    CHECK(first.poll_times() == Times{5, 10, 20});
    key = first.vault->list().value().at(0).id;
  }
  Run second(folder, kStart + 60s);
  const auto codes = second.flow().resumable().value();
  REQUIRE(codes.size() == 1);
  CHECK(codes[0].user_code == "WDJB-MJHT");
  CHECK(codes[0].verification_uri == "https://id.test/go");
  CHECK(codes[0].subject == kProfile);
  CHECK(codes[0].expires_at == kStart + 600s);
  auto pending = second.flow().resume(codes[0].id);
  REQUIRE(outcome(pending) == "ok");
  second.then_pending().then_tokens("DPoP");
  const auto session = (*std::move(pending)).poll();
  REQUIRE(outcome(session) == "ok");
  // The interval that the server had asked for is remembered.
  CHECK(second.poll_times() == Times{70, 80});
  CHECK((*session)->dpop_jkt == key);
  CHECK(second.pending_count() == 0);
  CHECK(second.stored());
}

TEST_CASE("device login: dropped without a poll it can be resumed", "[device]") {
  DeviceWorld world;
  world.then_codes();
  std::string id = world.begun().codes().id;
  world.then_tokens();
  auto pending = world.flow().resume(id);
  REQUIRE(outcome(pending) == "ok");
  CHECK(outcome((*std::move(pending)).poll()) == "ok");
}

TEST_CASE("device login: what is finished, given up, expired or unknown can't be resumed",
          "[device]") {
  const auto resumed = [](const DeviceWorld& world, const std::string& id) {
    CHECK(world.flow().resumable()->empty());
    return outcome(world.flow().resume(id));
  };
  const std::string gone = "login_required device.not_pending";
  {
    DeviceWorld world;
    world.then_codes().then_tokens();
    auto pending = world.begun();
    const std::string id = pending.codes().id;
    REQUIRE(outcome(std::move(pending).poll()) == "ok");
    CHECK(resumed(world, id) == gone);
  }
  {
    DeviceWorld world;
    world.then_codes();
    auto pending = world.begun();
    const std::string id = pending.codes().id;
    std::move(pending).abandon();
    CHECK(resumed(world, id) == gone);
  }
  DeviceWorld world;
  world.then_codes(30s);
  const std::string id = world.begun().codes().id;
  world.clock->advance(30s);
  CHECK(resumed(world, id) == gone);
  CHECK(resumed(world, "") == gone);
  CHECK(resumed(world, "AAAAAAAAAAAAAAAAAAAAAA") == gone);
}

TEST_CASE("device login: only one at a time can wait for it", "[device]") {
  DeviceWorld world;
  world.then_codes();
  auto first = std::make_unique<PendingDeviceLogin>(world.begun());
  const std::string id = first->codes().id;
  CHECK(outcome(world.flow().resume(id)) == "locked device.in_progress");
  first.reset();
  CHECK(outcome(world.flow().resume(id)) == "ok");
}

TEST_CASE("device login: it is resumed only by the client that began it, at the same server",
          "[device]") {
  DeviceWorld world;
  world.then_codes();
  const std::string id = world.begun().codes().id;
  const auto with = [&](auto change) {
    auto options = world.options;
    change(options);
    const auto flow = DeviceFlow::create(options).value();
    CHECK(flow.resumable()->empty());
    return outcome(flow.resume(id));
  };
  const std::string other = "client_mismatch device.other_client";
  CHECK(with([](auto& options) { options.server.issuer = "https://other.test"; }) == other);
  CHECK(with([](auto& options) { options.server.token_endpoint = "https://id.test/t2"; }) == other);
  DeviceWorld stranger(world.store, world.vault);
  CHECK(outcome(stranger.flow().resume(id)) == "ok");
  const auto context = [&](auto change) {
    auto changed = world.options.keeper->context();
    change(changed);
    return std::make_shared<SessionKeeper>(changed);
  };
  CHECK(with([&](auto& options) {
          options.keeper = context([](auto& changed) { changed.client_id = "other"; });
        }) == other);
  CHECK(with([&](auto& options) {
          options.keeper = context([](auto& changed) {
            changed.client = client_secret_post("radio", SecretString("secret"));
          });
        }) == other);
}

TEST_CASE("device login: logins of the other kind are neither listed nor resumed", "[device]") {
  DeviceWorld world;
  PendingLogin login;
  login.state = "a state";
  login.dpop_jkt = "a-key";
  world.store
      ->save_pending(seal_pending(login, kStart + 600s, world.store->sealer()).value(), kStart)
      .value();
  CHECK(world.flow().resumable()->empty());
  CHECK(outcome(world.flow().resume("a state")) == "login_required device.not_pending");
  const auto record = world.store->side_records()->pending.at(0).pending.value();
  CHECK_FALSE(open_pending_device(record, world.store->sealer()).value());
}

TEST_CASE("device login: its key is not collected as abandoned while it waits", "[device]") {
  DeviceWorld world;
  world.options.binding = TokenBinding::dpop;
  world.then_codes();
  static_cast<void>(world.begun());
  const auto references = key_references(*world.store).value();
  CHECK(references.doubts.empty());
  CHECK(references.keys.contains(world.vault->list().value().at(0).id));
}

TEST_CASE("device login: it is forgotten before its session is saved, not after", "[device]") {
  // Who is killed between the two must not use the device code again: the session would be ended.
  const auto vault = memory_vault();
  const auto store = std::make_shared<NotingStore>(MemoryOAuthTokenStore::create(vault->sealer()));
  DeviceWorld world(store, vault);
  world.then_codes().then_tokens();
  REQUIRE(outcome(world.log_in()) == "ok");
  CHECK(store->notes == std::vector<std::string>{"take_pending", "save_record"});
}
