// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.quarantine;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;

// Where unreadable records and keys go, so that they are in nobody's way and still there for
// whoever can make something of them. Nothing is moved here without being asked for, and nothing is
// ever deleted from here. Shared by the file store and the file vault; an SQLite store has a table.

export namespace latchkey {

/// What was moved aside.
struct Quarantined {
  std::string name;   ///< of the record or key file, as it was listed
  TimePoint at{};     ///< when it was moved
  std::string why;    ///< the detail of its error, e.g. "record.truncated"
  std::string where;  ///< for people: a path, or a place in a database
  [[nodiscard]] bool operator==(const Quarantined&) const = default;
};

/// The largest file that is moved aside.
inline constexpr std::size_t kMaxQuarantinedFile = 64 * 1024 * 1024;

/// A folder of quarantined files: "<milliseconds since the epoch>-<why>-<name>", 0600 in 0700.
/// Thread-safe; processes must exclude each other.
class QuarantineFolder {
 public:
  /// Nothing is made before the first file comes.
  QuarantineFolder(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
                   std::filesystem::path folder);
  /// Copies the file's bytes, and removes it when the copy is durable: an interruption leaves it
  /// where it was, or in both places. Errors: io; corrupt, "file.too_large".
  [[nodiscard]] Result<Quarantined> take(const std::filesystem::path& file,
                                         std::string_view why) const;
  /// Oldest first. Other files that lie there are left out.
  [[nodiscard]] Result<std::vector<Quarantined>> list() const;

 private:
  [[nodiscard]] Result<std::filesystem::path> free_place(Quarantined& entry) const;
  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Clock> clock_;
  std::filesystem::path folder_;
};

}  // namespace latchkey
