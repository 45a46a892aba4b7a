// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.loopback.desk;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.loopback.callback;

namespace latchkey {
namespace {

using std::chrono::steady_clock;

bool has_state(std::string_view query, std::string_view expected) {
  const auto fields = form_decode(query);
  if (!fields || expected.empty()) return false;
  const auto state = form_value(*fields, "state");
  return state && *state != nullptr && constant_time_equal(**state, expected);
}

}  // namespace

Desk::Verdict Desk::judge(std::string_view query, const Hold& hold) {
  const std::scoped_lock lock(mutex_);
  if (taken_) return Verdict::spent;
  if (!expected_) return Verdict::undecided;
  if (!has_state(query, *expected_)) {
    ++strays_;
    changed_.notify_all();
    return Verdict::stray;
  }
  held_ = hold();
  taken_ = true;
  expected_.reset();
  changed_.notify_all();
  return Verdict::taken;
}

void Desk::expect(std::string_view state) {
  forget();
  const std::scoped_lock lock(mutex_);
  expected_ = std::string(state);
  taken_ = false;
  strays_ = 0;
}

Result<std::unique_ptr<HeldCallback>> Desk::collect(steady_clock::time_point deadline,
                                                    const std::stop_token& stop,
                                                    const std::function<void()>& on_stray) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait_until(lock, stop, deadline, [&] { return held_ != nullptr || strays_ > 0; });
    if (strays_ > 0) {
      --strays_;
      lock.unlock();
      if (on_stray) on_stray();
      lock.lock();
    } else if (held_ != nullptr) {
      return std::move(held_);
    }
    // After the right callback no more strays are counted, so it cannot be kept waiting by them.
    if (held_ != nullptr) continue;
    if (stop.stop_requested()) {
      return make_error(ErrorCode::cancelled, "loopback.cancelled",
                        "stopped waiting for the browser: the caller asked for it");
    }
    if (steady_clock::now() >= deadline) {
      return make_error(ErrorCode::timeout, "loopback.timeout",
                        "no login arrived from the browser: it was not finished in time; begin "
                        "the login again");
    }
  }
}

void Desk::forget() {
  // Going unanswered, it is answered by the serving thread, which may wait for the lock: so it goes
  // after the lock.
  std::unique_ptr<HeldCallback> unwanted;
  const std::scoped_lock lock(mutex_);
  expected_.reset();
  unwanted = std::move(held_);
}

}  // namespace latchkey
