// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.os.files;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A new login put in place of whatever was there.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Fault = RotatingServer::Fault;

namespace {

using Tokens = std::vector<std::string>;

OAuthSession new_login(const World& world) {
  OAuthSession session = sample_session(world.context.provers->create().value()->jkt());
  session.access_token = SecretString("new-at");
  session.refresh_token = SecretString("new-rt");
  session.login_id = 8;
  return session;
}

bool has_key(const World& world, std::string_view jkt) {
  return world.vault->get(jkt).value().has_value();
}

void store_as(World& world, SessionState state,
              const std::function<void(OAuthSession&)>& change = {}) {
  OAuthSession session = sample_session(world.jkt);
  session.state = state;
  session.state_changed_at = kNow;
  session.revision = Revision{70};
  if (state != SessionState::active) session.access_token = SecretString{};
  if (state == SessionState::dead) session.refresh_token.reset();
  if (change) change(session);
  world.store->save(session, Revision{}).value();
}

std::vector<std::string> subjects(const World& world) {
  std::vector<std::string> out;
  const SessionPage page = world.store->list({}, 100).value();
  for (const auto& row : page.sessions) out.push_back(row.name);
  return out;
}

const std::string kBeside = "revoking|0700000000000000|" + std::string(kSubject);

Error full_disk() {
  return make_error(ErrorCode::io, "io.no_space", "the disk is full");
}

}  // namespace

TEST_CASE("save_login: the first login is stored under a revision of its own", "[turnover]") {
  World world;
  OAuthSession session = new_login(world);
  session.revision = Revision{1};
  const auto saved = world.keeper()->save_login(std::move(session));
  REQUIRE(saved);
  CHECK((*saved)->revision == world.stored().revision);
  CHECK_FALSE((*saved)->revision == Revision{1});
  CHECK(world.stored().access_token.expose() == "new-at");
  CHECK(world.transport->count() == 0);
}

TEST_CASE(
    "save_login: an active session is revoked once the new one is stored, and its key dropped",
    "[turnover]") {
  World world;
  world.log_in();
  std::string stored_at_revocation;
  world.transport->push([&](const HttpRequest& request, const SendOptions&) {
    stored_at_revocation = world.stored().access_token.expose();
    return world.server.answer(request);
  });
  const OAuthSession session = new_login(world);
  REQUIRE(world.keeper()->save_login(session.clone()));
  CHECK(world.server.revoked() == Tokens{"rt-1"});
  CHECK(stored_at_revocation == "new-at");
  CHECK_FALSE(has_key(world, world.jkt));
  CHECK(has_key(world, session.dpop_jkt));
}

TEST_CASE("save_login: the new login stands when the old one cannot be revoked", "[turnover]") {
  World world;
  world.log_in();
  world.server.next(Fault::drop_before);
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(world.stored().access_token.expose() == "new-at");
}

TEST_CASE(
    "save_login: a replaced session that can't be revoked now is kept beside to be ended later",
    "[turnover]") {
  World world;
  SECTION("the server is out of reach") {
    store_as(world, SessionState::active);
    world.server.next(Fault::drop_before);
  }
  SECTION("it is of another confidential client") {
    store_as(world, SessionState::active, [](OAuthSession& session) {
      session.client_id = "https://other.test/client.json";
      session.client_auth_method = ClientAuthMethod::private_key_jwt;
    });
  }
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(subjects(world) == std::vector{std::string(kSubject), kBeside});
  const OAuthSession beside = world.store->load(kBeside).value().value();
  CHECK(beside.state == SessionState::revoking);
  CHECK(beside.state_cause == "session.replaced");
  CHECK(beside.state_changed_at == world.clock->now());
  CHECK(beside.access_token.empty());
  CHECK(has_key(world, world.jkt));
}

TEST_CASE("save_login: what was kept beside of a replaced session is revoked by a logout",
          "[turnover]") {
  World world;
  store_as(world, SessionState::active);
  world.server.next(Fault::drop_before);
  OAuthSession session = new_login(world);
  const bool same_key = GENERATE(false, true);
  CAPTURE(same_key);
  if (same_key) session.dpop_jkt = world.jkt;
  REQUIRE(world.keeper()->save_login(std::move(session)));
  CHECK(world.keeper()->logout(kBeside).value() == LogoutOutcome::revoked);
  CHECK(world.server.revoked() == Tokens{"rt-1"});
  CHECK(subjects(world) == std::vector{std::string(kSubject)});
  // A key that the login in place is bound to as well is not to be dropped with it.
  CHECK(has_key(world, world.jkt) == same_key);
}

TEST_CASE(
    "save_login: a disk that can't keep the replaced session keeps the new login all the same",
    "[turnover]") {
  World world;
  store_as(world, SessionState::active);
  world.server.next(Fault::drop_before);
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "save" || world.stored().access_token.expose() != "new-at") return std::nullopt;
    return full_disk();
  });
  REQUIRE(world.keeper()->save_login(new_login(world)));
  world.store->set_hook({});
  CHECK(subjects(world) == std::vector{std::string(kSubject)});
  CHECK_FALSE(has_key(world, world.jkt));
}

TEST_CASE("save_login: a key that the new login shares with the old one stays", "[turnover]") {
  World world;
  world.log_in();
  OAuthSession session = new_login(world);
  session.dpop_jkt = world.jkt;
  REQUIRE(world.keeper()->save_login(std::move(session)));
  CHECK(has_key(world, world.jkt));
}

TEST_CASE("save_login: a tombstone is replaced without a request, and its key dropped",
          "[turnover]") {
  World world;
  store_as(world, SessionState::dead);
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(world.stored().state == SessionState::active);
  CHECK(world.transport->count() == 0);
  CHECK_FALSE(has_key(world, world.jkt));
}

TEST_CASE("save_login: a logout that was not confirmed is finished first", "[turnover]") {
  World world;
  store_as(world, SessionState::revoking);
  SessionState stored_at_revocation{};
  world.transport->push([&](const HttpRequest& request, const SendOptions&) {
    stored_at_revocation = world.stored().state;
    return world.server.answer(request);
  });
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(world.server.revoked() == Tokens{"rt-1"});
  CHECK(stored_at_revocation == SessionState::revoking);
  CHECK(subjects(world) == std::vector{std::string(kSubject)});
  CHECK_FALSE(has_key(world, world.jkt));
}

TEST_CASE(
    "save_login: a logout that cannot be confirmed now is kept beside, and a later run finishes it",
    "[turnover]") {
  World world;
  store_as(world, SessionState::revoking);
  world.server.next(Fault::drop_before);
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(subjects(world) == std::vector{std::string(kSubject), kBeside});
  CHECK(world.stored().access_token.expose() == "new-at");
  CHECK(has_key(world, world.jkt));

  CHECK(world.keeper()->logout(kBeside).value() == LogoutOutcome::revoked);
  CHECK(world.server.revoked() == Tokens{"rt-1"});
  CHECK(subjects(world) == std::vector{std::string(kSubject)});
  CHECK_FALSE(has_key(world, world.jkt));
}

TEST_CASE("save_login: what an earlier attempt kept beside is kept once", "[turnover]") {
  World world;
  store_as(world, SessionState::revoking);
  world.server.next(Fault::drop_before);
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "save" || subjects(world).size() < 2) return std::nullopt;
    return full_disk();
  });
  CHECK(outcome(world.keeper()->save_login(new_login(world))) == "io io.no_space");
  world.store->set_hook({});
  world.server.next(Fault::drop_before);
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(subjects(world) == std::vector{std::string(kSubject), kBeside});
}

TEST_CASE("save_login: a subject as long as a subject can be is kept beside by its login id",
          "[turnover]") {
  World world;
  std::string subject = "s";
  while (subject.size() < 2046) subject += "\xc3\xa9";
  store_as(world, SessionState::revoking,
           [&](OAuthSession& session) { session.subject = subject; });
  world.server.next(Fault::drop_before);
  OAuthSession session = new_login(world);
  session.subject = subject;
  REQUIRE(world.keeper()->save_login(std::move(session)));
  CHECK(subjects(world) == std::vector<std::string>{"revoking|0700000000000000", subject});
}

TEST_CASE("save_login: nothing is kept beside that nobody can ever revoke", "[turnover]") {
  World world;
  SECTION("its key is gone") {
    store_as(world, SessionState::revoking);
    REQUIRE(world.context.provers->remove(world.jkt));
  }
  SECTION("it was logged out 14 days ago") {
    store_as(world, SessionState::revoking);
    world.clock->advance(14 * 24h);
    world.server.next(Fault::drop_before);
  }
  SECTION("its server has no revocation") {
    store_as(world, SessionState::revoking,
             [](OAuthSession& session) { session.revocation_endpoint.clear(); });
  }
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(subjects(world) == std::vector{std::string(kSubject)});
}

TEST_CASE("save_login: a login a second short of 14 days after the logout keeps it beside",
          "[turnover]") {
  World world;
  store_as(world, SessionState::revoking);
  world.clock->advance(14 * 24h - 1s);
  world.server.next(Fault::drop_before);
  REQUIRE(world.keeper()->save_login(new_login(world)));
  CHECK(subjects(world).size() == 2);
}

TEST_CASE("save_login: a session of another public client is revoked in that client's name",
          "[turnover]") {
  World world;
  store_as(world, SessionState::active, [](OAuthSession& session) {
    session.client_id = "http://localhost?scope=atproto%20other";
  });
  REQUIRE(world.keeper()->save_login(new_login(world)));
  const auto requests = world.transport->requests();
  REQUIRE(requests.size() == 1);
  const auto form = form_decode(requests[0].body.expose()).value();
  CHECK(**form_value(form, "client_id") == "http://localhost?scope=atproto%20other");
}

TEST_CASE("save_login: TS-59: a login that cannot be saved is revoked, and what was stored stays",
          "[turnover]") {
  World world;
  const Revision before = world.log_in();
  std::string expected;
  bool moved = false;
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call == "load" && expected == "corrupt test.corrupt") {
      return make_error(ErrorCode::corrupt, "test.corrupt", "the record is unreadable");
    }
    if (call == "save" && expected == "io io.no_space") return full_disk();
    if (call == "save" && expected == "conflict store.conflict" && !std::exchange(moved, true)) {
      OAuthSession theirs = sample_session(world.jkt);
      theirs.revision = Revision{5};
      REQUIRE(world.store->save(theirs, before));
    }
    return std::nullopt;
  });
  for (const std::string wanted :
       {"corrupt test.corrupt", "io io.no_space", "conflict store.conflict"}) {
    CAPTURE(wanted);
    expected = wanted;
    CHECK(outcome(world.keeper()->save_login(new_login(world))) == wanted);
    expected.clear();
    CHECK(world.stored().access_token.expose() == "at-1");
    CHECK(has_key(world, world.jkt));
  }
  CHECK(world.server.revoked() == Tokens{"new-rt", "new-rt", "new-rt"});
}

TEST_CASE("save_login: a login that never gets the lease is revoked", "[turnover]") {
  World world;
  const Revision before = world.log_in();
  const auto lease = world.store->lease(kSubject, {.deadline = world.clock->steady_now()}).value();
  CHECK(outcome(world.keeper()->save_login(new_login(world))) == "locked lease.timeout");
  CHECK(world.clock->slept() >= 44s);
  std::stop_source stop;
  stop.request_stop();
  CHECK(world.keeper()->save_login(new_login(world), {.stop = stop.get_token()}).error().code ==
        ErrorCode::cancelled);
  CHECK(world.server.revoked() == Tokens{"new-rt", "new-rt"});
  CHECK(world.stored().revision == before);
}

namespace {

// A World over files on a disk that can fail.
struct DiskWorld {
  TemporaryFolder folder{};
  std::shared_ptr<FaultyFileSystem> disk = std::make_shared<FaultyFileSystem>(posix_file_system());
  std::shared_ptr<KeyVault> vault = memory_vault();
  World world{
      FilesystemOAuthTokenStore::open(folder.path() / "store", vault->sealer(), {.files = disk})
          .value(),
      vault};
};

}  // namespace

TEST_CASE("save_login: a save whose last step failed once is a save", "[turnover]") {
  for (std::size_t step = 1;; ++step) {
    CAPTURE(step);
    REQUIRE(step < 20);
    DiskWorld d;
    d.world.log_in();
    const auto before = d.disk->changes();
    d.disk->fail_nth(step, no_space());
    CHECK(d.world.keeper()->save_login(new_login(d.world)));
    const bool reached = d.disk->changes() - before >= step;
    d.disk->heal();
    CHECK(d.world.stored().access_token.expose() == "new-at");
    CHECK(d.world.server.revoked() == Tokens{"rt-1"});
    if (!reached) break;
  }
}

TEST_CASE("save_login: a login that got into place and is refused all the same is taken out again",
          "[turnover]") {
  for (const bool had_one : {true, false}) {
    CAPTURE(had_one);
    DiskWorld d;
    if (had_one) d.world.log_in();
    d.disk->fail_every(FileOperation::sync_folder, no_space());
    int loads = 0;
    d.world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
      if (call == "load" && ++loads == 2) d.disk->heal();  // the look at what became of the save
      return std::nullopt;
    });
    CHECK(outcome(d.world.keeper()->save_login(new_login(d.world))) == "io io.folder_not_synced");
    CHECK(d.world.server.revoked() == Tokens{"new-rt"});
    d.world.store->set_hook({});
    const auto stored = d.world.store->load(kSubject).value();
    REQUIRE(stored.has_value() == had_one);
    if (had_one) CHECK(stored->access_token.expose() == "at-1");
    if (had_one) CHECK(has_key(d.world, d.world.jkt));
  }
}
