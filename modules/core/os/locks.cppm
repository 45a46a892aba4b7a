// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string_view>
export module latchkey.core.os.locks;
import latchkey.core.error;
import latchkey.core.time;

// Locks between threads and processes of one machine: OFD byte-range locks in a file that is never
// deleted, one descriptor for each lock, so that the operating system releases it when its holder
// dies. The same file holds a small mapped table of change counters, by which a cache learns within
// nanoseconds that another process has saved.

export namespace latchkey {

/// Which ranges of the file a lock is about. Two kinds never exclude each other.
enum class LockKind {
  lease,  ///< the right to change one subject's session
  write,  ///< the short lock around one compare-and-swap
  whole,  ///< opening, migrating: the whole file of records
};

/// Held until destroyed.
class HeldLock {
 public:
  HeldLock() = default;
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  virtual ~HeldLock();
};

/// How long to wait. The deadline is a moment on Clock::steady_now().
struct LockWait {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop{};
};

/// One lock file. Thread-safe.
class LockFile {
 public:
  /// Creates the file (0600) if it is not there. Errors: io, insecure_location.
  [[nodiscard]] static Result<std::shared_ptr<LockFile>> open(const std::filesystem::path& path,
                                                              std::shared_ptr<Clock> clock);
  LockFile() = default;
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;
  virtual ~LockFile();

  /// Exclusive among all holders of `kind` and `name`, in this process and others. Names are hashed
  /// to ranges: two names may share one (they then only wait for each other); `whole` is one range
  /// and ignores the name. Waits by polling with growing pauses. Errors: locked ("lock.held", at
  /// the deadline), cancelled ("lock.cancelled"), io
  /// ("lock.file_replaced": the file was deleted, so that others may be locking a new one).
  [[nodiscard]] virtual Result<std::unique_ptr<HeldLock>> acquire(LockKind kind,
                                                                  std::string_view name,
                                                                  const LockWait& wait) = 0;
  /// Counts the changes under this name that any process has announced since the machine started.
  /// Nanoseconds.
  [[nodiscard]] virtual std::uint64_t change_count(std::string_view name) const noexcept = 0;
  /// Announces a change.
  virtual void announce_change(std::string_view name) noexcept = 0;
};

}  // namespace latchkey
