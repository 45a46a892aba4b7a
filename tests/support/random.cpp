// SPDX-License-Identifier: MIT
module;
#include <mutex>
#include <span>
module latchkey.test.random;

namespace latchkey::test {

void FixedRandom::fill(std::span<unsigned char> bytes) {
  const std::scoped_lock lock(mutex_);
  for (unsigned char& byte : bytes) {
    // SplitMix64: a counter and a mixing function.
    state_ += 0x9E3779B97F4A7C15;
    auto mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    byte = static_cast<unsigned char>(mixed >> 56);
  }
}

}  // namespace latchkey::test
