// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.refresh.migration;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.move;
import latchkey.refresh.pending;
import latchkey.store;

namespace latchkey {
namespace {

constexpr std::size_t kPage = 500;
// So many io errors in a row are no matter of single sessions.
constexpr int kMaxFailuresInARow = 3;

Result<std::size_t> count_sessions(OAuthTokenStore& store) {
  std::size_t count = 0;
  for (std::string cursor;;) {
    auto page = store.list(cursor, kPage);
    if (!page) return std::move(page).error();
    count += page->sessions.size();
    if (page->next.empty()) return count;
    cursor = std::move(page->next);
  }
}

class Migration {
 public:
  Migration(const MigrationPlace& from, const MigrationPlace& to, const MigrationOptions& options)
      : from_(from),
        to_(to),
        options_(options),
        clock_(options.clock ? options.clock : std::make_shared<SystemClock>()),
        move_{.stop = options.stop,
              .lease_patience = options.lease_patience,
              .target = options.target,
              .random = options.random ? options.random : std::make_shared<SystemRandom>(),
              .clock = clock_} {}

  Result<MigrationReport> run() {
    const auto found = count_sessions(*from_.store);
    if (!found) return found.error();
    report_.sessions = *found;
    // First the logins under way: those that end while this runs are among the sessions then.
    if (auto done = pending(); !done) return std::move(done).error();
    if (auto done = sessions(); !done) return std::move(done).error();
    const auto remaining = count_sessions(*from_.store);
    if (!remaining) return remaining.error();
    report_.remaining = *remaining;
    return std::move(report_);
  }

 private:
  Result<void> check_stop() const {
    if (!options_.stop.stop_requested()) return {};
    return make_error(ErrorCode::cancelled, "migration.cancelled",
                      "stopped moving sessions; run it again to go on");
  }

  Result<void> sessions() {
    std::size_t done = 0;
    for (std::string cursor;;) {
      auto page = from_.store->list(cursor, kPage);
      if (!page) return std::move(page).error();
      for (ListedSession& row : page->sessions) {
        if (auto going_on = check_stop(); !going_on) return going_on;
        if (auto handled = session(std::move(row)); !handled) return handled;
        if (options_.progress) options_.progress(++done, report_.sessions);
      }
      if (page->next.empty()) return {};
      cursor = std::move(page->next);
    }
  }

  Result<void> session(ListedSession row) {
    if (row.error) {
      leave(std::move(row));
      return {};
    }
    const std::string& subject = row.summary->subject;
    auto outcome = options_.dry_run ? foresee_move(from_, to_, subject, options_.target)
                                    : move_session(from_, to_, subject, move_);
    if (outcome) {
      failures_in_a_row_ = 0;
      count(*outcome);
      return {};
    }
    row.error = std::move(outcome).error();
    return leave_failed(std::move(row));
  }

  void count(MoveOutcome outcome) {
    switch (outcome) {
      case MoveOutcome::moved:
        ++report_.moved;
        break;
      case MoveOutcome::finished:
        ++report_.finished;
        break;
      case MoveOutcome::gone:
        ++report_.gone;
        break;
    }
  }

  Result<void> leave_failed(ListedSession row) {
    const Error error = *row.error;
    leave(std::move(row));
    failures_in_a_row_ = error.code == ErrorCode::io ? failures_in_a_row_ + 1 : 0;
    return failures_in_a_row_ < kMaxFailuresInARow ? Result<void>() : error;
  }

  void leave(ListedSession row) {
    ++report_.left;
    if (report_.told_left.size() < kMaxToldLeft) report_.told_left.push_back(std::move(row));
  }

  Result<void> pending() {
    auto side = from_.store->side_records();
    if (!side) return std::move(side).error();
    for (ListedPending& row : side->pending) {
      if (auto going_on = check_stop(); !going_on) return going_on;
      if (!row.error && row.pending->expires_at <= clock_->now()) continue;
      const auto moved = row.error ? Result<void>(*row.error) : pending(*row.pending);
      if (moved) {
        failures_in_a_row_ = 0;
        ++report_.pending;
        continue;
      }
      auto left = leave_failed(
          {.name = "login under way " + row.name, .summary = {}, .error = moved.error()});
      if (!left) return left;
    }
    return {};
  }

  // A copy first, so that a kill loses none. A state is good once, and the server sees to it that
  // its code is: what is in both stores for a moment can still be used only once.
  Result<void> pending(const PendingRecord& record) {
    const auto jkt = pending_jkt(record, from_.store->sealer());
    if (!jkt) return jkt.error();
    if (options_.dry_run) return {};
    if (auto keyed = copy_key(*from_.vault, *to_.vault, *jkt); !keyed) return keyed;
    const auto copy = reseal_pending(record, from_.store->sealer(), to_.store->sealer());
    if (!copy) return copy.error();
    const auto saved = to_.store->save_pending(*copy, clock_->now());
    const bool there_already = !saved && saved.error().detail == "pending.exists";
    if (!saved && !there_already) return saved;
    const auto taken = from_.store->take_pending(record.key, clock_->now());
    if (!taken) return taken.error();
    // Somebody was first: its browser has come back to the source.
    if (!*taken && !there_already)
      static_cast<void>(to_.store->take_pending(record.key, clock_->now()).has_value());
    return {};
  }

  const MigrationPlace& from_;
  const MigrationPlace& to_;
  const MigrationOptions& options_;
  std::shared_ptr<Clock> clock_;
  MoveOptions move_;
  MigrationReport report_;
  int failures_in_a_row_ = 0;
};

}  // namespace

Result<MigrationReport> migrate_sessions(const MigrationPlace& from, const MigrationPlace& to,
                                         const MigrationOptions& options) {
  if (from.store == to.store) {
    return make_error(ErrorCode::invalid_argument, "migration.same_store",
                      "cannot move sessions: source and target are the same store");
  }
  return Migration(from, to, options).run();
}

}  // namespace latchkey
