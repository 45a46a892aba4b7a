// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.rules;

// kill -9 of a process that refreshes and logs out, at each of its steps.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

constexpr int kKilled = 128 + 9;

Result<Store> open_store(std::string_view kind, const fs::path& path) {
  if (kind == "files") return FilesystemOAuthTokenStore::open(path, store_sessions_unsealed());
  return SqliteOAuthTokenStore::open(path, store_sessions_unsealed());
}

std::set<std::string> told_by(ChildProcess& child) {
  std::set<std::string> lines;
  for (auto line = child.read_line(); !line.empty(); line = child.read_line()) lines.insert(line);
  return lines;
}

// What the store may hold when the child has told that much and no more.
std::set<std::uint64_t> possible(const std::set<std::string>& told) {
  if (told.contains("removed")) return {0};
  if (told.contains("saved")) return {2, 0};
  if (told.contains("claimed")) return {1, 2};
  return {1};
}

void check_after_kill(std::string_view kind, const fs::path& path,
                      const std::set<std::string>& told, const std::set<std::uint64_t>& revisions) {
  const auto store = open_store(kind, path);
  INFO(outcome(store));
  REQUIRE(store);
  const auto revision = stored(**store, kAlice);
  CHECK(revisions.contains(revision));
  const auto claim = (*store)->load_claim(kAlice);
  REQUIRE(claim);
  if (told.contains("claimed") && revision == 1) CHECK((*claim && (*claim)->id == 1));
  // The lease was let go by the system, and nothing that was left hinders the next one.
  const auto held = (*store)->lease(kAlice, {.deadline = {}});
  REQUIRE(held);
  REQUIRE((*store)->reserve_room(kAlice, 4096));
  CHECK(put(**store, kAlice, 9, {revision}));
  CHECK(stored(**store, kAlice) == 9);
}

// Returns false when the child lived to its end.
bool kill_at(std::string_view kind, long step, bool from_the_start) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "store";
  if (!from_the_start) put(*open_store(kind, path).value(), kAlice, 1).value();
  ChildProcess child({LATCHKEY_CRASH_CHILD, std::string(kind), path, std::to_string(step),
                      from_the_start ? "new" : "old"});
  const auto told = told_by(child);
  const int status = child.wait();
  REQUIRE((status == 0 || status == kKilled));
  auto revisions = possible(told);
  if (!told.contains("opened")) revisions.insert(0);
  check_after_kill(kind, path, told, revisions);
  return status == kKilled;
}

}  // namespace

TEST_CASE(
    "file store: a process killed at any step leaves the old or the new session and a free lease",
    "[store]") {
  long step = 1;
  for (; kill_at("files", step, false); ++step) INFO("step " << step);
  CHECK(step > 15);
}

TEST_CASE("file store: a process killed while it makes the store leaves one that can be opened",
          "[store]") {
  for (long step = 1; step < 14; ++step) {
    INFO("step " << step);
    CHECK(kill_at("files", step, true));
  }
}

TEST_CASE(
    "sqlite store: a process killed at any write leaves the old or the new session and a free "
    "lease",
    "[store]") {
  long step = 1;
  // The first ones singly; the many pages of the room in larger strides.
  for (; kill_at("sqlite", step, false); step += step < 10 ? 1 : 5) INFO("step " << step);
  CHECK(step > 40);
}

TEST_CASE("sqlite store: a process killed while it makes the store leaves one that can be opened",
          "[store]") {
  for (long step = 1; step < 30; step += 2) {
    INFO("step " << step);
    CHECK(kill_at("sqlite", step, true));
  }
}
