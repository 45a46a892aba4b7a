// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.tombstones;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

constexpr std::size_t kPage = 500;
constexpr std::size_t kMaxTold = 100;

class Removal {
 public:
  Removal(OAuthTokenStore& store, const TombstoneOptions& options)
      : store_(store),
        options_(options),
        clock_(options.clock ? options.clock : std::make_shared<SystemClock>()) {}

  Result<RemovedTombstones> run() {
    for (std::string cursor;;) {
      auto page = store_.list(cursor, kPage);
      if (!page) return std::move(page).error();
      for (ListedSession& row : page->sessions) {
        if (options_.stop.stop_requested()) {
          return make_error(ErrorCode::cancelled, "tombstones.cancelled",
                            "stopped removing sessions that have ended; run it again to go on");
        }
        ++report_.sessions;
        look_at(std::move(row));
      }
      if (page->next.empty()) return std::move(report_);
      cursor = std::move(page->next);
    }
  }

 private:
  void look_at(ListedSession row) {
    if (!row.error) {
      if (!is_forgotten(*row.summary, clock_->now(), options_.age)) return;
      auto removed = options_.dry_run ? Result<bool>(true) : remove(row.summary->subject);
      if (removed) {
        report_.removed += *removed ? 1 : 0;
        return;
      }
      row.error = std::move(removed).error();
    }
    ++report_.left;
    if (report_.told_left.size() < kMaxTold) report_.told_left.push_back(std::move(row));
  }

  // What a list says is not authenticated: the session is read with the vault's key.
  Result<bool> remove(std::string_view subject) {
    const auto lease = store_.lease(
        subject,
        {.deadline = clock_->steady_now() + options_.lease_patience, .stop = options_.stop});
    if (!lease) return lease.error();
    const auto session = store_.load(subject);
    if (!session) return session.error();
    if (!*session || !is_forgotten(**session, clock_->now(), options_.age)) return false;
    auto removed = store_.remove(subject, (*session)->revision);
    if (!removed) return std::move(removed).error();
    return true;
  }

  OAuthTokenStore& store_;
  const TombstoneOptions& options_;
  std::shared_ptr<Clock> clock_;
  RemovedTombstones report_;
};

}  // namespace

bool is_forgotten(const SessionSummary& session, TimePoint now, Duration age) {
  if (session.state != SessionState::dead || is_being_moved(session)) return false;
  return now - session.state_changed_at.value_or(session.issued_at) >= age;
}

Result<RemovedTombstones> remove_tombstones(OAuthTokenStore& store,
                                            const TombstoneOptions& options) {
  if (options.age < Duration::zero()) {
    return make_error(ErrorCode::invalid_argument, "tombstones.age",
                      "cannot remove sessions that end in the future: the age is negative");
  }
  return Removal(store, options).run();
}

}  // namespace latchkey
