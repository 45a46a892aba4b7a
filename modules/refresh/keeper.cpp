// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.keeper;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.refresh.announcer;
import latchkey.refresh.classify;
import latchkey.refresh.context;
import latchkey.refresh.entries;
import latchkey.refresh.events;
import latchkey.refresh.flights;
import latchkey.refresh.relocation;
import latchkey.refresh.run;
import latchkey.refresh.turnover;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using SharedSession = std::shared_ptr<const OAuthSession>;
using SharedEntry = std::shared_ptr<Entry>;

// A server that is down for an hour must not be looked up with every call.
constexpr auto kRelocationPause = 60s;

// The starter of a flight may have had less time than those who wait for it too: its `locked` or
// `cancelled` is not theirs.
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

bool is_rejected(const OAuthSession& session, const std::string& rejected) {
  return !rejected.empty() && token_fingerprint(session.access_token) == rejected;
}

Error stopped_waiting() {
  return make_error(ErrorCode::cancelled, "refresh.cancelled",
                    "stopped waiting for a refresh; one that was begun goes on");
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

// May this outcome of a flight that somebody else began be a caller's own? If not, it looks again.
bool is_final(const Result<SharedSession>& outcome, const FreshOptions& options,
              Steady::time_point deadline) {
  if (outcome) return !is_rejected(**outcome, options.rejected);
  return !ended_for_its_starter(outcome.error()) || options.stop.stop_requested() ||
         Steady::now() >= deadline;
}

// Events happen under leases and locks; the listener is called without.
SessionContext with_queue(SessionContext context, const std::shared_ptr<Announcer>& announcer) {
  if (context.on_event) {
    context.on_event = [announcer](const SessionEvent& event) { announcer->push(event); };
  }
  return context;
}

}  // namespace

struct SessionKeeper::Impl {
  explicit Impl(SessionContext c)
      : announcer(std::make_shared<Announcer>(c.on_event)),
        context(with_queue(std::move(c), announcer)),
        jitter(draw_id(*context.random)) {}

  std::shared_ptr<Announcer> announcer;
  SessionContext context;
  std::uint64_t jitter;
  Entries entries;
  Flights flights{context};  // last: its threads use the rest

  Result<SharedSession> fresh(std::string_view subject, const FreshOptions& options);
  Result<SharedSession> wait_for_flight(Entry& entry, std::unique_lock<std::mutex>& lock,
                                        Steady::time_point deadline, const std::stop_token& stop);

  Result<void> begin_flight(const SharedEntry& entry, const OAuthSession& stale,
                            const FreshOptions& options, Steady::time_point lease_deadline);

  // The right to replace or end a session.
  struct Change {
    std::unique_ptr<Lease> lease;
    std::unique_ptr<UnsavedSession> unsaved;  // what the lease was held for, if it was
  };
  Result<Change> begin_change(Entry& entry, std::string_view subject,
                              std::chrono::milliseconds timeout, const std::stop_token& stop);
  void give_back(const SharedEntry& entry, Change change);
};

Result<SharedSession> SessionKeeper::Impl::wait_for_flight(Entry& entry,
                                                           std::unique_lock<std::mutex>& lock,
                                                           Steady::time_point deadline,
                                                           const std::stop_token& stop) {
  const std::uint64_t seen = entry.flights_done;
  const bool landed =
      entry.changed.wait_until(lock, stop, deadline, [&] { return entry.flights_done != seen; });
  if (!landed) {
    if (stop.stop_requested()) return stopped_waiting();
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
  // The lease is given up a little before the caller goes, so that it hears why.
  const auto lease_deadline =
      context.clock->steady_now() + options.timeout - std::min(options.timeout / 10, 1'000ms);
  std::unique_lock lock(entry->mutex);
  for (bool again = false;;) {
    // A rejected token may be replaced in the store already, whatever the cache says.
    const bool distrust = again || (entry->cached && is_rejected(*entry->cached, options.rejected));
    auto session = entry->look(lock, {.store = *context.store,
                                      .subject = subject,
                                      .how = distrust ? Entry::Look::anew : Entry::Look::cached,
                                      .jitter_seed = jitter,
                                      .deadline = deadline,
                                      .stop = options.stop});
    if (!session) return session;
    if (!*session) return absent_session_error(subject);
    const OAuthSession& current = **session;
    if (current.state != SessionState::active) return unusable_session_error(current);

    const bool rejected = is_rejected(current, options.rejected);
    const auto usable = [&] { return !rejected && !current.is_expired(context.clock->now()); };
    const Due due = rejected ? Due::now : refresh_due(current, context.clock->now(), entry->window);
    if (due == Due::no) return session;
    if (entry->unsaved) return not_durable_error(*entry->unsaved);
    if (!current.refresh_token && usable()) return session;
    if (entry->in_flight && due == Due::soon) return session;
    const bool ours = !entry->in_flight;
    if (ours) {
      if (auto begun = begin_flight(entry, current, options, lease_deadline); !begun) {
        if (usable()) return session;
        return std::move(begun).error();
      }
    }
    auto renewed = wait_for_flight(*entry, lock, deadline, options.stop);
    // The wait may have been long: the token is looked at once more.
    if (!renewed && usable() && !ends_the_token(renewed.error())) return session;
    // Of a flight that was begun for this call nothing better can be had by another one: some
    // servers give the token that another has just refused.
    if (ours || is_final(renewed, options, deadline)) return renewed;
    again = true;
  }
}

// Called with the entry locked.
Result<void> SessionKeeper::Impl::begin_flight(const SharedEntry& entry, const OAuthSession& stale,
                                               const FreshOptions& options,
                                               Steady::time_point lease_deadline) {
  if (options.stop.stop_requested()) return stopped_waiting();
  const auto now = context.clock->steady_now();
  if (entry->failures != 0 && now < entry->next_attempt) return backing_off_error(*entry, now);
  return flights.start(entry, stale.subject, token_fingerprint(stale.access_token), lease_deadline);
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
      std::unique_lock lock(entry.mutex);
      entry.changed.wait_for(lock, stop, 250ms, [&] { return !entry.saving; });
      if (entry.unsaved && !entry.saving) {
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
  flights.keep_saving(entry);
}

SessionKeeper::SessionKeeper(SessionContext context)
    : impl_(std::make_unique<Impl>(std::move(context))) {}

SessionKeeper::~SessionKeeper() {
  impl_->flights.finish();
  impl_->announcer->finish();
}

const SessionContext& SessionKeeper::context() const noexcept {
  return impl_->context;
}

Result<SharedSession> SessionKeeper::fresh(std::string_view subject, const FreshOptions& options) {
  return impl_->fresh(subject, options);
}

bool SessionKeeper::is_refreshing(std::string_view subject) const {
  const SharedEntry entry = impl_->entries.find(subject);
  if (!entry) return false;
  const std::scoped_lock lock(entry->mutex);
  return entry->in_flight || entry->unsaved;
}

SharedSession SessionKeeper::unsaved(std::string_view subject) const {
  const SharedEntry entry = impl_->entries.find(subject);
  if (!entry) return nullptr;
  const std::scoped_lock lock(entry->mutex);
  return entry->unsaved ? entry->unsaved->session : nullptr;
}

Result<SharedSession> SessionKeeper::save_login(OAuthSession session, const LoginOptions& options) {
  const OAuthSession issued = session.clone();
  // Where one person's logins are one grant, ending the new one ends the stored one too.
  auto would_end_stored = [&] {
    if (impl_->context.profile.revokes_replaced) return false;
    const auto stored = impl_->context.store->load(issued.subject);
    return !stored || (stored->has_value() && (*stored)->state == SessionState::active);
  };
  auto refuse = [&](Error error) {
    if (!would_end_stored()) static_cast<void>(revoke_session(impl_->context, issued).has_value());
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

Result<bool> SessionKeeper::relocate(std::string_view subject, const LoginOptions& options) {
  const SharedEntry entry = impl_->entries.get(subject);
  const auto may_ask = [&] {
    const std::scoped_lock lock(entry->mutex);
    return !entry->unsaved && impl_->context.clock->steady_now() >= entry->next_relocation;
  };
  if (!may_ask()) return false;
  auto change = impl_->begin_change(*entry, subject, options.timeout, options.stop);
  if (!change) return std::move(change).error();
  if (change->unsaved) {
    impl_->give_back(entry, *std::move(change));
    return false;
  }
  // Of callers who come together each waits for the lease, and the first has asked for all.
  if (!may_ask()) return false;
  auto [asked, moved] = relocate_session(impl_->context, subject, *change->lease, options.stop);
  const std::scoped_lock lock(entry->mutex);
  entry->cached.reset();
  if (asked) entry->next_relocation = impl_->context.clock->steady_now() + kRelocationPause;
  return std::move(moved);
}

bool SessionKeeper::settle(std::chrono::milliseconds timeout) {
  const auto deadline = Steady::now() + timeout;
  return impl_->flights.settle(deadline) && impl_->announcer->settle(deadline);
}

}  // namespace latchkey
