// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
export module latchkey.test.torture_volume;
import latchkey.test.folder;

// Where the stores of a run lie: a small disk in memory that can be filled and made read-only, if
// this process may mount one for itself, and a folder if not.

export namespace latchkey::test {

/// Gives this process and its children mounts of their own, as root or in a user namespace of its
/// own. Before any thread is started. False if the machine does not allow it.
[[nodiscard]] bool enter_own_mounts() noexcept;

class Volume {
 public:
  /// `own_mounts`: what enter_own_mounts() gave. Throws std::runtime_error.
  explicit Volume(bool own_mounts);
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  ~Volume();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return mount_; }
  /// Can it be filled and made read-only?
  [[nodiscard]] bool is_small_disk() const noexcept { return mounted_; }
  /// Takes all room but so many pages. False if that could not be done.
  [[nodiscard]] bool fill(std::size_t pages_left);
  void free();
  /// False while somebody has a file open for writing, or if this is no disk of its own.
  [[nodiscard]] bool set_read_only(bool read_only);

 private:
  test::TemporaryFolder folder_;
  std::filesystem::path mount_;
  bool mounted_ = false;
};

}  // namespace latchkey::test
