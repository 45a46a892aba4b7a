// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string_view>
export module latchkey.core.os.append_file;
import latchkey.core.error;

// A private file that only grows, for logs: not durable, and never rewritten.

export namespace latchkey {

/// Thread-safe, and several processes may append to one file.
class AppendFile {
 public:
  /// Creates the file (0600) or goes on with one that is there; if that does not end with a line's
  /// end, on a new line, so that a torn line takes no whole one with it. Follows no link at the
  /// last component, and waits for nobody (a FIFO). Errors: insecure_location ("location.symlink",
  /// "location.not_a_file", "location.permissions", "location.owner"); io ("io.failed").
  [[nodiscard]] static Result<std::unique_ptr<AppendFile>> open(const std::filesystem::path& path);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  /// One write, so that texts of several writers do not mix. Error: io ("io.failed"; also when only
  /// a part could be written).
  [[nodiscard]] Result<void> append(std::string_view text);

 private:
  AppendFile(std::filesystem::path path, int descriptor);
  const std::filesystem::path path_;
  const int descriptor_;
};

}  // namespace latchkey
