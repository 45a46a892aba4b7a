// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
module latchkey.refresh.announcer;
import latchkey.refresh.events;

namespace latchkey {

void Announcer::push(SessionEvent event) {
  if (!listener_) return;
  const std::scoped_lock lock(mutex_);
  if (finished_) return;
  queue_.push_back(std::move(event));
  changed_.notify_all();
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([this] { deliver(); });
  } catch (const std::system_error&) {
    // No thread can be had now. The event waits for the next one, and for finish() at the latest.
  }
}

void Announcer::deliver() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return finished_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const SessionEvent& event = queue_.front();  // a deque's elements stay where they are
    lock.unlock();
    try {
      listener_(event);
    } catch (...) {
      // A program that fails to hear of a refresh must not fail the refresh.
    }
    lock.lock();
    queue_.pop_front();
    changed_.notify_all();
  }
}

bool Announcer::settle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return queue_.empty(); });
}

void Announcer::finish() {
  {
    const std::scoped_lock lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) {
    thread_.join();
  } else {
    deliver();
  }
}

}  // namespace latchkey
