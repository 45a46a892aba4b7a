// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
module latchkey.refresh.flights;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.refresh.classify;
import latchkey.refresh.context;
import latchkey.refresh.entries;
import latchkey.refresh.run;
import latchkey.session;

namespace latchkey {

using namespace std::chrono_literals;
using SharedSession = std::shared_ptr<const OAuthSession>;

Error not_durable_error(const UnsavedSession& unsaved) {
  return make_error(ErrorCode::session_not_durable, "session.not_durable",
                    "the session of " + printable(unsaved.session->subject, 100) +
                        " was renewed but could not be saved (" + unsaved.cause.message +
                        "); it is kept in memory and saved as soon as that works: do not end the "
                        "program");
}

Result<void> Flights::start(const std::shared_ptr<Entry>& entry, std::string_view subject,
                            std::string stale_token,
                            std::chrono::steady_clock::time_point lease_deadline) {
  RefreshOrder order{.subject = std::string(subject),
                     .stale_token = std::move(stale_token),
                     .lease_wait = {.deadline = lease_deadline, .stop = stopping_.get_token()},
                     .failures = entry->failures};
  entry->in_flight = crew_.start(
      [this, entry, order = std::move(order)] { land(*entry, run_refresh(context_, order)); });
  if (entry->in_flight) return {};
  return make_error(ErrorCode::io, "refresh.no_thread",
                    "cannot refresh the session of " + printable(subject, 100) +
                        ": the system gives this program no more threads; try again later");
}

void Flights::keep_saving(const std::shared_ptr<Entry>& entry) {
  static_cast<void>(crew_.start([this, entry] {
    std::unique_lock lock(entry->mutex);
    save_until_done(*entry, lock);
  }));
}

bool Flights::settle(std::chrono::steady_clock::time_point deadline) {
  return crew_.settle(deadline);
}

void Flights::finish() {
  stopping_.request_stop();
  crew_.finish();
}

void Flights::land(Entry& entry, Refreshed result) {
  std::unique_lock lock(entry.mutex);
  record(entry, std::move(result));
  entry.in_flight = false;
  ++entry.flights_done;
  entry.changed.notify_all();
  save_until_done(entry, lock);
}

// Called with the entry locked.
void Flights::record(Entry& entry, Refreshed result) {
  entry.last_session.reset();
  entry.last_error.reset();
  if (auto* session = std::get_if<SharedSession>(&result)) {
    entry.last_session = std::move(*session);
    entry.failures = 0;
  } else if (auto* error = std::get_if<Error>(&result)) {
    entry.last_error = std::move(*error);
    if (is_transient(*entry.last_error)) {
      entry.next_attempt =
          context_.clock->steady_now() + back_off(++entry.failures, entry.last_error->retry_after);
    }
  } else {
    entry.unsaved = std::get<std::unique_ptr<UnsavedSession>>(std::move(result));
    entry.last_error = not_durable_error(*entry.unsaved);
  }
}

// Called with the entry locked, which is let go meanwhile: a store may take long to fail. True when
// the matter is settled.
bool Flights::save_once(Entry& entry, std::unique_lock<std::mutex>& lock) {
  UnsavedSession attempt{.session = entry.unsaved->session,
                         .expected = entry.unsaved->expected,
                         .lease = nullptr,
                         .cause = {}};
  Refreshed result;
  entry.saving = true;
  lock.unlock();
  const bool settled = try_save_again(context_, attempt, result);
  if (settled) entry.unsaved->lease.reset();  // nobody else touches it while `saving`
  lock.lock();
  entry.saving = false;
  if (settled) {
    entry.unsaved.reset();
    record(entry, std::move(result));
  } else {
    entry.unsaved->cause = std::move(attempt.cause);
  }
  entry.changed.notify_all();
  return settled;
}

// The only good token is in memory: keep trying, also when nobody calls again, and hold the lease
// meanwhile. A login or logout may take the matter over between two attempts.
void Flights::save_until_done(Entry& entry, std::unique_lock<std::mutex>& lock) {
  for (auto pause = 20ms; entry.unsaved; pause = std::min(pause * 2, 2'000ms)) {
    const bool last_try = stopping_.stop_requested();
    entry.changed.wait_for(lock, stopping_.get_token(), last_try ? 0ms : pause,
                           [&] { return !entry.unsaved; });
    if (!entry.unsaved) return;
    if (save_once(entry, lock) || last_try) return;
  }
}

}  // namespace latchkey
