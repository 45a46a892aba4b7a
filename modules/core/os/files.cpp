// SPDX-License-Identifier: MIT
module;
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.core.os.files;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

using Path = std::filesystem::path;

constexpr mode_t kPrivateFile = 0600;
constexpr mode_t kPrivateFolder = 0700;
constexpr mode_t kOthersBits = 0077;

// Network and user-space file systems: their locks may end at this machine, or their rename may be
// two steps.
struct RemoteFileSystem {
  std::uint32_t magic;
  std::string_view name;
};
constexpr std::array kRemoteFileSystems = std::to_array<RemoteFileSystem>({
    {NFS_SUPER_MAGIC, "NFS"},
    {SMB_SUPER_MAGIC, "SMB"},
    {SMB2_SUPER_MAGIC, "SMB"},
    {CIFS_SUPER_MAGIC, "SMB"},
    {V9FS_MAGIC, "9p"},
    {FUSE_SUPER_MAGIC, "FUSE"},
    {CEPH_SUPER_MAGIC, "Ceph"},
    {AFS_SUPER_MAGIC, "AFS"},
    {AFS_FS_MAGIC, "AFS"},
    {CODA_SUPER_MAGIC, "Coda"},
    {NCP_SUPER_MAGIC, "NCP"},
    {OCFS2_SUPER_MAGIC, "OCFS2"},
    {0x01161970, "GFS2"},  // from here on not in linux/magic.h of every kernel
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"},
    {0x786F4256, "VirtualBox shared folders"},
    {0xBACBACBC, "VMware shared folders"},
});

std::string shown(const Path& path) {
  return printable(path.native(), 300);
}

Error refused(std::string_view doing, const Path& path, std::string_view detail,
              std::string_view why) {
  const bool location = detail.starts_with("location.");
  return make_error(location ? ErrorCode::insecure_location : ErrorCode::io, detail,
                    "cannot " + std::string(doing) + ' ' + shown(path) + ": " + std::string(why));
}

Error system_error(std::string_view doing, const Path& path, int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return refused(doing, path, "io.no_space",
                     "the disk or the quota is full; free some space and try again");
    case EROFS:
      return refused(doing, path, "io.read_only",
                     "the file system is read-only; mount it writable");
    case EMFILE:
    case ENFILE:
      return refused(doing, path, "io.too_many_files",
                     "too many files are open; raise the limit (ulimit -n)");
    case ELOOP:
      return refused(
          doing, path, "location.symlink",
          "it is a symbolic link, which is not followed; name the file or folder itself");
    case EISDIR:
      return refused(doing, path, "location.not_a_file",
                     "it is a folder; remove it or choose another name");
    case ENOTDIR:
      return refused(
          doing, path, "location.not_a_folder",
          "it, or what it lies in, is not a folder; remove that or choose another place");
    case EACCES:
    case EPERM:
      return refused(doing, path, "io.permission_denied",
                     "the system does not permit it; run as the owner, or correct the permissions");
    default:
      return refused(doing, path, "io.failed", std::generic_category().message(error));
  }
}

// Repeats a call that a signal has interrupted.
template <class Call>
auto uninterrupted(Call&& call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Descriptor open_descriptor(const Path& path, int flags, mode_t mode = 0) {
  return Descriptor(
      uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode); }));
}

bool is_link(const Path& path) {
  struct stat status{};
  return lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

// The folder a name lies in; a bare name lies in the current one.
Path folder_of(const Path& path) {
  auto folder = path.parent_path();
  return folder.empty() ? Path(".") : folder;
}

class PosixFile final : public WritableFile {
 public:
  PosixFile(Descriptor descriptor, Path path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Result<void> allocate(std::size_t size) override {
    if (size <= allocated_) return {};
    int error = 0;
    do {
      error = posix_fallocate(descriptor_.get(), 0, static_cast<off_t>(size));
    } while (error == EINTR);
    if (error != 0) return system_error("reserve room for", path_, error);
    allocated_ = size;
    return {};
  }

  Result<void> write(std::span<const unsigned char> bytes) override {
    while (!bytes.empty()) {
      const ssize_t count =
          uninterrupted([&] { return ::write(descriptor_.get(), bytes.data(), bytes.size()); });
      if (count < 0) return system_error("write", path_, errno);
      written_ += static_cast<std::size_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<void> sync() override {
    if (allocated_ > written_) {
      if (uninterrupted(
              [&] { return ftruncate(descriptor_.get(), static_cast<off_t>(written_)); }) != 0) {
        return system_error("cut", path_, errno);
      }
      allocated_ = written_;
    }
    if (uninterrupted([&] { return fsync(descriptor_.get()); }) != 0)
      return system_error("sync", path_, errno);
    return {};
  }

 private:
  Descriptor descriptor_;
  Path path_;
  std::size_t allocated_ = 0;
  std::size_t written_ = 0;
};

FolderEntry::Kind kind_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return FolderEntry::Kind::file;
  if (S_ISDIR(mode)) return FolderEntry::Kind::folder;
  if (S_ISLNK(mode)) return FolderEntry::Kind::link;
  return FolderEntry::Kind::other;
}

FolderEntry::Kind kind_of_entry(int folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return kind_of_mode(static_cast<mode_t>(DTTOIF(entry.d_type)));
  struct stat status{};
  if (fstatat(folder, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    return FolderEntry::Kind::other;
  return kind_of_mode(status.st_mode);
}

// A file or folder, no link, that belongs to us.
Result<void> check_ours(const Path& path, const struct stat& status) {
  if (S_ISLNK(status.st_mode)) return system_error("use", path, ELOOP);
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
    return refused("use", path, "location.not_a_file",
                   "it is neither a file nor a folder; choose another name");
  }
  if (status.st_uid == geteuid()) return {};
  return refused("use", path, "location.owner",
                 "it belongs to user " + std::to_string(status.st_uid) + " and not to user " +
                     std::to_string(geteuid()) + "; run as its owner, or choose another place");
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::optional<SecretBytes>> read(const Path& path, std::size_t max_size) override;
  Result<std::unique_ptr<WritableFile>> create(const Path& path) override;
  Result<void> rename(const Path& from, const Path& to) override;
  Result<void> remove(const Path& path) override;
  Result<void> sync_folder(const Path& folder) override;
  Result<void> make_folder(const Path& folder) override;
  Result<std::vector<FolderEntry>> list(const Path& folder) override;
  Result<std::optional<TimePoint>> modified_at(const Path& path) override;
  Result<void> check_private(const Path& path) override;
  Result<void> check_local(const Path& path) override;

 private:
  Result<void> make_one_folder(const Path& folder);
};

Result<std::optional<SecretBytes>> PosixFileSystem::read(const Path& path, std::size_t max_size) {
  // O_NONBLOCK: opening a FIFO that somebody put there must not hang.
  const auto file = open_descriptor(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && errno == ENOENT) return std::optional<SecretBytes>();
  if (!file) return system_error("read", path, errno);
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return system_error("read", path, errno);
  if (!S_ISREG(status.st_mode)) {
    return refused("read", path, "location.not_a_file",
                   "it is not a regular file; remove it or choose another name");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > max_size) {
    return make_error(ErrorCode::corrupt, "file.too_large",
                      "cannot read " + shown(path) + ": it has " + std::to_string(size) +
                          " bytes, over the limit of " + std::to_string(max_size) +
                          "; restore it from a backup or remove it");
  }
  SecretBytes bytes(size);
  std::size_t used = 0;
  while (used < size) {
    const auto rest = bytes.mutable_span().subspan(used);
    const ssize_t count =
        uninterrupted([&] { return ::read(file.get(), rest.data(), rest.size()); });
    if (count < 0) return system_error("read", path, errno);
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
  }
  bytes.truncate(used);
  return std::optional<SecretBytes>(std::move(bytes));
}

Result<std::unique_ptr<WritableFile>> PosixFileSystem::create(const Path& path) {
  auto file = open_descriptor(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kPrivateFile);
  if (file)
    return std::unique_ptr<WritableFile>(std::make_unique<PosixFile>(std::move(file), path));
  if (errno != EEXIST) return system_error("create", path, errno);
  return make_error(
      ErrorCode::conflict, "file.exists",
      "cannot create " + shown(path) + ": the name is taken; remove it or choose another name");
}

Result<void> PosixFileSystem::rename(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error("replace", to, errno);
  return {};
}

Result<void> PosixFileSystem::remove(const Path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_error("remove", path, errno);
  return {};
}

Result<void> PosixFileSystem::sync_folder(const Path& folder) {
  const Path path = folder.empty() ? Path(".") : folder;
  const auto descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY);
  if (!descriptor) return system_error("sync the folder", path, errno);
  if (uninterrupted([&] { return fsync(descriptor.get()); }) != 0)
    return system_error("sync the folder", path, errno);
  return {};
}

Result<void> PosixFileSystem::make_one_folder(const Path& folder) {
  if (mkdir(folder.c_str(), kPrivateFolder) == 0 || errno == EEXIST)
    return sync_folder(folder_of(folder));
  return system_error("create the folder", folder, errno);
}

Result<void> PosixFileSystem::make_folder(const Path& folder) {
  auto path = folder.has_filename() ? folder : folder.parent_path();  // without a trailing slash
  if (path.empty()) path = ".";
  std::vector<Path> missing;
  struct stat status{};
  // The folder itself may not be a link; what leads to it may.
  int result = lstat(path.c_str(), &status);
  for (Path at = path; result != 0; result = stat(at.c_str(), &status)) {
    if (errno != ENOENT) return system_error("create the folder", path, errno);
    missing.push_back(at);
    at = folder_of(at);
  }
  if (S_ISLNK(status.st_mode)) return system_error("create the folder", path, ELOOP);
  if (!S_ISDIR(status.st_mode)) return system_error("create the folder", path, ENOTDIR);
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    if (auto made = make_one_folder(*it); !made) return made;
  }
  return {};
}

Result<std::vector<FolderEntry>> PosixFileSystem::list(const Path& folder) {
  const Path path = folder.empty() ? Path(".") : folder;
  auto descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!descriptor && errno == ENOENT) return std::vector<FolderEntry>();
  if (!descriptor) {
    const int error = errno;
    // With O_DIRECTORY a link is reported as ENOTDIR.
    return system_error("list", path, error == ENOTDIR && is_link(path) ? ELOOP : error);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(descriptor.get()), closedir);
  if (!stream) return system_error("list", path, errno);
  const int fd = descriptor.release();
  std::vector<FolderEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr && errno != 0) return system_error("list", path, errno);
    if (entry == nullptr) return entries;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      entries.push_back({std::string(name), kind_of_entry(fd, *entry)});
  }
}

Result<std::optional<TimePoint>> PosixFileSystem::modified_at(const Path& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::optional<TimePoint>();
    return system_error("look at", path, errno);
  }
  return std::optional(TimePoint(
      std::chrono::duration_cast<Duration>(std::chrono::seconds(status.st_mtim.tv_sec) +
                                           std::chrono::nanoseconds(status.st_mtim.tv_nsec))));
}

Result<void> PosixFileSystem::check_private(const Path& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return system_error("check", path, errno);
  }
  if (auto ours = check_ours(path, status); !ours) return ours;
  const bool folder = S_ISDIR(status.st_mode);
  if ((status.st_mode & kOthersBits) == 0) return {};
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%03o", static_cast<unsigned>(status.st_mode & 0777));
  return refused("use", path, "location.permissions",
                 "others have access to it (mode " + std::string(mode.data()) + "); run chmod " +
                     (folder ? "700 " : "600 ") + shown(path));
}

Result<void> PosixFileSystem::check_local(const Path& path) {
  struct statfs status{};
  Path at = path.empty() ? Path(".") : path;
  while (uninterrupted([&] { return statfs(at.c_str(), &status); }) != 0) {
    const auto folder = folder_of(at);
    if (errno != ENOENT || folder == at) return system_error("check", path, errno);
    at = folder;
  }
  const auto name = network_file_system(static_cast<std::uint32_t>(status.f_type));
  if (name.empty()) return {};
  return refused("use", path, "location.network_file_system",
                 "it lies on " + std::string(name) +
                     ", where locks do not hold between machines; choose a folder on a local disk");
}

}  // namespace

WritableFile::~WritableFile() {}
FileSystem::~FileSystem() {}

std::string_view network_file_system(std::uint32_t magic) noexcept {
  for (const auto& remote : kRemoteFileSystems) {
    if (remote.magic == magic) return remote.name;
  }
  return {};
}

Result<void> make_private(const Path& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) return system_error("change", path, errno);
  if (auto ours = check_ours(path, status); !ours) return ours;
  const mode_t mode = S_ISDIR(status.st_mode) ? kPrivateFolder : kPrivateFile;
  if (fchmodat(AT_FDCWD, path.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0)
    return system_error("change", path, errno);
  return {};
}

std::shared_ptr<FileSystem> posix_file_system() {
  static const std::shared_ptr<FileSystem> instance = std::make_shared<PosixFileSystem>();
  return instance;
}

}  // namespace latchkey
