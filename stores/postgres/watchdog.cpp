// SPDX-License-Identifier: MIT
module;
#include <sys/socket.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>
module latchkey.store.postgres.watchdog;

namespace latchkey {
namespace {

using std::chrono::steady_clock;

constexpr auto kNever = steady_clock::time_point::max();

}  // namespace

PostgresWatchdog::PostgresWatchdog()
    : wakes_at_(kNever), thread_([this](const std::stop_token& stop) { keep_watch(stop); }) {}
PostgresWatchdog::~PostgresWatchdog() = default;

PostgresWatchdog::Watch* PostgresWatchdog::first() const {
  const auto found = std::ranges::min_element(watches_, {}, &Watch::deadline_);
  return found == watches_.end() ? nullptr : *found;
}

// It sleeps until the earliest deadline that it has seen, even when that watch has ended since: so
// a call that is answered in time does not wake it.
void PostgresWatchdog::keep_watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    Watch* const watch = first();
    const auto next = watch != nullptr ? watch->deadline_ : kNever;
    wakes_at_ = next;
    const auto is_sooner = [&] { return wakes_at_ < next; };
    if (next == kNever) {
      sooner_.wait(lock, stop, is_sooner);
    } else if (steady_clock::now() < next) {
      sooner_.wait_until(lock, stop, next, is_sooner);
    } else {
      ::shutdown(watch->socket_, SHUT_RDWR);
      watch->deadline_ = kNever;
    }
  }
}

PostgresWatchdog::Watch::Watch(PostgresWatchdog& dog, int socket, std::chrono::milliseconds time)
    : dog_(dog), socket_(socket), deadline_(steady_clock::now() + time) {
  const std::lock_guard lock(dog_.mutex_);
  dog_.watches_.push_back(this);
  if (deadline_ >= dog_.wakes_at_) return;
  dog_.wakes_at_ = deadline_;
  dog_.sooner_.notify_one();
}

PostgresWatchdog::Watch::~Watch() {
  const std::lock_guard lock(dog_.mutex_);
  std::erase(dog_.watches_, this);
}

}  // namespace latchkey
