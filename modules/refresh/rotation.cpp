// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
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

Result<std::vector<ListedSession>> all_rows(OAuthTokenStore& store) {
  std::vector<ListedSession> rows;
  for (std::string cursor;;) {
    auto page = store.list(cursor, kPage);
    if (!page) return std::move(page).error();
    for (ListedSession& row : page->sessions) rows.push_back(std::move(row));
    if (page->next.empty()) return rows;
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

Result<bool> is_unfinished(ManagedKeyVault& vault, OAuthTokenStore& store) {
  const auto status = vault.status();
  if (!status) return status.error();
  const auto sessions = count_sealed_sessions(store);
  if (!sessions) return sessions.error();
  return std::any_of(status->data_keys.begin() + 1, status->data_keys.end(),
                     [&](const DataKeyUse& old) {
                       return old.keys > 0 || sessions->by_data_key.contains(old.id);
                     });
}

Result<void> reseal_sessions(OAuthTokenStore& store, const RotationOptions& options,
                             RotationReport& report) {
  const auto random = options.random ? options.random : std::make_shared<SystemRandom>();
  const auto clock = options.clock ? options.clock : std::make_shared<SystemClock>();
  auto rows = all_rows(store);
  if (!rows) return std::move(rows).error();
  report.sessions = rows->size();
  for (std::size_t i = 0; i < rows->size(); ++i) {
    if (options.stop.stop_requested()) {
      return make_error(ErrorCode::cancelled, "vault.cancelled",
                        "stopped re-sealing sessions; run it again to go on");
    }
    ListedSession& row = (*rows)[i];
    if (!row.error) {
      auto resealed = reseal_session(
          store, row.summary->subject, *random,
          {.deadline = clock->steady_now() + options.lease_patience, .stop = options.stop});
      if (resealed) {
        report.sessions_resealed += *resealed ? 1 : 0;
      } else {
        row.error = std::move(resealed).error();
      }
    }
    if (row.error) report.sessions_left.push_back(std::move(row));
    if (options.progress) options.progress(RotationStage::sessions, i + 1, rows->size());
  }
  return {};
}

}  // namespace

Result<SealedSessions> count_sealed_sessions(OAuthTokenStore& store) {
  auto rows = all_rows(store);
  if (!rows) return std::move(rows).error();
  SealedSessions sessions;
  for (ListedSession& row : *rows) {
    if (!row.error) {
      const auto record = store.load_record(row.summary->subject);
      if (record && *record) ++sessions.by_data_key[sealed_with((*record)->box)];
      if (!record) row.error = record.error();
    }
    if (row.error) sessions.unreadable.push_back(std::move(row));
  }
  return sessions;
}

Result<bool> reseal_session(OAuthTokenStore& store, std::string_view subject, Random& random,
                            const LockWait& wait) {
  auto record = store.load_record(subject);
  if (!record) return std::move(record).error();
  if (!*record || store.sealer().is_current((*record)->box)) return false;
  const auto lease = store.lease(subject, wait);
  if (!lease) return lease.error();
  record = store.load_record(subject);
  if (!record) return std::move(record).error();
  if (!*record || store.sealer().is_current((*record)->box)) return false;
  auto session = unseal_session(**record, store.sealer());
  if (!session) return std::move(session).error();
  if (auto saved = save_resealed(store, *std::move(session), random); !saved) {
    return std::move(saved).error();
  }
  return true;
}

Result<RotationReport> rotate_vault(ManagedKeyVault& vault, OAuthTokenStore& store,
                                    const RotationOptions& options) {
  RotationReport report;
  const auto unfinished = is_unfinished(vault, store);
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
  if (auto done = reseal_sessions(store, options, report); !done) return std::move(done).error();
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
