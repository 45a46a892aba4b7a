// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.core.os.files;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;

// Durable files. The FileSystem contract lists the primitive operations of which every durable
// change consists, so that tests can record them, replay any prefix of them, and inject faults, by
// decorators. Everything that latchkey keeps is 0600 in 0700 from the moment it is created, and no
// symbolic link is followed at the last path component.

export namespace latchkey {

/// An open file that is being written. Closing never reports an error: only sync() makes a promise.
class WritableFile {
 public:
  WritableFile() = default;
  WritableFile(const WritableFile&) = delete;
  WritableFile& operator=(const WritableFile&) = delete;
  virtual ~WritableFile();
  /// Reserves disk space for `size` bytes (posix_fallocate), so that a later write of that size
  /// cannot find the disk full. Does not change what the file holds. Error: io.
  [[nodiscard]] virtual Result<void> allocate(std::size_t size) = 0;
  /// Appends everything. Error: io ("io.no_space" when the disk is full).
  [[nodiscard]] virtual Result<void> write(std::span<const unsigned char> bytes) = 0;
  /// Cuts the file to what was written (after allocate) and makes its contents durable (fsync).
  [[nodiscard]] virtual Result<void> sync() = 0;
};

/// A name in a folder.
struct FolderEntry {
  std::string name;
  enum class Kind { file, folder, link, other } kind = Kind::file;
};

/// The primitive operations. Thread-safe. Errors: io with "io.no_space", "io.read_only",
/// "io.too_many_files", "io.permission_denied", "io.failed"; insecure_location with
/// "location.symlink", "location.not_a_file", "location.not_a_folder", "location.permissions",
/// "location.owner", "location.network_file_system".
class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem();

  /// The whole file, or empty if there is none. Refuses anything but a regular file, and one larger
  /// than `max_size` (corrupt, "file.too_large"). Does not check permissions: see check_private.
  [[nodiscard]] virtual Result<std::optional<SecretBytes>> read(const std::filesystem::path& path,
                                                                std::size_t max_size) = 0;
  /// A new file, 0600, O_EXCL, O_NOFOLLOW, O_CLOEXEC. Error if the name exists: conflict,
  /// "file.exists".
  [[nodiscard]] virtual Result<std::unique_ptr<WritableFile>> create(
      const std::filesystem::path& path) = 0;
  /// Replaces `to` in one step; both must lie in the same folder.
  [[nodiscard]] virtual Result<void> rename(const std::filesystem::path& from,
                                            const std::filesystem::path& to) = 0;
  /// Removes a file; not an error if there is none.
  [[nodiscard]] virtual Result<void> remove(const std::filesystem::path& path) = 0;
  /// Makes creations, renames and removals in this folder durable (fsync of the folder).
  [[nodiscard]] virtual Result<void> sync_folder(const std::filesystem::path& folder) = 0;
  /// Creates the folder with 0700 (parents too) if it is not there; durable.
  [[nodiscard]] virtual Result<void> make_folder(const std::filesystem::path& folder) = 0;
  /// Names in no order. An absent folder has none.
  [[nodiscard]] virtual Result<std::vector<FolderEntry>> list(
      const std::filesystem::path& folder) = 0;
  /// When the contents of a file or folder last changed, by the wall clock of then; empty if there
  /// is none. Does not follow a link.
  [[nodiscard]] virtual Result<std::optional<TimePoint>> modified_at(
      const std::filesystem::path& path) = 0;
  /// Refuses a file or folder that others may read or write, that another user owns, or that is a
  /// symbolic link. An absent path is fine.
  [[nodiscard]] virtual Result<void> check_private(const std::filesystem::path& path) = 0;
  /// Refuses file systems whose locks and renames do not keep their promises between machines: NFS,
  /// SMB, 9p, FUSE.
  [[nodiscard]] virtual Result<void> check_local(const std::filesystem::path& path) = 0;
};

/// The name of the network or user-space file system with this number (f_type of statfs), as
/// check_local refuses it; empty for all others.
[[nodiscard]] std::string_view network_file_system(std::uint32_t magic) noexcept;

/// Takes a file (0600) or folder (0700) from others, who may have access to it now. Follows no
/// link. Errors: io; insecure_location ("location.symlink", "location.not_a_file",
/// "location.owner": only its owner can).
[[nodiscard]] Result<void> make_private(const std::filesystem::path& path);

/// The real thing. One instance serves the whole process.
[[nodiscard]] std::shared_ptr<FileSystem> posix_file_system();

/// A file whose room is already there: created, allocated, and not yet in place. Dropping it
/// removes it.
class StagedFile {
 public:
  StagedFile(std::shared_ptr<FileSystem> files, std::filesystem::path temporary,
             std::unique_ptr<WritableFile> file);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  ~StagedFile();
  /// write, fsync, rename over `target`, fsync of the folder. May be called once. If the last step
  /// fails, the new contents are in place but may not survive a power cut: error io,
  /// "io.folder_not_synced".
  [[nodiscard]] Result<void> commit(std::span<const unsigned char> bytes,
                                    const std::filesystem::path& target);

 private:
  std::shared_ptr<FileSystem> files_;
  std::filesystem::path temporary_;
  std::unique_ptr<WritableFile> file_;
};

/// Temporary files of ours have names that begin so; they may be removed by whoever holds the
/// folder's lock.
inline constexpr std::string_view kTemporaryPrefix = ".latchkey-tmp-";

/// A staged file in the folder of `target` with room for `size` bytes.
[[nodiscard]] Result<std::unique_ptr<StagedFile>> stage_file(std::shared_ptr<FileSystem> files,
                                                             const std::filesystem::path& target,
                                                             std::size_t size);
/// Old contents or new contents, never anything between; durable when it returns.
[[nodiscard]] Result<void> replace_file(const std::shared_ptr<FileSystem>& files,
                                        const std::filesystem::path& target,
                                        std::span<const unsigned char> bytes);

}  // namespace latchkey
