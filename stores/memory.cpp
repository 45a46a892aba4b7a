// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.memory;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::size_t kCounters = 1024;
constexpr std::size_t kMaxNonces = 4096;
constexpr Duration kFirstPause{1};
constexpr Duration kLongestPause{20};

// Who holds a lease. Apart from the store, because a lease may outlive it.
class LeaseTable {
 public:
  bool take(const std::string& subject) {
    const std::lock_guard guard(mutex_);
    return held_.insert(subject).second;
  }
  void give_back(const std::string& subject) {
    const std::lock_guard guard(mutex_);
    held_.erase(subject);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> held_;
};

class MemoryLease final : public Lease {
 public:
  MemoryLease(std::shared_ptr<LeaseTable> table, std::string subject)
      : table_(std::move(table)), subject_(std::move(subject)) {}
  ~MemoryLease() override { table_->give_back(subject_); }
  bool still_held() override { return true; }

 private:
  std::shared_ptr<LeaseTable> table_;
  std::string subject_;
};

class MemoryStore final : public OAuthTokenStore {
 public:
  MemoryStore(std::shared_ptr<Sealer> sealer, std::shared_ptr<Clock> clock)
      : OAuthTokenStore(std::move(sealer)), clock_(std::move(clock)) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override;
  Result<void> reserve_room(std::string_view subject, std::size_t size) override;
  void release_room(std::string_view) noexcept override {}
  Result<void> save_claim(const RefreshClaim& claim) override;
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override;
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override;
  Result<SideRecords> side_records() override;
  Result<Swept> sweep(TimePoint now) override;
  Result<Quarantined> quarantine(std::string_view name) override;
  Result<std::vector<Quarantined>> quarantined() override;

  std::uint64_t change_count(std::string_view subject) const noexcept override {
    return counters_[slot(subject)].load(std::memory_order_acquire);
  }

 private:
  static std::size_t slot(std::string_view subject) noexcept {
    return std::hash<std::string_view>{}(subject) % kCounters;
  }
  void announce_change(std::string_view subject) noexcept {
    counters_[slot(subject)].fetch_add(1, std::memory_order_acq_rel);
  }

  // Called with the mutex held.
  std::size_t drop_expired(TimePoint now) {
    return std::erase_if(pending_,
                         [&](const auto& entry) { return now >= entry.second.expires_at; });
  }

  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LeaseTable> leases_ = std::make_shared<LeaseTable>();
  std::array<std::atomic<std::uint64_t>, kCounters> counters_{};
  std::mutex mutex_;
  std::map<std::string, SealedRecord, std::less<>> records_;
  std::map<std::string, RefreshClaim, std::less<>> claims_;
  std::map<std::pair<std::string, std::string>, std::string> nonces_;
  std::map<std::string, PendingRecord, std::less<>> pending_;
  struct Aside {
    Quarantined entry;
    SealedRecord record;
  };
  std::vector<Aside> aside_;
};

Result<std::optional<SealedRecord>> MemoryStore::load_record(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const std::lock_guard guard(mutex_);
  const auto found = records_.find(subject);
  if (found == records_.end()) return std::optional<SealedRecord>();
  return std::optional<SealedRecord>(found->second);
}

Result<void> MemoryStore::save_record(const SealedRecord& record, Revision expected) {
  if (auto fine = check_record(record); !fine) return fine;
  const auto& summary = record.summary;
  const std::lock_guard guard(mutex_);
  const auto found = records_.find(summary.subject);
  const auto stored =
      found == records_.end() ? std::nullopt : std::optional(found->second.summary.revision);
  switch (judge_save(stored, expected, summary.revision)) {
    case SaveVerdict::conflict:
      return save_conflict(summary.subject);
    case SaveVerdict::already_saved:
      return {};
    case SaveVerdict::write:
      break;
  }
  records_.insert_or_assign(summary.subject, record);
  claims_.erase(summary.subject);
  announce_change(summary.subject);
  return {};
}

Result<void> MemoryStore::remove(std::string_view subject, Revision expected) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const std::lock_guard guard(mutex_);
  const auto found = records_.find(subject);
  if (found == records_.end()) return {};
  if (found->second.summary.revision != expected) return remove_conflict(subject);
  records_.erase(found);
  if (const auto claim = claims_.find(subject); claim != claims_.end()) claims_.erase(claim);
  announce_change(subject);
  return {};
}

Result<SessionPage> MemoryStore::list(std::string_view cursor, std::size_t limit) {
  if (auto fine = check_list_limit(limit); !fine) return std::move(fine).error();
  const auto after = read_cursor(cursor);
  if (!after) return after.error();
  const std::lock_guard guard(mutex_);
  SessionPage page;
  for (auto it = records_.upper_bound(*after); it != records_.end(); ++it) {
    if (page.sessions.size() == limit) {
      page.next = make_cursor(page.sessions.back().name);
      break;
    }
    page.sessions.push_back({.name = it->first,
                             .summary = it->second.summary,
                             .error = {},
                             .sealed_with = sealed_with(it->second.box)});
  }
  return page;
}

Result<std::unique_ptr<Lease>> MemoryStore::lease(std::string_view subject, const LockWait& wait) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  std::string name(subject);
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    if (wait.stop.stop_requested()) return lease_cancelled(subject);
    if (leases_->take(name)) {
      return std::unique_ptr<Lease>(std::make_unique<MemoryLease>(leases_, std::move(name)));
    }
    const auto left = std::chrono::ceil<Duration>(wait.deadline - clock_->steady_now());
    if (left <= Duration::zero()) return lease_timeout(subject);
    if (!clock_->sleep_for(std::min(pause, left), wait.stop)) return lease_cancelled(subject);
  }
}

// Memory cannot be set aside; running out of it ends the process in any case.
Result<void> MemoryStore::reserve_room(std::string_view subject, std::size_t) {
  return check_subject(subject);
}

Result<void> MemoryStore::save_claim(const RefreshClaim& claim) {
  if (auto fine = check_subject(claim.subject); !fine) return fine;
  const std::lock_guard guard(mutex_);
  claims_.insert_or_assign(claim.subject, claim);
  return {};
}

Result<std::optional<RefreshClaim>> MemoryStore::load_claim(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const std::lock_guard guard(mutex_);
  const auto found = claims_.find(subject);
  if (found == claims_.end()) return std::optional<RefreshClaim>();
  return std::optional<RefreshClaim>(found->second);
}

Result<void> MemoryStore::clear_claim(std::string_view subject, std::uint64_t id) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const std::lock_guard guard(mutex_);
  const auto found = claims_.find(subject);
  if (found != claims_.end() && found->second.id == id) claims_.erase(found);
  return {};
}

std::optional<std::string> MemoryStore::load_nonce(std::string_view origin, std::string_view jkt) {
  const std::lock_guard guard(mutex_);
  const auto found = nonces_.find({std::string(origin), std::string(jkt)});
  if (found == nonces_.end()) return std::nullopt;
  return found->second;
}

void MemoryStore::save_nonce(std::string_view origin, std::string_view jkt,
                             std::string_view nonce) {
  const std::lock_guard guard(mutex_);
  // Keys come and go; a nonce that was dropped costs one round trip.
  if (nonces_.size() >= kMaxNonces) nonces_.erase(nonces_.begin());
  nonces_.insert_or_assign({std::string(origin), std::string(jkt)}, std::string(nonce));
}

Result<void> MemoryStore::save_pending(const PendingRecord& pending, TimePoint now) {
  if (auto fine = check_pending(pending); !fine) return fine;
  const std::lock_guard guard(mutex_);
  drop_expired(now);
  if (!pending_.emplace(pending.key, pending).second) return pending_exists();
  return {};
}

Result<std::optional<PendingRecord>> MemoryStore::take_pending(std::string_view key,
                                                               TimePoint now) {
  const std::lock_guard guard(mutex_);
  const auto found = pending_.find(key);
  if (found == pending_.end()) return std::optional<PendingRecord>();
  auto taken = std::move(pending_.extract(found).mapped());
  if (now >= taken.expires_at) return std::optional<PendingRecord>();
  return std::optional<PendingRecord>(std::move(taken));
}

Result<SideRecords> MemoryStore::side_records() {
  const std::lock_guard guard(mutex_);
  SideRecords side;
  for (const auto& [subject, claim] : claims_)
    side.claims.push_back({.name = subject, .claim = claim, .error = {}});
  for (const auto& [key, pending] : pending_)
    side.pending.push_back({.name = key, .pending = pending, .error = {}});
  return side;
}

Result<Swept> MemoryStore::sweep(TimePoint now) {
  const std::lock_guard guard(mutex_);
  Swept swept{.pending = drop_expired(now)};
  swept.others =
      std::erase_if(claims_, [&](const auto& entry) { return !records_.contains(entry.first); });
  return swept;
}

Result<Quarantined> MemoryStore::quarantine(std::string_view name) {
  const std::lock_guard guard(mutex_);
  const auto found = records_.find(name);
  if (found == records_.end()) return no_such_record(name);
  const auto readable = check_readable(found->second);
  if (readable) return record_is_readable(name);
  if (!is_unreadable(readable.error())) return readable.error();
  Quarantined entry{.name = std::string(name),
                    .at = clock_->now(),
                    .why = readable.error().detail,
                    .where = "memory, number " + std::to_string(aside_.size() + 1)};
  aside_.push_back({entry, std::move(found->second)});
  records_.erase(found);
  announce_change(name);
  return entry;
}

Result<std::vector<Quarantined>> MemoryStore::quarantined() {
  const std::lock_guard guard(mutex_);
  std::vector<Quarantined> entries;
  for (const auto& aside : aside_) entries.push_back(aside.entry);
  return entries;
}

}  // namespace

std::shared_ptr<OAuthTokenStore> MemoryOAuthTokenStore::create(std::shared_ptr<Sealer> sealer,
                                                               std::shared_ptr<Clock> clock) {
  if (!clock) clock = std::make_shared<SystemClock>();
  return std::make_shared<MemoryStore>(std::move(sealer), std::move(clock));
}

}  // namespace latchkey
