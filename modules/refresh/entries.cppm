// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
export module latchkey.refresh.entries;
import latchkey.core.error;
import latchkey.refresh.classify;
import latchkey.refresh.run;
import latchkey.session;
import latchkey.store;

// What a keeper knows of each subject. Internal to refresh; the hub does not export it.

export namespace latchkey {

/// All members are guarded by `mutex`.
struct Entry {
  std::mutex mutex;
  std::condition_variable_any changed;  ///< a flight or a load has ended, or `unsaved` went

  std::shared_ptr<const OAuthSession> cached;
  std::uint64_t cached_count = 0;  ///< the store's change count when it was loaded
  RefreshWindow window;
  bool loading = false;  ///< somebody asks the store, without the lock
  std::uint64_t loads_done = 0;
  std::optional<Error> load_error;  ///< of the last load, if it failed

  bool in_flight = false;
  std::uint64_t flights_done = 0;
  std::shared_ptr<const OAuthSession> last_session;  ///< what the last flight brought,
  std::optional<Error> last_error;                   ///< or why it brought nothing

  unsigned failures = 0;  ///< in a row
  std::chrono::steady_clock::time_point next_attempt{};

  std::chrono::steady_clock::time_point next_relocation{};  ///< see SessionKeeper::relocate

  std::unique_ptr<UnsavedSession> unsaved;
  bool saving = false;  ///< somebody tries to save it, without the lock: it stays where it is

  enum class Look { cached, anew };
  struct LookOrder {
    OAuthTokenStore& store;
    std::string_view subject;
    Look how;
    std::uint64_t jitter_seed;
    std::chrono::steady_clock::time_point deadline;
    const std::stop_token& stop;
  };
  /// What is stored now, null if there is no record: from the cache while its change count stands,
  /// and with `anew` from the store in any case. One caller asks the store, and others wait for
  /// what it gets, also when that is an error. Call with `lock` held on `mutex`; it is let go while
  /// the store is asked. Errors: those of the store; for who waits also timeout, "session.timeout",
  /// and cancelled, "refresh.cancelled".
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> look(std::unique_lock<std::mutex>& lock,
                                                                 const LookOrder& order);

 private:
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> load(std::unique_lock<std::mutex>& lock,
                                                                 const LookOrder& order,
                                                                 std::uint64_t count);
  [[nodiscard]] Result<void> wait_for_load(std::unique_lock<std::mutex>& lock,
                                           const LookOrder& order);
};

/// Thread-safe. Subjects are spread over shards, so that callers for different subjects seldom
/// meet.
class Entries {
 public:
  /// The entry of a subject, made if there is none.
  [[nodiscard]] std::shared_ptr<Entry> get(std::string_view subject);
  /// Null if there is none.
  [[nodiscard]] std::shared_ptr<Entry> find(std::string_view subject) const;

 private:
  static constexpr std::size_t kShards = 64;
  static constexpr std::size_t kShardCapacity = 4096;

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<Entry>, Hash, std::equal_to<>> entries;
  };
  static void drop_idle(Shard& shard);

  std::array<Shard, kShards> shards_;
};

}  // namespace latchkey
