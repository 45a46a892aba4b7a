// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>
export module latchkey.store.postgres.watchdog;

// libpq waits for ever for a server that does not answer. Here one thread ends such a wait from
// outside, by shutting the socket down.

export namespace latchkey {

/// Thread-safe. Time is real time here, whatever clock the program has: it is sockets that are
/// waited for.
class PostgresWatchdog {
 public:
  PostgresWatchdog();
  PostgresWatchdog(const PostgresWatchdog&) = delete;
  PostgresWatchdog& operator=(const PostgresWatchdog&) = delete;
  /// No Watch may be left.
  ~PostgresWatchdog();

  /// Shuts the socket down, once, when it has lived for `time`. The descriptor must stay open as
  /// long as it does.
  class Watch {
   public:
    Watch(PostgresWatchdog& dog, int socket, std::chrono::milliseconds time);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

   private:
    friend class PostgresWatchdog;
    PostgresWatchdog& dog_;
    const int socket_;
    std::chrono::steady_clock::time_point deadline_;  // its latest possible value: it is over
  };

 private:
  void keep_watch(const std::stop_token& stop);
  [[nodiscard]] Watch* first() const;

  std::mutex mutex_;
  std::condition_variable_any sooner_;
  std::vector<Watch*> watches_;
  std::chrono::steady_clock::time_point wakes_at_;
  std::jthread thread_;
};

}  // namespace latchkey
