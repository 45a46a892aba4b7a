// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <filesystem>
#include <initializer_list>

import latchkey.core.os.mounted_secret;
import latchkey.test.folder;

using namespace latchkey;

namespace {

constexpr std::uint32_t kRoot = 0, kUs = 1000, kOther = 1001;

bool is_taken(std::uint32_t owner, std::uint32_t permissions, std::uint32_t us = kUs) {
  return is_mounted_secret({.owner = owner, .mode = S_IFREG | permissions}, us);
}

}  // namespace

TEST_CASE("is_mounted_secret: takes root's file that only a group may read", "[os]") {
  CHECK(is_taken(kRoot, 0440));
  CHECK(is_taken(kRoot, 0400));
  CHECK(is_taken(kRoot, 0600));
  CHECK(is_taken(kRoot, 0640));
}

TEST_CASE("is_mounted_secret: refuses what a group may write, or everybody read", "[os]") {
  for (const std::uint32_t mode : {0460u, 0444u, 0404u, 0442u, 0441u, 0450u, 0644u, 0777u}) {
    CHECK_FALSE(is_taken(kRoot, mode));
  }
}

TEST_CASE("is_mounted_secret: refuses other users' files, and leaves one's own to other rules",
          "[os]") {
  CHECK_FALSE(is_taken(kOther, 0400));
  CHECK_FALSE(is_taken(kUs, 0440));
  CHECK_FALSE(is_taken(kRoot, 0440, kRoot));
}

TEST_CASE("is_mounted_secret: refuses what is no regular file", "[os]") {
  for (const std::uint32_t type :
       std::initializer_list<std::uint32_t>{S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK}) {
    CHECK_FALSE(is_mounted_secret({.owner = kRoot, .mode = type | 0400}, kUs));
  }
}

TEST_CASE("is_mounted_secret: is false of a file that is not there, a link, and one's own",
          "[os]") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "secret";
  CHECK_FALSE(is_mounted_secret(file));
  test::write_text(file, "secret");
  CHECK_FALSE(is_mounted_secret(file));
  std::filesystem::create_symlink("/etc/hosts", folder.path() / "link");
  CHECK_FALSE(is_mounted_secret(folder.path() / "link"));
}
