// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <mutex>
#include <span>
export module latchkey.test.random;
import latchkey.core.crypto;

export namespace latchkey::test {

/// The same bytes in every run with the same seed. Thread-safe.
class FixedRandom final : public Random {
 public:
  explicit FixedRandom(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<unsigned char> bytes) override;

 private:
  std::mutex mutex_;
  std::uint64_t state_;
};

}  // namespace latchkey::test
