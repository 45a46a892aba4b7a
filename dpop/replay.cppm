// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_set>
#include <utility>
export module latchkey.dpop.replay;
import latchkey.core.time;

// Which proofs a server has seen (RFC 9449 §11.1), in bounded memory.

export namespace latchkey {

/// Thread-safe. A proof is remembered until it would be refused for its age anyway. Nothing is
/// dropped before that: a full cache refuses new proofs, because forgetting one would let it be
/// used again.
class ReplayCache {
 public:
  explicit ReplayCache(std::size_t capacity) : capacity_(capacity) {}

  enum class Outcome { first_use, replayed, full };
  /// Remembers the pair until `until`.
  [[nodiscard]] Outcome remember(std::string_view jkt, std::string_view jti, TimePoint until,
                                 TimePoint now);
  [[nodiscard]] std::size_t size() const;

 private:
  /// Half of a SHA-256: enough, for whoever finds two equal ones has only had an own proof refused.
  using Key = std::array<unsigned char, 16>;
  struct HashKey {
    [[nodiscard]] std::size_t operator()(const Key& key) const noexcept;
  };

  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::unordered_set<Key, HashKey> seen_;
  std::set<std::pair<TimePoint, Key>> by_end_;
};

}  // namespace latchkey
