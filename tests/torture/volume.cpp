// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
module latchkey.test.torture_volume;
import latchkey.test.folder;

namespace latchkey::test {
namespace {

constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr std::size_t kPage = 4096;
// Others write meanwhile: the ballast grows until nothing but the pages asked for is left, or this
// often.
constexpr int kMaxFillSteps = 50;

bool write_map(const char* path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return !file.fail();
}

}  // namespace

bool enter_own_mounts() noexcept {
  const auto user = geteuid();
  const auto group = getegid();
  if (user == 0) {
    if (unshare(CLONE_NEWNS) != 0) return false;
  } else {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    if (!write_map("/proc/self/setgroups", "deny") ||
        !write_map("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") ||
        !write_map("/proc/self/gid_map", "0 " + std::to_string(group) + " 1")) {
      return false;
    }
  }
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

Volume::Volume(bool own_mounts) : mount_(folder_.path() / "disk") {
  std::filesystem::create_directory(mount_);
  std::filesystem::permissions(mount_, std::filesystem::perms::owner_all);
  mounted_ =
      own_mounts && mount("tmpfs", mount_.c_str(), "tmpfs", kFlags, "size=16m,mode=0700") == 0;
}

Volume::~Volume() {
  if (mounted_) umount2(mount_.c_str(), MNT_DETACH);
}

bool Volume::fill(std::size_t pages_left) {
  if (!mounted_) return false;
  const int ballast = open((mount_ / "ballast").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (ballast < 0) return false;
  off_t size = 0;
  std::size_t part = 1;
  for (int step = 0; step < kMaxFillSteps; ++step) {
    struct statvfs status{};
    if (fstatvfs(ballast, &status) != 0 || status.f_bavail <= pages_left) break;
    const auto pages = (status.f_bavail - pages_left + part - 1) / part;
    const auto more = static_cast<off_t>(pages * kPage);
    if (posix_fallocate(ballast, size, more) == 0) {
      size += more;
    } else {
      ++part;  // somebody else took some of it
    }
  }
  close(ballast);
  return size > 0;
}

void Volume::free() {
  std::error_code ignored;
  std::filesystem::remove(mount_ / "ballast", ignored);
}

bool Volume::set_read_only(bool read_only) {
  const unsigned long flags = kFlags | MS_REMOUNT | (read_only ? MS_RDONLY : 0);
  return mounted_ && mount("tmpfs", mount_.c_str(), "tmpfs", flags, nullptr) == 0;
}

}  // namespace latchkey::test
