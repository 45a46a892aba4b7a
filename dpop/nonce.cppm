// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
export module latchkey.dpop.nonce;

// The last DPoP nonce of each (origin, key) (RFC 9449 §8, §9): learnt from every answer, and kept
// outside the process by whoever gives this cache a loader and a saver.

export namespace latchkey {

/// True for 1 to 512 characters of NQCHAR (RFC 9449 §8.1): printable ASCII without space, quote and
/// backslash.
[[nodiscard]] bool is_dpop_nonce(std::string_view text) noexcept;

/// Where nonces survive the process. Best effort: failures are ignored. Thread-safe.
class NonceStorage {
 public:
  NonceStorage() = default;
  NonceStorage(const NonceStorage&) = delete;
  NonceStorage& operator=(const NonceStorage&) = delete;
  virtual ~NonceStorage();
  [[nodiscard]] virtual std::optional<std::string> load_nonce(std::string_view origin,
                                                              std::string_view jkt) = 0;
  virtual void save_nonce(std::string_view origin, std::string_view jkt,
                          std::string_view nonce) = 0;
};

/// Thread-safe. Holds at most `capacity` nonces and drops the one not used for longest. The storage
/// is asked once for each pair that is not held, and told of each change; never under the cache's
/// lock.
class NonceCache {
 public:
  explicit NonceCache(std::shared_ptr<NonceStorage> storage = nullptr, std::size_t capacity = 1000);
  [[nodiscard]] std::optional<std::string> find(std::string_view origin, std::string_view jkt);
  /// Ignores what is not a nonce (is_dpop_nonce).
  void learn(std::string_view origin, std::string_view jkt, std::string_view nonce);

 private:
  struct Entry {
    std::string key;
    std::string nonce;  ///< empty: the storage was asked and had none
  };
  using Entries = std::list<Entry>;

  [[nodiscard]] Entry& touch(const std::string& key);
  std::mutex mutex_;
  std::shared_ptr<NonceStorage> storage_;
  std::size_t capacity_;
  Entries entries_;  ///< the last used first
  std::unordered_map<std::string_view, Entries::iterator>
      index_;  ///< its keys are views of Entry::key
};

}  // namespace latchkey
