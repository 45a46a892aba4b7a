// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.refresh.rotation;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.oauth.device;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.store.vault.managed;

namespace latchkey {
namespace {

constexpr std::size_t kPage = 500;
// A store that is out of reach lets each attempt wait for its own limit.
constexpr int kFailuresInRow = 3;

static_assert(kDataKeyGrace >= kLongestDeviceLogin + std::chrono::minutes(5),
              "pending logins are not sealed anew: their data key must outlast them");

// Page by page: there may be more sessions than fit into memory.
Result<void> visit_pages(OAuthTokenStore& store,
                         const std::function<Result<void>(std::vector<ListedSession>&)>& visit) {
  for (std::string cursor;;) {
    auto page = store.list(cursor, kPage);
    if (!page) return std::move(page).error();
    if (auto visited = visit(page->sessions); !visited) return visited;
    if (page->next.empty()) return {};
    cursor = std::move(page->next);
  }
}

// The tokens of a refresh under way, or cut off, are saved over the revision that its claim names:
// a new one would have them dropped.
Result<void> check_settled(OAuthTokenStore& store, const OAuthSession& session) {
  const auto claim = store.load_claim(session.subject);
  if (!claim) return claim.error();
  if (!*claim || (*claim)->revision != session.revision) return {};
  return make_error(ErrorCode::locked, "rotation.refresh_unfinished",
                    "cannot seal the session of " + printable(session.subject, 100) +
                        " anew: a refresh of it has not ended, or was cut off; use the session, "
                        "whose next refresh settles that, and rotate again");
}

// The lease is looked at first: it is renewed by that, and nobody else can claim from then on.
Result<void> save_resealed(OAuthTokenStore& store, OAuthSession session, Lease& lease,
                           Random& random) {
  if (!lease.still_held()) {
    return make_error(ErrorCode::locked, "lease.lost",
                      "cannot seal the session of " + printable(session.subject, 100) +
                          " anew: the lease ran out before the save; rotate again");
  }
  if (auto settled = check_settled(store, session); !settled) return settled;
  const Revision before = std::exchange(session.revision, draw_revision(random));
  return store.save(session, before);
}

// Names the data key that the store seals with at this moment.
Result<std::string> newest_data_key(OAuthTokenStore& store) {
  const auto box = store.sealer().seal({}, {});
  if (!box) return box.error();
  return sealed_with(*box);
}

Result<bool> is_unfinished(ManagedKeyVault& vault, const SealedSessions& sessions) {
  const auto status = vault.status();
  if (!status) return status.error();
  return std::any_of(
      status->data_keys.begin() + 1, status->data_keys.end(),
      [&](const DataKeyUse& old) { return old.keys > 0 || sessions.by_data_key.contains(old.id); });
}

std::size_t total_of(const SealedSessions& sessions) {
  std::size_t total = sessions.unreadable_count;
  for (const auto& [id, count] : sessions.by_data_key) total += count;
  return total;
}

Result<bool> reseal_under_lease(OAuthTokenStore& store, std::string_view subject, Random& random,
                                const LockWait& wait) {
  const auto lease = store.lease(subject, wait);
  if (!lease) return lease.error();
  const auto record = store.load_record(subject);
  if (!record) return record.error();
  if (!*record || store.sealer().is_current((*record)->box)) return false;
  auto session = unseal_session(**record, store.sealer());
  if (!session) return std::move(session).error();
  if (auto saved = save_resealed(store, *std::move(session), **lease, random); !saved) {
    return std::move(saved).error();
  }
  return true;
}

// One rotation's way through the sessions of a store.
class SessionResealing {
 public:
  /// `expected`: how many sessions there were just before.
  SessionResealing(OAuthTokenStore& store, const RotationOptions& options, RotationReport& report,
                   std::size_t expected)
      : store_(store),
        options_(options),
        report_(report),
        expected_(expected),
        random_(options.random ? options.random : std::make_shared<SystemRandom>()),
        clock_(options.clock ? options.clock : std::make_shared<SystemClock>()) {}

  Result<void> run() {
    auto newest = newest_data_key(store_);
    if (!newest) return std::move(newest).error();
    newest_ = *std::move(newest);
    return visit_pages(store_,
                       [this](std::vector<ListedSession>& rows) { return take_page(rows); });
  }

 private:
  Result<void> take_page(std::vector<ListedSession>& rows) {
    const std::size_t before = report_.sessions;
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i = next++; i < rows.size() && goes_on(); i = next++) {
        const auto resealed = take(rows[i]);
        watch(rows[i], resealed);
        note(rows[i], resealed);
      }
    };
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < std::min(options_.workers, rows.size()); ++i) {
        others.emplace_back(work);
      }
      work();
    }
    if (out_of_reach_) return *out_of_reach_;
    if (report_.sessions - before == rows.size()) return {};
    return make_error(ErrorCode::cancelled, "vault.cancelled",
                      "stopped re-sealing sessions; run it again to go on");
  }

  Result<bool> take(const ListedSession& row) {
    if (row.error) return *row.error;
    if (row.sealed_with == newest_) return false;
    return reseal_under_lease(
        store_, row.summary->subject, *random_,
        {.deadline = clock_->steady_now() + options_.lease_patience, .stop = options_.stop});
  }

  bool goes_on() {
    const std::scoped_lock lock(mutex_);
    return !out_of_reach_ && !options_.stop.stop_requested();
  }

  // What was unreadable when it was listed says nothing of the store.
  void watch(const ListedSession& row, const Result<bool>& resealed) {
    if (row.error || (resealed && !*resealed)) return;
    const std::scoped_lock lock(mutex_);
    failures_ = !resealed && resealed.error().code == ErrorCode::io ? failures_ + 1 : 0;
    if (failures_ >= kFailuresInRow) out_of_reach_ = resealed.error();
  }

  void note(ListedSession& row, const Result<bool>& resealed) {
    const std::scoped_lock lock(mutex_);
    if (resealed) {
      report_.sessions_resealed += *resealed ? 1 : 0;
    } else {
      ++report_.sessions_left_count;
      row.error = resealed.error();
      if (report_.sessions_left.size() < kMostListed)
        report_.sessions_left.push_back(std::move(row));
    }
    ++report_.sessions;
    // Sessions that came meanwhile count too.
    expected_ = std::max(expected_, report_.sessions);
    if (options_.progress) {
      options_.progress(RotationStage::sessions, report_.sessions, expected_);
    }
  }

  OAuthTokenStore& store_;
  const RotationOptions& options_;
  std::mutex mutex_;  // for the next four, and for progress
  RotationReport& report_;
  std::size_t expected_;
  int failures_ = 0;  // in a row
  std::optional<Error> out_of_reach_;
  const std::shared_ptr<Random> random_;
  const std::shared_ptr<Clock> clock_;
  std::string newest_;
};

}  // namespace

Result<SealedSessions> count_sealed_sessions(OAuthTokenStore& store) {
  SealedSessions sessions;
  const auto visited = visit_pages(store, [&](std::vector<ListedSession>& rows) {
    for (ListedSession& row : rows) {
      if (row.error) {
        ++sessions.unreadable_count;
        if (sessions.unreadable.size() < kMostListed) sessions.unreadable.push_back(std::move(row));
      } else {
        ++sessions.by_data_key[row.sealed_with];
      }
    }
    return Result<void>();
  });
  if (!visited) return visited.error();
  return sessions;
}

Result<bool> reseal_session(OAuthTokenStore& store, std::string_view subject, Random& random,
                            const LockWait& wait) {
  const auto record = store.load_record(subject);
  if (!record) return record.error();
  if (!*record || store.sealer().is_current((*record)->box)) return false;
  return reseal_under_lease(store, subject, random, wait);
}

Result<RotationReport> rotate_vault(ManagedKeyVault& vault, OAuthTokenStore& store,
                                    const RotationOptions& options) {
  RotationReport report;
  const auto sessions = count_sealed_sessions(store);
  if (!sessions) return sessions.error();
  const auto unfinished = is_unfinished(vault, *sessions);
  if (!unfinished) return unfinished.error();
  report.new_data_key = !*unfinished;
  if (report.new_data_key) {
    if (auto added = vault.add_data_key(); !added) return std::move(added).error();
  }
  auto keys = vault.reseal_keys(
      [&](std::size_t done, std::size_t total) {
        if (options.progress) options.progress(RotationStage::keys, done, total);
      },
      options.stop);
  if (!keys) return std::move(keys).error();
  report.keys = keys->total;
  report.keys_resealed = keys->resealed;
  report.keys_left = std::move(keys->unreadable);
  report.keys_left_count = keys->unreadable_count;
  const auto resealed = SessionResealing(store, options, report, total_of(*sessions)).run();
  if (!resealed) return resealed.error();
  return report;
}

Result<std::size_t> drop_old_data_keys(ManagedKeyVault& vault, OAuthTokenStore& store) {
  auto sessions = count_sealed_sessions(store);
  if (!sessions) return std::move(sessions).error();
  if (!sessions->unreadable.empty()) return *std::move(sessions->unreadable.front().error);
  std::vector<std::string> used;
  for (const auto& [id, count] : sessions->by_data_key) used.push_back(id);
  return vault.drop_old_data_keys(used);
}

}  // namespace latchkey
