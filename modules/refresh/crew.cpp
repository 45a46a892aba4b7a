// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
module latchkey.refresh.crew;
import latchkey.core.os.process;

namespace latchkey {

// Called with the lock held. A worker that is done has let the lock go for good.
void Crew::join_done() {
  workers_.remove_if([](Worker& worker) {
    if (worker.done) worker.thread.join();
    return worker.done;
  });
}

bool Crew::start(std::function<void()> work) {
  const std::scoped_lock lock(mutex_);
  join_done();
  Worker& worker = workers_.emplace_back();
  try {
    worker.thread = start_thread_without_signals([this, &worker, work = std::move(work)]() mutable {
      work();
      work = nullptr;  // what it holds goes before it counts as done
      const std::scoped_lock end(mutex_);
      worker.done = true;
      changed_.notify_all();
    });
  } catch (const std::system_error&) {
    workers_.pop_back();
    return false;
  }
  return true;
}

bool Crew::settle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] {
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const Worker& worker) { return worker.done; });
  });
}

void Crew::finish() {
  std::unique_lock lock(mutex_);
  for (; !workers_.empty(); join_done()) {
    changed_.wait(lock, [&] {
      return std::any_of(workers_.begin(), workers_.end(),
                         [](const Worker& worker) { return worker.done; });
    });
  }
}

}  // namespace latchkey
