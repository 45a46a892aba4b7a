// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <span>
export module latchkey.test.marker;
import latchkey.core.secret;

// Looks for a marked secret in the memory of this very process: the heap and all anonymous memory.
// The marker stands in the program only as a formula, so that whatever is found was put there by
// the code under test.

export namespace latchkey::test {

/// A text that stands nowhere in memory but in the secrets made of it; each has one of its own.
class Marker {
 public:
  static constexpr std::size_t kSize = 32;
  /// malloc writes its own notes over the beginning of freed memory; the marker lies behind this
  /// much filling.
  static constexpr std::size_t kFilling = 64;

  Marker() : number_(next_++) {}

  [[nodiscard]] SecretBytes secret() const;
  [[nodiscard]] bool is_in(std::span<const unsigned char> bytes) const;
  /// Whether it is anywhere in the heap or in other anonymous memory (stacks of other threads among
  /// it). Throws std::runtime_error if memory can't be read.
  [[nodiscard]] bool is_in_memory() const;

 private:
  // A letter, so that the marker passes all encodings unchanged.
  [[nodiscard]] unsigned char at(std::size_t i) const;
  static std::size_t next_;
  std::size_t number_;
};

}  // namespace latchkey::test
