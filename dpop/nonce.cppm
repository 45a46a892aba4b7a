// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
export module latchkey.dpop.nonce;
import latchkey.core.error;
import latchkey.core.time;

// The last DPoP nonce of each (origin, key) (RFC 9449 §8, §9): learnt from every answer, and kept outside the process by
// whoever gives this cache a loader and a saver.

export namespace latchkey {

/// Where nonces survive the process. Best effort: failures are ignored. Thread-safe.
class NonceStorage {
 public:
  NonceStorage() = default;
  NonceStorage(const NonceStorage&) = delete;
  NonceStorage& operator=(const NonceStorage&) = delete;
  virtual ~NonceStorage();
  [[nodiscard]] virtual std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) = 0;
  virtual void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) = 0;
};

/// Thread-safe. Holds at most `capacity` nonces and drops the one not used for longest.
class NonceCache {
 public:
  explicit NonceCache(std::shared_ptr<NonceStorage> storage = nullptr, std::size_t capacity = 1000);
  [[nodiscard]] std::optional<std::string> find(std::string_view origin, std::string_view jkt);
  /// Ignores what cannot be a nonce (empty, over 512 characters, not of NQCHAR, RFC 9449 §8.1).
  void learn(std::string_view origin, std::string_view jkt, std::string_view nonce);

 private:
  struct Entry {
    std::string nonce;
    std::uint64_t used = 0;
  };
  std::mutex mutex_;
  std::shared_ptr<NonceStorage> storage_;
  std::size_t capacity_;
  std::uint64_t tick_ = 0;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace latchkey
