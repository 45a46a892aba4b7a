// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>
export module latchkey.test.faults;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;

// A file system that fails when it is told to.

export namespace latchkey::test {

enum class FileOperation {
  create,
  allocate,
  write,
  sync_file,
  rename,
  remove,
  sync_folder,
  make_folder,
  // the following change nothing
  read,
  list,
  modified_at,
  check_private,
  check_local,
};

/// io, "io.no_space".
[[nodiscard]] Error no_space();
/// io, "io.read_only".
[[nodiscard]] Error read_only();

/// Passes everything on to `inner`, except what it was told to fail. A failing write writes half of
/// its bytes first, as a full disk does; any other failing operation has no effect. Thread-safe.
class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(std::shared_ptr<FileSystem> inner);
  ~FaultyFileSystem() override;

  /// Fails one operation: the n-th changing one from now on (1 is the next).
  void fail_nth(std::size_t n, Error error);
  /// Fails the n-th changing operation from now on and all that follow it, until heal().
  void fail_from(std::size_t n, Error error);
  /// Fails every operation of this kind until heal().
  void fail_every(FileOperation operation, Error error);
  void heal();
  /// The number of changing operations so far, failed ones included.
  [[nodiscard]] std::size_t changes() const;

  Result<std::optional<SecretBytes>> read(const std::filesystem::path& path,
                                          std::size_t max_size) override;
  Result<std::unique_ptr<WritableFile>> create(const std::filesystem::path& path) override;
  Result<void> rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  Result<void> remove(const std::filesystem::path& path) override;
  Result<void> sync_folder(const std::filesystem::path& folder) override;
  Result<void> make_folder(const std::filesystem::path& folder) override;
  Result<std::vector<FolderEntry>> list(const std::filesystem::path& folder) override;
  Result<std::optional<TimePoint>> modified_at(const std::filesystem::path& path) override;
  Result<void> check_private(const std::filesystem::path& path) override;
  Result<void> check_local(const std::filesystem::path& path) override;

  class Plan;

 private:
  std::shared_ptr<FileSystem> inner_;
  std::shared_ptr<Plan> plan_;
};

}  // namespace latchkey::test
