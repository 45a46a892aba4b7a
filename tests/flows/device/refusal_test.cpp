// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.http;
import latchkey.oidc.id_token;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.device_world;
import latchkey.test.forwarding_store;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.scripted_transport;

// How a device login ends without a session: what is said, and that nothing is left of it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Tokens = std::vector<std::string>;

namespace {

/// With proofs, so that there is a key to be removed.
struct ProvenWorld : DeviceWorld {
  explicit ProvenWorld(std::shared_ptr<OAuthTokenStore> kept = nullptr,
                       std::shared_ptr<KeyVault> keys = nullptr)
      : DeviceWorld(std::move(kept), std::move(keys)) {
    options.binding = TokenBinding::dpop;
  }
};

/// Answers as it is told to, and remembers what it was asked.
class StubValidator final : public IdTokenValidator {
 public:
  Result<IdTokenClaims> validate(const SecretString&, const IdTokenExpectations& expectations,
                                 std::stop_token) override {
    issuer = expectations.issuer;
    if (!good) return make_error(ErrorCode::token_invalid, "id_token.stub", "not genuine");
    IdTokenClaims claims;
    claims.issuer = expectations.issuer;
    claims.subject = "alice";
    return claims;
  }
  bool good = true;
  std::string issuer;
};

/// A store that keeps no pending logins, or no sessions, or neither.
class BrokenStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override {
    if (!keeps_pending) return make_error(ErrorCode::io, "io.no_space", "the disk is full");
    return ForwardingStore::save_pending(pending, now);
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    if (!keeps_sessions) return make_error(ErrorCode::io, "io.no_space", "the disk is full");
    return ForwardingStore::save_record(record, expected);
  }
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    if (!readable) return make_error(ErrorCode::corrupt, "record.stub", "damaged");
    return ForwardingStore::load_record(subject);
  }
  bool keeps_pending = true, keeps_sessions = true, readable = true;
};

std::shared_ptr<BrokenStore> broken_store(const std::shared_ptr<KeyVault>& vault) {
  return std::make_shared<BrokenStore>(MemoryOAuthTokenStore::create(vault->sealer()));
}

constexpr std::string_view kWithIdToken =
    R"({"access_token":"at-1","refresh_token":"rt-1","token_type":"Bearer","id_token":"a.b.c"})";

}  // namespace

TEST_CASE("D.6: what the server decides ends the login, and nothing is left of it", "[device]") {
  const std::pair<std::string, std::string> cases[] = {
      {"expired_token", "timeout device.expired_token"},
      {"access_denied", "access_denied device.access_denied"},
      {"invalid_grant", "invalid_grant device.invalid_grant"},
      {"invalid_client", "invalid_client device.invalid_client"},
      {"unsupported_grant_type", "provider_error device.unsupported_grant_type"},
      {"never_heard_of_it", "provider_error device.never_heard_of_it"}};
  for (const auto& [error, expected] : cases) {
    CAPTURE(error);
    ProvenWorld world;
    world.then_codes().then_pending().then_error(error);
    CHECK(outcome(world.log_in()) == expected);
    CHECK(world.nothing_is_left());
    CHECK(world.flow().resumable()->empty());
    CHECK_FALSE(world.stored());
  }
}

TEST_CASE("D.6: a server error is no decision: the login outlives it", "[device]") {
  DeviceWorld world;
  world.then_codes().then(500, R"({"error":"server_error"})").then_tokens();
  CHECK(outcome(world.log_in()) == "ok");
}

TEST_CASE("device login: an answer that got lost is told apart from a code that never was good",
          "[device]") {
  {
    ProvenWorld world;
    world.then_codes().then_broken(ErrorCode::connection_lost, Delivery::maybe_sent);
    world.then_broken(ErrorCode::unreachable, Delivery::not_sent).then_error("invalid_grant");
    CHECK(outcome(world.log_in()) == "invalid_grant device.answer_lost");
    CHECK(world.nothing_is_left());
  }
  {
    DeviceWorld world;
    world.then_codes().then(502, "").then_error("invalid_grant");
    CHECK(outcome(world.log_in()) == "invalid_grant device.answer_lost");
  }
  {
    DeviceWorld world;
    world.then_codes().then_broken(ErrorCode::unreachable, Delivery::not_sent);
    world.then_error("invalid_grant");
    CHECK(outcome(world.log_in()) == "invalid_grant device.invalid_grant");
  }
  DeviceWorld world;
  world.then_codes().then_broken(ErrorCode::timeout, Delivery::maybe_sent);
  world.then_pending().then_error("invalid_grant");  // so the lost answer was another one
  CHECK(outcome(world.log_in()) == "invalid_grant device.invalid_grant");
}

TEST_CASE("device login: an answer by somebody who speaks no OAuth ends the wait, not the login",
          "[device]") {
  ProvenWorld world;
  world.then_codes().then(404, "<html>").then_tokens("DPoP");
  CHECK(outcome(world.log_in()) == "invalid_response device.status");
  CHECK(world.pending_count() == 1);
  const auto codes = world.flow().resumable().value();
  REQUIRE(codes.size() == 1);
  auto pending = world.flow().resume(codes[0].id).value();
  CHECK(outcome(std::move(pending).poll()) == "ok");
}

TEST_CASE("device login: tokens of the wrong kind are revoked, and the key is removed",
          "[device]") {
  {
    ProvenWorld world;
    world.then_codes().then_tokens("Bearer");
    CHECK(outcome(world.log_in()) == "token_invalid token.type");
    CHECK(world.revoked() == Tokens{"rt-1"});
    CHECK(world.nothing_is_left());
  }
  DeviceWorld world;
  world.then_codes().then_tokens("DPoP");
  CHECK(outcome(world.log_in()) == "token_invalid token.type");
  CHECK(world.revoked() == Tokens{"rt-1"});
}

TEST_CASE("device login: tokens in an answer that can't be read are revoked", "[device]") {
  ProvenWorld world;
  world.then_codes().then(200, R"({"access_token":"at-1","refresh_token":"rt-1"})");
  CHECK(outcome(world.log_in()) == "invalid_response device.missing_member");
  CHECK(world.revoked() == Tokens{"rt-1"});
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: the id token says whose the session is, if it is genuine", "[device]") {
  const auto validator = std::make_shared<StubValidator>();
  for (const bool good : {true, false}) {
    CAPTURE(good);
    validator->good = good;
    DeviceWorld world;
    world.options.subject.clear();
    world.options.validator = validator;
    world.then_codes().then(200, kWithIdToken);
    const auto session = world.log_in();
    CHECK(validator->issuer == "https://id.test");
    if (good) {
      REQUIRE(outcome(session) == "ok");
      CHECK((*session)->subject == "https://id.test|alice");
    } else {
      CHECK(outcome(session) == "token_invalid id_token.stub");
      CHECK(world.revoked() == Tokens{"rt-1"});
    }
    CHECK(world.nothing_is_left());
  }
}

TEST_CASE("device login: openid is asked for where id tokens are judged, and once", "[device]") {
  for (const auto& [scope, sent] : {std::pair{"", "openid"}, std::pair{"books", "openid books"},
                                    std::pair{"books openid", "books openid"}}) {
    DeviceWorld world;
    world.options.scope = scope;
    world.options.validator = std::make_shared<StubValidator>();
    world.then_codes();
    static_cast<void>(world.begun());
    CHECK(field(world.server->requests()[0], "scope") == sent);
  }
  DeviceWorld world;
  world.options.scope = "a  b\"";
  world.options.validator = std::make_shared<StubValidator>();
  CHECK(outcome(DeviceFlow::create(world.options)) == "invalid_argument scope.malformed");
}

TEST_CASE("device login: with openid a missing id token is refused", "[device]") {
  DeviceWorld world;
  world.options.validator = std::make_shared<StubValidator>();
  world.then_codes().then_tokens();
  CHECK(outcome(world.log_in()) == "token_invalid token.id_token_missing");
  CHECK(world.revoked() == Tokens{"rt-1"});
}

TEST_CASE("device login: a session that can't be saved is revoked, and its key is removed",
          "[device]") {
  const auto vault = memory_vault();
  const auto store = broken_store(vault);
  ProvenWorld world(store, vault);
  world.then_codes().then_tokens("DPoP");
  auto pending = world.begun();
  store->keeps_sessions = false;
  CHECK(outcome(std::move(pending).poll()) == "io io.no_space");
  CHECK(world.revoked() == Tokens{"rt-1"});
  CHECK(world.nothing_is_left());
}

TEST_CASE("device login: what can't be begun leaves nothing behind", "[device]") {
  const auto refuse = [](auto answer, const std::string& expected) {
    ProvenWorld world;
    answer(world);
    CHECK(outcome(world.flow().begin()) == expected);
    CHECK(world.nothing_is_left());
  };
  refuse([](auto& world) { world.then_error("invalid_client", 401); },
         "invalid_client device.invalid_client");
  refuse([](auto& world) { world.then(200, "{}"); }, "invalid_response device.missing_member");
  refuse([](auto& world) { world.then_broken(ErrorCode::unreachable, Delivery::not_sent); },
         "unreachable device_world.broken");
  refuse([](auto& world) { world.options.extra = {{"scope", "more"}}; },
         "invalid_argument device.reserved_field");
  refuse([](auto& world) { world.options.server.device_authorization_endpoint = "ftp://x/"; },
         "insecure_address url.not_https");
}

TEST_CASE("device login: nothing is asked for what the store could not keep", "[device]") {
  const auto vault = memory_vault();
  const auto store = broken_store(vault);
  ProvenWorld world(store, vault);
  store->readable = false;
  CHECK(outcome(world.flow().begin()) == "corrupt record.stub");
  CHECK(world.server->count() == 0);
  store->readable = true;
  store->keeps_pending = false;
  world.then_codes();
  CHECK(outcome(world.flow().begin()) == "io io.no_space");
  CHECK(world.nothing_is_left());
}

TEST_CASE("device flow: it is not made without a keeper, endpoints, or anybody to name the session",
          "[device]") {
  const DeviceWorld world;
  auto options = world.options;
  options.keeper = nullptr;
  CHECK(outcome(DeviceFlow::create(options)) == "invalid_argument device.keeper_missing");
  options = world.options;
  options.server.device_authorization_endpoint.clear();
  CHECK(outcome(DeviceFlow::create(options)) == "invalid_argument device.no_endpoint");
  options = world.options;
  options.server.token_endpoint.clear();
  CHECK(outcome(DeviceFlow::create(options)) == "invalid_argument device.no_endpoint");
  options = world.options;
  options.subject.clear();
  CHECK(outcome(DeviceFlow::create(options)) == "invalid_argument device.subject_missing");
}
