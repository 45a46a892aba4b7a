// SPDX-License-Identifier: MIT
module;
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
export module latchkey.dpop.replay;
import latchkey.core.time;

// Which proofs a server has seen (RFC 9449 §11.1), in bounded memory.

export namespace latchkey {

/// Thread-safe. A proof is remembered until it would be refused for its age anyway. Nothing is
/// dropped before that: a full cache refuses new proofs, because forgetting one would let it be
/// used again. So that one key can't fill it for all, each has a quota.
class ReplayCache {
 public:
  /// Proofs remembered at most, of all keys and of each (at least one).
  explicit ReplayCache(std::size_t capacity, std::size_t per_key = static_cast<std::size_t>(-1))
      : capacity_(capacity), per_key_(per_key) {}

  enum class Outcome {
    first_use,
    replayed,
    quota,  ///< too many of this key
    full,
  };
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

  /// The start of a digest of the thumbprint: two keys that share one share a quota.
  using Owner = std::uint64_t;
  struct Remembered {
    TimePoint until;
    Key key{};
    Owner owner = 0;
    [[nodiscard]] auto operator<=>(const Remembered&) const = default;
  };
  void forget_until(TimePoint now);

  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::size_t per_key_;
  std::unordered_set<Key, HashKey> seen_;
  std::set<Remembered> by_end_;
  std::unordered_map<Owner, std::size_t> counts_;
};

}  // namespace latchkey
