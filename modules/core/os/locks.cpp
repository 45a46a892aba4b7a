// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.core.os.locks;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;

namespace latchkey {
namespace {

using Counter = std::uint64_t;
static_assert(std::atomic_ref<Counter>::is_always_lock_free,
              "counters in shared memory must be address-free");

constexpr std::size_t kCounters = 4096;
constexpr std::size_t kTableSize = kCounters * sizeof(Counter);
constexpr Duration kFirstPause{1};
constexpr Duration kLongestPause{50};

// The same in every process and build on a machine. Not for secrets and not against those who
// choose names to collide: a collision only makes two names wait for each other, or a cache look
// again.
std::uint64_t hash(std::string_view name) noexcept {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
  std::uint64_t state = name.size() * odd;
  while (!name.empty()) {
    std::uint64_t word = 0;
    const auto count = std::min(name.size(), sizeof(word));
    std::memcpy(&word, name.data(), count);
    name.remove_prefix(count);
    state = (state ^ word) * odd;
    state ^= state >> 29;
  }
  state *= 0xBF58476D1CE4E5B9;
  return state ^ state >> 32;
}

// One byte for each kind and hash, all of them beyond the table (locks may lie beyond the end of a
// file).
off_t lock_position(LockKind kind, std::string_view name) noexcept {
  const auto area = (static_cast<std::uint64_t>(kind) + 1) << 48;
  return static_cast<off_t>(kind == LockKind::whole ? area : area | hash(name) >> 16);
}

struct flock one_byte(short type, off_t position) {
  struct flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = position;
  range.l_len = 1;
  return range;
}

Error system_error(std::string_view doing, const std::filesystem::path& path, int error) {
  std::string_view detail = "io.failed";
  if (error == ENOSPC || error == EDQUOT) detail = "io.no_space";
  if (error == EROFS) detail = "io.read_only";
  if (error == EMFILE || error == ENFILE) detail = "io.too_many_files";
  if (error == EACCES || error == EPERM) detail = "io.permission_denied";
  if (error == ELOOP) detail = "location.symlink";
  return make_error(error == ELOOP ? ErrorCode::insecure_location : ErrorCode::io, detail,
                    "cannot " + std::string(doing) + " the lock file " +
                        printable(path.native(), 300) + ": " +
                        std::generic_category().message(error));
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

 private:
  int fd_;
};

Descriptor open_descriptor(const std::filesystem::path& path, int flags) {
  for (;;) {
    const int fd =
        ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd >= 0 || errno != EINTR) return Descriptor(fd);
  }
}

class PosixHeldLock final : public HeldLock {
 public:
  PosixHeldLock(Descriptor descriptor, off_t position)
      : descriptor_(std::move(descriptor)), position_(position) {}
  ~PosixHeldLock() override {
    // Closing alone would leave the lock to a child that the host program has forked but not yet
    // exec'd.
    auto range = one_byte(F_UNLCK, position_);
    fcntl(descriptor_.get(), F_OFD_SETLK, &range);
  }

 private:
  Descriptor descriptor_;
  off_t position_;
};

class PosixLockFile final : public LockFile {
 public:
  PosixLockFile(std::filesystem::path path, std::shared_ptr<Clock> clock, struct stat identity,
                Counter* table)
      : path_(std::move(path)), clock_(std::move(clock)), identity_(identity), table_(table) {}
  ~PosixLockFile() override { munmap(table_, kTableSize); }

  Result<std::unique_ptr<HeldLock>> acquire(LockKind kind, std::string_view name,
                                            const LockWait& wait) override;
  std::uint64_t change_count(std::string_view name) const noexcept override {
    return counter(name).load(std::memory_order_acquire);
  }
  void announce_change(std::string_view name) noexcept override {
    counter(name).fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  [[nodiscard]] std::atomic_ref<Counter> counter(std::string_view name) const noexcept {
    return std::atomic_ref<Counter>(table_[hash(name) % kCounters]);
  }
  [[nodiscard]] Result<Descriptor> open_again() const;

  std::filesystem::path path_;
  std::shared_ptr<Clock> clock_;
  struct stat identity_;
  Counter* table_;
};

// OFD locks belong to an open file: each holder needs one of its own. Opening by name finds out
// when the file has been deleted or replaced, and other processes now lock another one.
Result<Descriptor> PosixLockFile::open_again() const {
  auto descriptor = open_descriptor(path_, 0);
  struct stat status{};
  if (!descriptor && errno != ENOENT) return system_error("open", path_, errno);
  if (descriptor && fstat(descriptor.get(), &status) != 0)
    return system_error("open", path_, errno);
  if (descriptor && status.st_dev == identity_.st_dev && status.st_ino == identity_.st_ino)
    return descriptor;
  return make_error(
      ErrorCode::io, "lock.file_replaced",
      "cannot lock " + printable(path_.native(), 300) +
          ": the lock file was deleted or replaced while in use; restart all programs that use it");
}

Result<std::unique_ptr<HeldLock>> PosixLockFile::acquire(LockKind kind, std::string_view name,
                                                         const LockWait& wait) {
  auto descriptor = open_again();
  if (!descriptor) return std::move(descriptor).error();
  const auto position = lock_position(kind, name);
  const auto cancelled = [] {
    return make_error(ErrorCode::cancelled, "lock.cancelled",
                      "waiting for a lock was cancelled: the caller stopped it");
  };
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    if (wait.stop.stop_requested()) return cancelled();
    auto range = one_byte(F_WRLCK, position);
    if (fcntl(descriptor->get(), F_OFD_SETLK, &range) == 0) {
      return std::unique_ptr<HeldLock>(
          std::make_unique<PosixHeldLock>(std::move(*descriptor), position));
    }
    if (errno != EAGAIN && errno != EACCES && errno != EINTR)
      return system_error("lock", path_, errno);
    const auto left = std::chrono::ceil<Duration>(wait.deadline - clock_->steady_now());
    if (left <= Duration::zero()) {
      return make_error(
          ErrorCode::locked, "lock.held",
          "cannot lock " + printable(path_.native(), 300) +
              ": another thread or process held the lock until the deadline; try again later");
    }
    if (!clock_->sleep_for(std::min(pause, left), wait.stop)) return cancelled();
  }
}

// Allocating rather than only extending: a write to a mapped page that finds the disk full would
// kill the process. It never shortens the file, so that processes may do it at the same time.
Result<void> make_room(const Descriptor& file, const std::filesystem::path& path, off_t size) {
  if (size >= static_cast<off_t>(kTableSize)) return {};
  int error = 0;
  do {
    error = posix_fallocate(file.get(), 0, static_cast<off_t>(kTableSize));
  } while (error == EINTR);
  if (error != 0) return system_error("extend", path, error);
  return {};
}

}  // namespace

HeldLock::~HeldLock() {}
LockFile::~LockFile() {}

Result<std::shared_ptr<LockFile>> LockFile::open(const std::filesystem::path& path,
                                                 std::shared_ptr<Clock> clock) {
  std::error_code fault;
  auto absolute = std::filesystem::absolute(path, fault);
  if (fault) return system_error("open", path, fault.value());
  const auto file = open_descriptor(absolute, O_CREAT);
  if (!file && errno == EISDIR) {
    return make_error(ErrorCode::insecure_location, "location.not_a_file",
                      "cannot open the lock file " + printable(path.native(), 300) +
                          ": it is a folder; remove it");
  }
  if (!file) return system_error("open", path, errno);
  const auto files = posix_file_system();
  if (auto secure = files->check_private(absolute); !secure) return std::move(secure).error();
  if (auto local = files->check_local(absolute); !local) return std::move(local).error();
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return system_error("open", path, errno);
  if (!S_ISREG(status.st_mode)) {
    return make_error(ErrorCode::insecure_location, "location.not_a_file",
                      "cannot open the lock file " + printable(path.native(), 300) +
                          ": it is not a regular file");
  }
  if (auto extended = make_room(file, path, status.st_size); !extended)
    return std::move(extended).error();
  void* const table = mmap(nullptr, kTableSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (table == MAP_FAILED) return system_error("map", path, errno);
  return std::shared_ptr<LockFile>(std::make_shared<PosixLockFile>(
      std::move(absolute), std::move(clock), status, static_cast<Counter*>(table)));
}

}  // namespace latchkey
