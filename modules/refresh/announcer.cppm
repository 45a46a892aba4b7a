// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
export module latchkey.refresh.announcer;
import latchkey.refresh.events;

// Carries events from where they happen, with locks and leases held, to the listener, which must
// not be called there. Internal to refresh; the hub does not export it.

export namespace latchkey {

/// Thread-safe. One thread of its own, started with the first event, calls the listener.
class Announcer {
 public:
  explicit Announcer(SessionListener listener) : listener_(std::move(listener)) {}
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;
  ~Announcer() { finish(); }

  /// Never waits for the listener. Without a listener, or after finish(), the event is dropped.
  void push(SessionEvent event);
  /// Waits until the listener has returned from all events so far; false if the time was over.
  [[nodiscard]] bool settle(std::chrono::steady_clock::time_point deadline);
  /// Delivers what is queued and ends the thread.
  void finish();

 private:
  void deliver();
  SessionListener listener_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<SessionEvent> queue_;  // the first stays until the listener has returned from it
  bool finished_ = false;
  std::thread thread_;
};

}  // namespace latchkey
