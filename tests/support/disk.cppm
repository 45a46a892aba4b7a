// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
export module latchkey.test.disk;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.test.folder;

// A simulated disk that loses its power. RecordingFileSystem notes every change below a folder;
// crash_states() gives, for every number of changes done, what the disk may hold after a power cut
// at that moment:
// - data that was not synced is lost, cut in half, replaced by zeros, or there by luck;
// - any selection of the creations, renames and removals whose folder was not synced has happened.

export namespace latchkey::test {

/// What the disk holds after one power cut.
struct CrashState {
  /// How many changes were done before the power cut, of RecordingFileSystem::changes().
  std::size_t changes = 0;
  /// The last change and what was lost, for INFO().
  std::string description;
  /// Contents by path relative to the recorded folder; no contents: a folder.
  std::map<std::string, std::optional<std::string>> tree;

  /// Writes the tree into a new folder, files 0600 and folders 0700.
  [[nodiscard]] TemporaryFolder materialise() const;
};

/// Passes everything on to `inner` and records what changes below `root`. What lies there at
/// construction counts as durable; changes elsewhere are not recorded; an operation that fails
/// counts as one that did nothing. Thread-safe.
class RecordingFileSystem final : public FileSystem {
 public:
  RecordingFileSystem(std::shared_ptr<FileSystem> inner, std::filesystem::path root);
  ~RecordingFileSystem() override;

  /// The number of changes recorded so far; compare with CrashState::changes to know what must have
  /// survived.
  [[nodiscard]] std::size_t changes() const;
  /// The recorded changes as text, e.g. "rename .tmp -> a", for tests of the order of things.
  [[nodiscard]] std::vector<std::string> log() const;
  /// All disks that a power cut after 0, 1, ... changes() changes may leave; equal ones of one
  /// moment are given once.
  [[nodiscard]] std::vector<CrashState> crash_states() const;

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

  class Record;

 private:
  std::shared_ptr<FileSystem> inner_;
  std::shared_ptr<Record> record_;
};

/// One change, as recorded. Paths are relative to the root; `file` numbers the created files.
struct DiskChange {
  enum class Kind { create, allocate, write, sync_file, rename, remove, sync_folder, make_folder };
  Kind kind{};
  std::string path{};
  std::string to{};      ///< rename
  std::size_t file = 0;  ///< create, allocate, write, sync_file
  std::string bytes{};   ///< write
  std::size_t size = 0;  ///< allocate
};

[[nodiscard]] std::string to_string(const DiskChange& change);

/// The simulation behind RecordingFileSystem::crash_states().
[[nodiscard]] std::vector<CrashState> simulate_crashes(
    const std::map<std::string, std::optional<std::string>>& initial,
    const std::vector<DiskChange>& changes);

}  // namespace latchkey::test
