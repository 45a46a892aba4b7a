// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <atomic>
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
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.store.vault.managed;

namespace latchkey {
namespace {

constexpr std::size_t kPage = 500;

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

// The claim counts only with the revision of the record.
Result<void> save_resealed(OAuthTokenStore& store, OAuthSession session, Random& random) {
  auto claim = store.load_claim(session.subject);
  if (!claim) return std::move(claim).error();
  const Revision before = std::exchange(session.revision, draw_revision(random));
  if (auto saved = store.save(session, before); !saved) return saved;
  if (!*claim || (*claim)->revision != before) return {};
  (*claim)->revision = session.revision;
  return store.save_claim(**claim);
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
  std::size_t total = sessions.unreadable.size();
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
  if (auto saved = save_resealed(store, *std::move(session), random); !saved) {
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
      for (std::size_t i = next++; i < rows.size() && !options_.stop.stop_requested(); i = next++) {
        note(rows[i], take(rows[i]));
      }
    };
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < std::min(options_.workers, rows.size()); ++i) {
        others.emplace_back(work);
      }
      work();
    }
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

  void note(ListedSession& row, const Result<bool>& resealed) {
    const std::scoped_lock lock(mutex_);
    if (resealed) {
      report_.sessions_resealed += *resealed ? 1 : 0;
    } else {
      row.error = resealed.error();
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
  std::mutex mutex_;  // for the next two, and for progress
  RotationReport& report_;
  std::size_t expected_;
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
        sessions.unreadable.push_back(std::move(row));
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
