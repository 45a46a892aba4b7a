// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
module latchkey.strategy.single_flight;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.classify;
import latchkey.refresh.crew;
import latchkey.strategy;

namespace latchkey {

using Steady = std::chrono::steady_clock;

void SingleFlight::finish() {
  stopping_.request_stop();
  crew_.finish();
}

bool SingleFlight::under_way() const {
  const std::scoped_lock lock(mutex_);
  return current_ != nullptr;
}

Result<void> SingleFlight::begin() {
  const std::scoped_lock lock(mutex_);
  return begin_locked();
}

Result<void> SingleFlight::join(const TokenOptions& options) {
  const auto deadline = Steady::now() + options.timeout;
  const auto cancelled = [&] {
    return make_error(ErrorCode::cancelled, "strategy.cancelled",
                      "stopped waiting to " + purpose_ + "; what was begun goes on");
  };
  if (options.stop.stop_requested()) return cancelled();
  std::unique_lock lock(mutex_);
  if (auto begun = begin_locked(); !begun) return begun;
  const std::shared_ptr<Flight> flight = current_;
  if (!changed_.wait_until(lock, options.stop, deadline, [&] { return flight->landed; })) {
    if (options.stop.stop_requested()) return cancelled();
    return make_error(
        ErrorCode::timeout, "strategy.timeout",
        "could not " + purpose_ + " in time; it goes on in the background: try again");
  }
  if (flight->error) return *flight->error;
  return {};
}

Result<void> SingleFlight::begin_locked() {
  if (current_) return {};
  const auto now = clock_->steady_now();
  if (failures_ != 0 && now < next_attempt_) return backing_off(now);
  auto flight = std::make_shared<Flight>();
  if (!crew_.start([this, flight] { fly(*flight); })) {
    return make_error(
        ErrorCode::io, "strategy.no_thread",
        "cannot " + purpose_ + ": the system gives this program no more threads; try again later");
  }
  current_ = std::move(flight);
  return {};
}

// The functions of a program may throw: that must not leave callers waiting for ever. What they
// throw is not shown, for it may be a secret.
Result<void> SingleFlight::run() noexcept try { return work_(stopping_.get_token()); } catch (...) {
  return make_error(ErrorCode::invalid_argument, "strategy.function_threw",
                    "cannot " + purpose_ +
                        ": a function that was given for it threw an exception; have it give an "
                        "error instead");
}

void SingleFlight::fly(Flight& flight) {
  auto outcome = run();
  const std::scoped_lock lock(mutex_);
  if (outcome) {
    failures_ = 0;
    last_error_.reset();
  } else {
    flight.error = last_error_ = std::move(outcome).error();
    if (is_transient(*last_error_)) {
      next_attempt_ = clock_->steady_now() + back_off(++failures_, last_error_->retry_after);
    }
  }
  flight.landed = true;
  current_.reset();
  changed_.notify_all();
}

Error SingleFlight::backing_off(Steady::time_point now) const {
  const auto wait = std::chrono::ceil<std::chrono::seconds>(next_attempt_ - now);
  Error error =
      make_error(ErrorCode::backing_off, "strategy.backing_off",
                 "cannot " + purpose_ + " now: the last attempt failed (" + last_error_->message +
                     "); try again in " + std::to_string(wait.count()) + " s");
  error.retry_after = wait;
  return error;
}

}  // namespace latchkey
