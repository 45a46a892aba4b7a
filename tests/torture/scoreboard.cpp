// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <vector>
module latchkey.test.torture_scoreboard;
import latchkey.test.torture_books;

namespace latchkey::test {

// Zeros are an empty board: a new file need not be written.
struct Scoreboard::Layout {
  Counters counters;
  std::array<Slot, kSlots> slots;
};
static_assert(static_cast<std::uint32_t>(Stage::idle) == 0);
static_assert(std::atomic<Stage>::is_always_lock_free && std::atomic<Mark>::is_always_lock_free);

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

Slot* Scoreboard::take(std::uint32_t subject) noexcept {
  for (Slot& slot : layout_->slots) {
    Stage idle = Stage::idle;
    if (!slot.stage.compare_exchange_strong(idle, Stage::claimed)) continue;
    slot.subject = subject;
    slot.request = 0;
    return &slot;
  }
  return nullptr;
}

Counters& Scoreboard::counters() noexcept {
  return layout_->counters;
}

std::vector<CutRefresh> Scoreboard::clear() {
  std::vector<CutRefresh> cut;
  for (Slot& slot : layout_->slots) {
    const Stage stage = slot.stage.load();
    if (stage == Stage::idle) continue;
    cut.push_back({.subject = slot.subject.load(),
                   .request = stage == Stage::claimed ? 0 : slot.request.load(),
                   .stage = stage});
    slot.stage = Stage::idle;
  }
  return cut;
}

}  // namespace latchkey::test
