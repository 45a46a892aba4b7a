// SPDX-License-Identifier: MIT
module;
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>
export module latchkey.test.torture_scoreboard;
import latchkey.test.torture_books;

// What a worker is doing, in a file that it maps: what it wrote there stays readable when it is
// killed. One writer process for each file, and the driver, which reads.

export namespace latchkey::test {

/// A refresh under way.
struct Slot {
  std::atomic<Stage> stage;
  std::atomic<std::uint32_t> subject;
  std::atomic<Mark> request;
};

struct Counters {
  std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> succeeded;
  std::atomic<std::uint64_t> adoptions;   ///< waited for the lease, and found the work done
  std::atomic<std::uint64_t> unsaved;     ///< saves that failed with the answer in hand
  std::atomic<std::uint64_t> not_opened;  ///< attempts to open store and vault that failed
};

class Scoreboard {
 public:
  static constexpr std::size_t kSlots = 256;

  /// Maps the file, making it (all idle) if it is not there. Throws std::runtime_error.
  explicit Scoreboard(const std::filesystem::path& file);
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard();

  /// An idle slot, now `claimed`; null if all are taken.
  [[nodiscard]] Slot* take(std::uint32_t subject) noexcept;
  [[nodiscard]] Counters& counters() noexcept;
  /// What was under way; afterwards all slots are idle. For when the writer is gone.
  [[nodiscard]] std::vector<CutRefresh> clear();

 private:
  struct Layout;
  Layout* layout_ = nullptr;
};

}  // namespace latchkey::test
