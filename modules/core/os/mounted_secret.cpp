// SPDX-License-Identifier: MIT
module;
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
module latchkey.core.os.mounted_secret;

namespace latchkey {
namespace {

constexpr std::uint32_t kRoot = 0;
constexpr std::uint32_t kRefused = S_IWGRP | S_IXGRP | S_IRWXO;

}  // namespace

bool is_mounted_secret(const FileRights& rights, std::uint32_t us) noexcept {
  return us != kRoot && rights.owner == kRoot && S_ISREG(rights.mode) &&
         (rights.mode & kRefused) == 0;
}

bool is_mounted_secret(const std::filesystem::path& path) noexcept {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) return false;
  return is_mounted_secret({.owner = status.st_uid, .mode = status.st_mode}, geteuid());
}

}  // namespace latchkey
