// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.torture_place;
import latchkey.test.torture_volume;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kOurs = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
constexpr std::string_view kTheirs = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";

OAuthSession session_of(std::string_view subject, std::uint64_t revision) {
  OAuthSession session;
  session.subject = subject;
  session.revision = {revision};
  session.access_token = SecretString(std::string(4'000, 'a'));
  session.refresh_token = SecretString(std::string(4'000, 'r'));
  return session;
}

LockWait at_once() {
  return {.deadline = std::chrono::steady_clock::now()};
}

RefreshClaim claim_of(std::string_view subject, std::uint64_t id) {
  return {.subject = std::string(subject), .revision = {1}, .id = id, .at = {}, .host = "here"};
}

}  // namespace

TEST_CASE("room on a full disk is not used up by what others write before the save", "[torture]") {
  static const bool own_mounts = enter_own_mounts();
  if (!own_mounts) SKIP("this machine lets nobody mount a small disk");
  const std::string kind = GENERATE("file", "sqlite");
  CAPTURE(kind);
  Volume volume(own_mounts);
  REQUIRE(volume.is_small_disk());
  const auto ours = open_place({.store = kind, .folder = volume.path()}).value().store;
  const auto theirs = open_place({.store = kind, .folder = volume.path()}).value().store;
  REQUIRE(ours->save(session_of(kOurs, 1), {}));
  REQUIRE(theirs->save(session_of(kTheirs, 1), {}));

  const auto our_lease = ours->lease(kOurs, at_once()).value();
  const auto their_lease = theirs->lease(kTheirs, at_once()).value();
  REQUIRE(ours->reserve_room(kOurs, 20'000));
  REQUIRE(ours->save_claim(claim_of(kOurs, 1)));
  REQUIRE(volume.fill(0));
  for (std::uint64_t i = 1; i < 100; ++i) {
    static_cast<void>(theirs->save_claim(claim_of(kTheirs, i)).has_value());
    static_cast<void>(theirs->reserve_room(kTheirs, 20'000).has_value());
  }
  CHECK(outcome(ours->save(session_of(kOurs, 2), {1})) == "ok");
  CHECK(ours->load(kOurs).value()->revision == Revision{2});
}
