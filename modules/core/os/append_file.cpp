// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.core.os.append_file;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

Error refused(const std::filesystem::path& path, std::string_view detail, std::string_view why) {
  const bool location = detail.starts_with("location.");
  return make_error(location ? ErrorCode::insecure_location : ErrorCode::io, detail,
                    "cannot append to " + printable(path.native(), 300) + ": " + std::string(why));
}

Error failed(const std::filesystem::path& path, int error) {
  if (error == ELOOP)
    return refused(path, "location.symlink",
                   "it is a symbolic link, which is not followed; name the file itself");
  if (error == EISDIR || error == ENXIO)
    return refused(path, "location.not_a_file", "it is not a file; choose another name");
  return refused(path, "io.failed", std::generic_category().message(error));
}

Result<void> check(const std::filesystem::path& path, int descriptor) {
  struct stat found{};
  if (fstat(descriptor, &found) != 0) return failed(path, errno);
  if (!S_ISREG(found.st_mode)) return failed(path, EISDIR);
  if (found.st_uid != geteuid())
    return refused(path, "location.owner", "it belongs to another user; choose another name");
  if ((found.st_mode & 077) != 0)
    return refused(path, "location.permissions",
                   "others may read or write it; run chmod 600, or choose another name");
  return {};
}

// False if the last line was torn: its writer was cut off, or the disk was full.
bool ends_whole(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  char last = '\n';
  return size <= 0 || ::pread(descriptor, &last, 1, size - 1) != 1 || last == '\n';
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

AppendFile::~AppendFile() {
  close(descriptor_);
}

Result<std::unique_ptr<AppendFile>> AppendFile::open(const std::filesystem::path& path) {
  constexpr int kFlags =
      O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const int descriptor = ::open(path.c_str(), kFlags, 0600);
  if (descriptor < 0) return failed(path, errno);
  std::unique_ptr<AppendFile> file(new AppendFile(path, descriptor));
  if (auto checked = check(path, descriptor); !checked) return std::move(checked).error();
  if (!ends_whole(descriptor)) {
    if (auto ended = file->append("\n"); !ended) return std::move(ended).error();
  }
  return file;
}

Result<void> AppendFile::append(std::string_view text) {
  ssize_t written = -1;
  do {
    written = ::write(descriptor_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return failed(path_, errno);
  if (static_cast<std::size_t>(written) < text.size()) return failed(path_, ENOSPC);
  return {};
}

}  // namespace latchkey
