// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <vector>
module latchkey.test.torture_scoreboard;
import latchkey.core.time;
import latchkey.test.torture_notes;

namespace latchkey::test {

// Zeros are an empty board: a new file need not be written.
struct Scoreboard::Layout {
  Counters counters;
  std::atomic<Stage> halt;  // idle: none is ordered
  std::array<Slot, kSlots> slots;
};
static_assert(static_cast<std::uint32_t>(Stage::idle) == 0);
static_assert(std::atomic<Stage>::is_always_lock_free && std::atomic<Mark>::is_always_lock_free);

namespace {

std::optional<TimePoint> time_in(const std::atomic<std::int64_t>& field) {
  const std::int64_t count = field.load();
  if (count == 0) return std::nullopt;
  return TimePoint{Duration{count}};
}

RefreshNote note_of(const Slot& slot, Stage stage) {
  return {.subject = slot.subject.load(),
          .request = stage == Stage::claimed ? 0 : slot.request.load(),
          .stage = stage,
          .claimed = time_in(slot.claimed),
          .checked = time_in(slot.checked),
          .saved = time_in(slot.saved)};
}

}  // namespace

void set(std::atomic<std::int64_t>& field, TimePoint time) noexcept {
  field = time.time_since_epoch().count();
}

Scoreboard::Scoreboard(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) throw std::runtime_error("cannot open the scoreboard " + file.string());
  void* mapped = MAP_FAILED;
  if (ftruncate(descriptor, sizeof(Layout)) == 0)
    mapped = mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (mapped == MAP_FAILED) throw std::runtime_error("cannot map " + file.string());
  layout_ = static_cast<Layout*>(mapped);
}

Scoreboard::~Scoreboard() {
  munmap(layout_, sizeof(Layout));
}

Slot* Scoreboard::take(std::uint32_t subject, TimePoint claimed) noexcept {
  for (Slot& slot : layout_->slots) {
    Stage idle = Stage::idle;
    if (!slot.stage.compare_exchange_strong(idle, Stage::claimed)) continue;
    slot.subject = subject;
    slot.request = 0;
    slot.checked = 0;
    slot.saved = 0;
    set(slot.claimed, claimed);
    return &slot;
  }
  return nullptr;
}

Counters& Scoreboard::counters() noexcept {
  return layout_->counters;
}

void Scoreboard::order_halt(Stage stage) noexcept {
  layout_->halt = stage;
}

bool Scoreboard::withdraw_halt() noexcept {
  return layout_->halt.exchange(Stage::idle) != Stage::idle;
}

bool Scoreboard::obey_halt(Stage stage) noexcept {
  return layout_->halt.compare_exchange_strong(stage, Stage::idle);
}

std::vector<RefreshNote> Scoreboard::read() const {
  std::vector<RefreshNote> notes;
  for (const Slot& slot : layout_->slots) {
    if (const Stage stage = slot.stage.load(); is_under_way(stage))
      notes.push_back(note_of(slot, stage));
  }
  return notes;
}

std::vector<RefreshNote> Scoreboard::collect() {
  std::vector<RefreshNote> notes;
  for (Slot& slot : layout_->slots) {
    const Stage stage = slot.stage.load();
    if (stage == Stage::idle || is_under_way(stage)) continue;
    notes.push_back(note_of(slot, stage));
    slot.stage = Stage::idle;
  }
  return notes;
}

std::vector<RefreshNote> Scoreboard::clear() {
  std::vector<RefreshNote> cut = read();
  for (Slot& slot : layout_->slots) slot.stage = Stage::idle;
  layout_->halt = Stage::idle;
  return cut;
}

}  // namespace latchkey::test
