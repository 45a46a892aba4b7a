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
import latchkey.core.time;
import latchkey.test.torture_notes;

// What a worker is doing, in a file that it maps: what it wrote there stays readable when it is
// killed. One writer process for each file, and the driver, which reads.

export namespace latchkey::test {

/// A refresh under way, or one that has ended and was not collected yet.
struct Slot {
  std::atomic<Stage> stage;
  std::atomic<std::uint32_t> subject;
  std::atomic<Mark> request;
  std::atomic<std::int64_t> claimed, checked, saved;  ///< TimePoints; 0: not yet
};
/// For the times of a slot.
void set(std::atomic<std::int64_t>& field, TimePoint time) noexcept;

struct Counters {
  std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> succeeded;
  std::atomic<std::uint64_t> adoptions;   ///< waited for the lease, and found the work done
  std::atomic<std::uint64_t> unsaved;     ///< saves that failed with the answer in hand
  std::atomic<std::uint64_t> not_opened;  ///< attempts to open store and vault that failed
};

class Scoreboard {
 public:
  static constexpr std::size_t kSlots = 1024;

  /// Maps the file, making it (all idle) if it is not there. Throws std::runtime_error.
  explicit Scoreboard(const std::filesystem::path& file);
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard();

  /// An idle slot, now `claimed`; null if all are taken: what is done then is in no book.
  [[nodiscard]] Slot* take(std::uint32_t subject, TimePoint claimed) noexcept;
  [[nodiscard]] Counters& counters() noexcept;
  /// Asks the writer's process to stop itself (SIGSTOP) when the next refresh reaches this stage:
  /// nobody else can hit a stage that lasts a millisecond. The driver's.
  void order_halt(Stage stage) noexcept;
  /// True if nobody has obeyed; else the process has stopped, or is about to. The driver's.
  [[nodiscard]] bool withdraw_halt() noexcept;
  /// True if this stage was ordered: the caller has to stop its process. The order is gone. The
  /// writer's.
  [[nodiscard]] bool obey_halt(Stage stage) noexcept;
  /// What is under way.
  [[nodiscard]] std::vector<RefreshNote> read() const;
  /// What has ended; its slots are idle afterwards. To be called so often that slots are left.
  [[nodiscard]] std::vector<RefreshNote> collect();
  /// What was under way; afterwards all slots are idle, and nothing is ordered. For when the writer
  /// is gone.
  [[nodiscard]] std::vector<RefreshNote> clear();

 private:
  struct Layout;
  Layout* layout_ = nullptr;
};

}  // namespace latchkey::test
