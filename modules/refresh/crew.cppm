// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
export module latchkey.refresh.crew;

// The keeper's threads: work that must reach its end whatever becomes of who asked for it. Internal
// to refresh; the hub does not export it.

export namespace latchkey {

/// Thread-safe. The destructor waits for all work.
class Crew {
 public:
  Crew() = default;
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() { finish(); }

  /// False if the system gives no thread: then nothing happens.
  [[nodiscard]] bool start(std::function<void()> work);
  /// Waits until no work is left; false if the time was over first.
  [[nodiscard]] bool settle(std::chrono::steady_clock::time_point deadline);
  /// Waits for all work, also for what is started meanwhile.
  void finish();

 private:
  struct Worker {
    std::thread thread;
    bool done = false;
  };
  void join_done();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Worker> workers_;
};

}  // namespace latchkey
