// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.test.support;

// Looks for a marked secret in the memory of this very process: the heap and all anonymous memory.
// The marker stands in the program only as a formula, so that whatever is found was put there by
// the code under test.

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::size_t kMarkerSize = 32;
// malloc writes its own notes over the beginning of freed memory; the marker lies behind this much
// filling.
constexpr std::size_t kFilling = 64;

// A text that stands nowhere in memory but in the secrets made of it; each test has one of its own.
class Marker {
 public:
  Marker() : number_(next_++) {}

  [[nodiscard]] SecretBytes secret() const {
    SecretBytes secret(kFilling + kMarkerSize);
    const auto bytes = secret.mutable_span();
    std::fill_n(bytes.begin(), kFilling, 'f');
    for (std::size_t i = 0; i < kMarkerSize; ++i) bytes[kFilling + i] = at(i);
    return secret;
  }
  [[nodiscard]] bool is_in(std::span<const unsigned char> bytes) const {
    const auto first = at(0);
    for (std::size_t start = 0; start + kMarkerSize <= bytes.size(); ++start) {
      if (bytes[start] != first) continue;
      std::size_t i = 1;
      while (i < kMarkerSize && bytes[start + i] == at(i)) ++i;
      if (i == kMarkerSize) return true;
    }
    return false;
  }
  [[nodiscard]] bool is_in_memory() const;

 private:
  // A letter, so that the marker passes all encodings unchanged.
  [[nodiscard]] unsigned char at(std::size_t i) const {
    const auto mixed = (i + number_ * kMarkerSize + 1) * 0x9E3779B97F4A7C15;
    return static_cast<unsigned char>('A' + (mixed >> 40) % 26);
  }
  static inline std::size_t next_ = 1;
  std::size_t number_;
};

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
  for (auto at = from; at < to; at += Window::kSize - kMarkerSize) {
    const auto size = std::min<std::size_t>(Window::kSize, to - at);
    const ssize_t count = pread(memory, window.data(), size, static_cast<off_t>(at));
    if (count > 0 && marker.is_in({window.data(), static_cast<std::size_t>(count)})) return true;
  }
  return false;
}

// Whether the marker is anywhere in the heap or in other anonymous memory (stacks of other threads
// among it).
bool Marker::is_in_memory() const {
  constexpr std::uintptr_t largest = std::uintptr_t{1} << 30;  // beyond: the sanitizers' shadow
  const Window window;
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  REQUIRE(memory >= 0);
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

}  // namespace

TEST_CASE("secret leak: the search finds a secret that is alive", "[secret]") {
  const Marker marker;
  REQUIRE_FALSE(marker.is_in_memory());
  const auto secret = marker.secret();
  CHECK(marker.is_in_memory());
}

TEST_CASE("secret leak: the search finds what a std::string leaves behind", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    const SecretString text{secret.clone()};
    const auto leaker = std::make_unique<std::string>(text.expose());
    CHECK(leaker->size() == secret.size());
  }
  CHECK(marker.is_in_memory());  // freed, and still there
}

TEST_CASE("secret leak: nothing is left after a secret is destroyed", "[secret]") {
  const Marker marker;
  { const auto secret = marker.secret(); }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after moves, clones, assignment and truncation",
          "[secret]") {
  const Marker marker;
  {
    SecretString first{marker.secret()};
    SecretString second = std::move(first);
    SecretString third = second.clone();
    third = SecretString("short");
    second = std::move(third);
    CHECK(second.expose() == "short");
    auto cut = marker.secret();
    cut.truncate(1);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left of a builder that grew", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    SecretBuilder builder(1);
    for (const unsigned char byte : secret.expose()) builder.append(static_cast<char>(byte));
    for (int i = 0; i < 1000; ++i) builder.append("more");
    const auto text = std::move(builder).finish();
    CHECK(text.size() == secret.size() + 4000);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left of a form", "[secret]") {
  const Marker marker;
  {
    const SecretString secret{marker.secret()};
    SecretForm form;
    form.add("grant_type", "refresh_token").add("refresh_token", secret.expose());
    const auto body = std::move(form).finish();
    CHECK(body.size() > secret.size());
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after decoding base64url", "[secret]") {
  const Marker marker;
  {
    const auto secret = marker.secret();
    const auto text = base64url_encode_secret(secret.expose());
    const auto back = base64url_decode_secret(text.expose());
    REQUIRE(back.has_value());
    CHECK(*back == secret);
  }
  CHECK_FALSE(marker.is_in_memory());
}

TEST_CASE("secret leak: nothing is left after a file was written and read", "[secret]") {
  const Marker marker;
  const TemporaryFolder folder;
  const auto files = posix_file_system();
  {
    const auto secret = marker.secret();
    REQUIRE(outcome(replace_file(files, folder.path() / "key", secret.expose())) == "ok");
    const auto back = files->read(folder.path() / "key", 4096);
    REQUIRE(outcome(back) == "ok");
    CHECK(**back == secret);
  }
  CHECK_FALSE(marker.is_in_memory());
}
