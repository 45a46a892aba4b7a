// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
module latchkey.test.marker;
import latchkey.core.secret;

namespace latchkey::test {

std::size_t Marker::next_ = 1;

SecretBytes Marker::secret() const {
  SecretBytes secret(kFilling + kSize);
  const auto bytes = secret.mutable_span();
  std::fill_n(bytes.begin(), kFilling, 'f');
  for (std::size_t i = 0; i < kSize; ++i) bytes[kFilling + i] = at(i);
  return secret;
}

bool Marker::is_in(std::span<const unsigned char> bytes) const {
  const auto first = at(0);
  for (std::size_t start = 0; start + kSize <= bytes.size(); ++start) {
    if (bytes[start] != first) continue;
    std::size_t i = 1;
    while (i < kSize && bytes[start + i] == at(i)) ++i;
    if (i == kSize) return true;
  }
  return false;
}

unsigned char Marker::at(std::size_t i) const {
  const auto mixed = (i + number_ * kSize + 1) * 0x9E3779B97F4A7C15;
  return static_cast<unsigned char>('A' + (mixed >> 40) % 26);
}

namespace {

// The window through which memory is looked at; a mapping of its own, which is not searched itself.
class Window {
 public:
  static constexpr std::size_t kSize = 1 << 20;
  Window()
      : data_(static_cast<unsigned char*>(
            mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() { munmap(data_, kSize); }
  [[nodiscard]] unsigned char* data() const { return data_; }
  [[nodiscard]] std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data_); }

 private:
  unsigned char* data_;
};

bool found_between(const Marker& marker, int memory, const Window& window, std::uintptr_t from,
                   std::uintptr_t to) {
  // Steps overlap, so that a marker across two of them is seen.
  for (auto at = from; at < to; at += Window::kSize - Marker::kSize) {
    const auto size = std::min<std::size_t>(Window::kSize, to - at);
    const ssize_t count = pread(memory, window.data(), size, static_cast<off_t>(at));
    if (count > 0 && marker.is_in({window.data(), static_cast<std::size_t>(count)})) return true;
  }
  return false;
}

}  // namespace

bool Marker::is_in_memory() const {
  constexpr std::uintptr_t largest = std::uintptr_t{1} << 30;  // beyond: the sanitizers' shadow
  const Window window;
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (memory < 0) throw std::runtime_error("cannot read this process's memory");
  std::ifstream maps("/proc/self/maps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0, to = 0;
    std::array<char, 5> rights{};
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %lu", &from, &to, rights.data(), &inode) !=
        4)
      continue;
    const bool writable = rights[0] == 'r' && rights[1] == 'w';
    const bool special =
        line.find("[stack]") != std::string::npos || line.find("[v") != std::string::npos;
    if (!writable || special || inode != 0 || to - from > largest) continue;
    if (window.address() < from || window.address() >= to) {
      found = found || found_between(*this, memory, window, from, to);
      continue;
    }
    // The kernel joins neighbouring mappings: leave out the window alone.
    found = found || found_between(*this, memory, window, from, window.address());
    found = found || found_between(*this, memory, window, window.address() + Window::kSize, to);
  }
  close(memory);
  return found;
}

}  // namespace latchkey::test
