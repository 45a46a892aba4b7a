// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.folder;

// Folders and files for tests, made without the code under test. Failures here throw
// std::runtime_error.

export namespace latchkey::test {

/// A new folder (0700) that is removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// Writes or overwrites a file with mode 0600.
void write_text(const std::filesystem::path& path, std::string_view text);
/// Empty if there is no such file.
[[nodiscard]] std::optional<std::string> read_text(const std::filesystem::path& path);
/// Permission bits of the path itself, e.g. 0600.
[[nodiscard]] int mode_of(const std::filesystem::path& path);
/// The names in a folder, sorted.
[[nodiscard]] std::vector<std::string> names_in(const std::filesystem::path& folder);

}  // namespace latchkey::test
