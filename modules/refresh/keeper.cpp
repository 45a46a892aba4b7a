// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
module latchkey.refresh.keeper;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.refresh.classify;
import latchkey.refresh.context;
import latchkey.refresh.run;
import latchkey.refresh.turnover;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using SharedSession = std::shared_ptr<const OAuthSession>;

// Everything the keeper knows of one subject. All members are guarded by `mutex`.
struct Entry {
  std::mutex mutex;
  std::condition_variable_any changed;

  SharedSession cached;
  std::uint64_t cached_count = 0;  // the store's change count when it was loaded
  RefreshWindow window;

  bool in_flight = false;
  std::uint64_t flights_done = 0;
  SharedSession last_session;       // what the last flight brought,
  std::optional<Error> last_error;  // or why it brought nothing

  unsigned failures = 0;
  Steady::time_point next_attempt{};

  std::unique_ptr<UnsavedSession> unsaved;
};
using SharedEntry = std::shared_ptr<Entry>;

// Failures after which trying again at once is no use and later may be.
bool is_transient(const Error& error) {
  switch (error.code) {
    case ErrorCode::locked:
    case ErrorCode::cancelled:
    case ErrorCode::login_required:
    case ErrorCode::session_dead:
    case ErrorCode::refresh_interrupted:
    case ErrorCode::client_mismatch:
      return false;
    default:
      return true;
  }
}

// The starter of a flight may have had less time than those who wait for it too.
bool ended_for_its_starter(const Error& error) {
  return error.code == ErrorCode::cancelled || error.detail == "lease.timeout";
}

// After these the token in hand is no good either, whatever its expiry says.
bool ends_the_token(const Error& error) {
  switch (error.code) {
    case ErrorCode::login_required:
    case ErrorCode::session_dead:
    case ErrorCode::refresh_interrupted:
    case ErrorCode::session_not_durable:
      return true;
    default:
      return false;
  }
}

Error not_durable_error(const UnsavedSession& unsaved) {
  Error error = make_error(
      ErrorCode::session_not_durable, "session.not_durable",
      "the session of " + printable(unsaved.session->subject, 100) +
          " was renewed but could not be saved (" + unsaved.cause.message +
          "); it is kept in memory and saved as soon as that works: do not end the program");
  return error;
}

Error backing_off_error(const Entry& entry, Steady::time_point now) {
  const auto wait = std::chrono::ceil<std::chrono::seconds>(
      std::max(entry.next_attempt - now, Steady::duration{}));
  Error error =
      make_error(ErrorCode::backing_off, "refresh.backing_off",
                 "cannot refresh now: the last attempt failed (" +
                     (entry.last_error ? entry.last_error->message : std::string("unknown")) +
                     "); try again in " + std::to_string(wait.count()) + " s");
  error.retry_after = wait;
  return error;
}

// Subjects are spread over shards, so that callers for different subjects seldom meet.
class Entries {
 public:
  SharedEntry get(std::string_view subject) {
    Shard& shard = shards_[std::hash<std::string_view>{}(subject) % kShards];
    const std::scoped_lock lock(shard.mutex);
    if (const auto found = shard.entries.find(subject); found != shard.entries.end())
      return found->second;
    if (shard.entries.size() >= kShardCapacity) drop_idle(shard);
    return shard.entries.emplace(std::string(subject), std::make_shared<Entry>()).first->second;
  }

  SharedEntry find(std::string_view subject) const {
    const Shard& shard = shards_[std::hash<std::string_view>{}(subject) % kShards];
    const std::scoped_lock lock(shard.mutex);
    const auto found = shard.entries.find(subject);
    return found == shard.entries.end() ? nullptr : found->second;
  }

 private:
  static constexpr std::size_t kShards = 64;
  static constexpr std::size_t kShardCapacity = 4096;

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, SharedEntry, Hash, std::equal_to<>> entries;
  };

  // One that nobody uses: without a flight, an unsaved session or a failure to remember.
  static void drop_idle(Shard& shard) {
    for (auto it = shard.entries.begin(); it != shard.entries.end(); ++it) {
      if (it->second.use_count() != 1) continue;  // the shard's lock keeps it so
      {
        const std::scoped_lock lock(it->second->mutex);
        if (it->second->in_flight || it->second->unsaved || it->second->failures != 0) continue;
      }
      shard.entries.erase(it);
      return;
    }
  }

  std::array<Shard, kShards> shards_;
};

// Threads that end by themselves, joined when the next one starts or at the end.
class Crew {
 public:
  void start(std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    workers_.remove_if([](Worker& worker) { return worker.done->load(); });
    auto done = std::make_shared<std::atomic<bool>>(false);
    workers_.emplace_back(Worker{done, std::jthread([work = std::move(work), done] {
                                   work();
                                   done->store(true);
                                 })});
  }
  ~Crew() = default;  // jthread joins

 private:
  struct Worker {
    std::shared_ptr<std::atomic<bool>> done;
    std::jthread thread;
  };
  std::mutex mutex_;
  std::list<Worker> workers_;
};

}  // namespace

struct SessionKeeper::Impl {
  explicit Impl(SessionContext c) : context(std::move(c)), jitter(draw_id(*context.random)) {}

  SessionContext context;
  std::uint64_t jitter;
  Entries entries;
  std::stop_source stopping;
  std::mutex busy_mutex;
  std::condition_variable idle;
  unsigned busy = 0;  // flights and savers at work
  Crew crew;          // last: joined before the rest goes

  void cache(Entry& entry, SharedSession session, std::uint64_t count) {
    entry.window = refresh_window(*session, jitter ^ session->revision.value);
    entry.cached = std::move(session);
    entry.cached_count = count;
  }

  // What is stored now, from the cache while its change count stands. Null if there is no record.
  Result<SharedSession> look(Entry& entry, std::string_view subject, bool again) {
    const std::uint64_t count = context.store->change_count(subject);
    if (!again && entry.cached && entry.cached_count == count) return entry.cached;
    entry.cached.reset();
    auto stored = context.store->load(subject);
    if (!stored) return std::move(stored).error();
    if (!stored->has_value()) return SharedSession{};
    // The count was read before the record: a save in between only makes the next look load again.
    cache(entry, std::make_shared<const OAuthSession>(std::move(**stored)), count);
    return entry.cached;
  }

  void begin_work() {
    const std::scoped_lock lock(busy_mutex);
    ++busy;
  }
  void end_work() {
    const std::scoped_lock lock(busy_mutex);
    --busy;
    idle.notify_all();
  }

  // Called with the entry locked. The flight runs on a thread of ours: a caller that goes away only
  // stops waiting.
  void start_flight(const SharedEntry& entry, std::string_view subject, std::string stale_token,
                    Steady::time_point lease_deadline) {
    entry->in_flight = true;
    begin_work();
    RefreshOrder order{.subject = std::string(subject),
                       .stale_token = std::move(stale_token),
                       .lease_wait = {.deadline = lease_deadline, .stop = stopping.get_token()}};
    crew.start([this, entry, order = std::move(order)] {
      land(*entry, run_refresh(context, order));
      end_work();
    });
  }

  void land(Entry& entry, Refreshed result) {
    std::unique_lock lock(entry.mutex);
    record(entry, std::move(result));
    entry.in_flight = false;
    ++entry.flights_done;
    entry.changed.notify_all();
    save_until_done(entry, lock);
  }

  // Called with the entry locked.
  void record(Entry& entry, Refreshed result) {
    entry.last_session.reset();
    entry.last_error.reset();
    if (auto* session = std::get_if<SharedSession>(&result)) {
      entry.last_session = std::move(*session);
      entry.failures = 0;
    } else if (auto* error = std::get_if<Error>(&result)) {
      entry.last_error = std::move(*error);
      if (is_transient(*entry.last_error)) {
        entry.next_attempt =
            context.clock->steady_now() + back_off(++entry.failures, entry.last_error->retry_after);
      }
    } else {
      entry.unsaved = std::get<std::unique_ptr<UnsavedSession>>(std::move(result));
      entry.last_error = not_durable_error(*entry.unsaved);
    }
  }

  // The only good token is in memory: keep trying, also when nobody calls again, and hold the lease
  // meanwhile. A login or logout may take the matter over between two attempts.
  void save_until_done(Entry& entry, std::unique_lock<std::mutex>& lock) {
    for (auto pause = 20ms; entry.unsaved; pause = std::min(pause * 2, 2'000ms)) {
      const bool last_try = stopping.stop_requested();
      entry.changed.wait_for(lock, stopping.get_token(), last_try ? 0ms : pause,
                             [&] { return !entry.unsaved; });
      if (!entry.unsaved) return;
      Refreshed result;
      if (try_save_again(context, *entry.unsaved, result)) {
        entry.unsaved.reset();
        record(entry, std::move(result));
        entry.changed.notify_all();
        return;
      }
      if (last_try) return;
    }
  }

  Result<SharedSession> fresh(std::string_view subject, const FreshOptions& options);
  Result<SharedSession> wait_for_flight(Entry& entry, std::unique_lock<std::mutex>& lock,
                                        Steady::time_point deadline, const FreshOptions& options);

  // The right to replace or end a session.
  struct Change {
    std::unique_ptr<Lease> lease;
    std::unique_ptr<UnsavedSession> unsaved;  // what the lease was held for, if it was
  };
  Result<Change> begin_change(Entry& entry, std::string_view subject,
                              std::chrono::milliseconds timeout, const std::stop_token& stop);
  void give_back(const SharedEntry& entry, Change change);
};

namespace {

bool is_rejected(const OAuthSession& session, const std::string& rejected) {
  return !rejected.empty() && token_fingerprint(session.access_token) == rejected;
}

}  // namespace

// Waits for the flight of this entry. The error `locked` or `cancelled` of somebody else's shorter
// wait is not ours: the caller then looks again.
Result<SharedSession> SessionKeeper::Impl::wait_for_flight(Entry& entry,
                                                           std::unique_lock<std::mutex>& lock,
                                                           Steady::time_point deadline,
                                                           const FreshOptions& options) {
  const std::uint64_t seen = entry.flights_done;
  const bool landed = entry.changed.wait_until(lock, options.stop, deadline,
                                               [&] { return entry.flights_done != seen; });
  if (!landed) {
    if (options.stop.stop_requested()) {
      return make_error(ErrorCode::cancelled, "refresh.cancelled",
                        "stopped waiting for a refresh; the refresh itself goes on");
    }
    return make_error(ErrorCode::timeout, "refresh.timeout",
                      "a refresh did not end in time; it goes on in the background: try again");
  }
  if (entry.last_session) return entry.last_session;
  return *entry.last_error;
}

Result<SharedSession> SessionKeeper::Impl::fresh(std::string_view subject,
                                                 const FreshOptions& options) {
  const SharedEntry entry = entries.get(subject);
  const auto deadline = Steady::now() + options.timeout;
  const auto lease_deadline = context.clock->steady_now() + options.timeout;
  std::unique_lock lock(entry->mutex);
  for (bool again = false;;) {
    // A rejected token may be replaced in the store already, whatever the cache says.
    const bool distrust = again || (entry->cached && is_rejected(*entry->cached, options.rejected));
    auto session = look(*entry, subject, distrust);
    if (!session) return session;
    if (!*session) return absent_session_error(subject);
    const OAuthSession& current = **session;
    if (current.state != SessionState::active) return unusable_session_error(current);

    const TimePoint now = context.clock->now();
    const bool rejected = is_rejected(current, options.rejected);
    const Due due = rejected ? Due::now : refresh_due(current, now, entry->window);
    if (due == Due::no) return session;
    const bool usable = !rejected && !current.is_expired(now);
    if (entry->unsaved) return not_durable_error(*entry->unsaved);
    if (!current.refresh_token && usable) return session;
    if (entry->in_flight && due == Due::soon) return session;
    const bool ours = !entry->in_flight;
    if (ours) {
      const auto steady_now = context.clock->steady_now();
      if (entry->failures != 0 && steady_now < entry->next_attempt) {
        if (usable) return session;
        return backing_off_error(*entry, steady_now);
      }
      start_flight(entry, subject, token_fingerprint(current.access_token), lease_deadline);
    }
    auto renewed = wait_for_flight(*entry, lock, deadline, options);
    // Of a flight that was begun for this call nothing better can be had by another one: some
    // servers give the token that another has just refused.
    if (renewed && (ours || !is_rejected(**renewed, options.rejected))) return renewed;
    if (!renewed) {
      if (usable && !ends_the_token(renewed.error())) return session;
      if (!ended_for_its_starter(renewed.error()) || options.stop.stop_requested() ||
          Steady::now() >= deadline) {
        return renewed;
      }
    }
    again = true;
  }
}

// The lease for a login or a logout: of a session that is still unsaved, the one that is held for
// it. A refresh that is under way may end unsaved while we wait for the lease, so the wait is cut
// into short ones.
Result<SessionKeeper::Impl::Change> SessionKeeper::Impl::begin_change(
    Entry& entry, std::string_view subject, std::chrono::milliseconds timeout,
    const std::stop_token& stop) {
  const auto deadline = context.clock->steady_now() + timeout;
  for (;;) {
    {
      const std::scoped_lock lock(entry.mutex);
      if (entry.unsaved) {
        Change change{.lease = nullptr, .unsaved = std::move(entry.unsaved)};
        change.lease = std::move(change.unsaved->lease);
        entry.changed.notify_all();
        return change;
      }
    }
    const auto slice = std::min(deadline, context.clock->steady_now() + 250ms);
    auto lease = context.store->lease(subject, {.deadline = slice, .stop = stop});
    if (lease) return Change{.lease = *std::move(lease), .unsaved = nullptr};
    if (lease.error().detail != "lease.timeout" || slice == deadline)
      return std::move(lease).error();
  }
}

// The change failed: what was unsaved is so still, and its saving goes on.
void SessionKeeper::Impl::give_back(const SharedEntry& entry, Change change) {
  if (!change.unsaved) return;
  change.unsaved->lease = std::move(change.lease);
  const std::scoped_lock lock(entry->mutex);
  entry->unsaved = std::move(change.unsaved);
  begin_work();
  crew.start([this, entry] {
    {
      std::unique_lock saving(entry->mutex);
      save_until_done(*entry, saving);
    }
    end_work();
  });
}

SessionKeeper::SessionKeeper(SessionContext context)
    : impl_(std::make_unique<Impl>(std::move(context))) {}

SessionKeeper::~SessionKeeper() {
  impl_->stopping.request_stop();
}

const SessionContext& SessionKeeper::context() const noexcept {
  return impl_->context;
}

Result<SharedSession> SessionKeeper::fresh(std::string_view subject, const FreshOptions& options) {
  return impl_->fresh(subject, options);
}

SharedSession SessionKeeper::unsaved(std::string_view subject) const {
  const SharedEntry entry = impl_->entries.find(subject);
  if (!entry) return nullptr;
  const std::scoped_lock lock(entry->mutex);
  return entry->unsaved ? entry->unsaved->session : nullptr;
}

Result<SharedSession> SessionKeeper::save_login(OAuthSession session, const LoginOptions& options) {
  const OAuthSession issued = session.clone();
  auto refuse = [&](Error error) {
    static_cast<void>(revoke_session(impl_->context, issued).has_value());
    return error;
  };
  const SharedEntry entry = impl_->entries.get(issued.subject);
  auto change = impl_->begin_change(*entry, issued.subject, options.timeout, options.stop);
  if (!change) return refuse(std::move(change).error());
  auto saved = put_login(impl_->context, std::move(session), change->unsaved.get());
  if (!saved) {
    impl_->give_back(entry, *std::move(change));
    return refuse(std::move(saved).error());
  }
  const std::scoped_lock lock(entry->mutex);
  entry->cached.reset();
  entry->failures = 0;
  return saved;
}

Result<LogoutOutcome> SessionKeeper::logout(std::string_view subject,
                                            const LogoutOptions& options) {
  const SharedEntry entry = impl_->entries.get(subject);
  auto change = impl_->begin_change(*entry, subject, options.timeout, options.stop);
  if (!change) return std::move(change).error();
  const auto unreachable = options.forget == Forget::now ? WhenUnreachable::erase_at_once
                                                         : WhenUnreachable::keep_to_revoke;
  auto [ended, settled] = end_session(impl_->context, subject, unreachable, change->unsaved.get());
  if (!settled) impl_->give_back(entry, *std::move(change));
  {
    const std::scoped_lock lock(entry->mutex);
    entry->cached.reset();
    entry->failures = 0;
  }
  if (!ended) return std::move(ended).error();
  switch (*ended) {
    case EndedAs::revoked:
      return LogoutOutcome::revoked;
    case EndedAs::not_logged_in:
      return LogoutOutcome::not_logged_in;
    case EndedAs::pending:
      return LogoutOutcome::pending;
    case EndedAs::forgotten:
      break;
  }
  return LogoutOutcome::forgotten;
}

bool SessionKeeper::settle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->busy_mutex);
  return impl_->idle.wait_for(lock, timeout, [&] { return impl_->busy == 0; });
}

}  // namespace latchkey
