// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.store.postgres.leases;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.pool;
import latchkey.store.postgres.records;
import latchkey.store.record;

#define LATCHKEY_LEASE_END "clock_timestamp() + $3::BIGINT * INTERVAL '1 millisecond'"

namespace latchkey {
namespace {

constexpr Duration kFirstPause{10};
constexpr Duration kLongestPause{250};
constexpr std::chrono::milliseconds kLongestRetry{500};
// More than anybody waits; what is added to the clock must not overflow.
constexpr std::chrono::hours kLongestWait{24};

// $1: subject, $2: holder, $3: lease time. Writes nothing while another holds it: the INSERT alone
// would lock the row, which is a write, and waiters ask often. What has been taken by an attempt of
// ours whose answer was lost is ours.
constexpr const char* kTake =
    "INSERT INTO latchkey_leases AS held (subject, holder, fence, expires_at) "
    "SELECT $1::TEXT, $2::BIGINT, 1, " LATCHKEY_LEASE_END
    " WHERE NOT EXISTS (SELECT 1 FROM latchkey_leases WHERE subject = $1::TEXT "
    "AND holder <> $2::BIGINT AND expires_at > clock_timestamp()) "
    "ON CONFLICT (subject) DO UPDATE SET holder = EXCLUDED.holder, "
    "fence = CASE WHEN held.holder = EXCLUDED.holder THEN held.fence ELSE held.fence + 1 END, "
    "expires_at = " LATCHKEY_LEASE_END
    " WHERE held.holder = EXCLUDED.holder OR held.expires_at <= clock_timestamp() "
    "RETURNING fence";

// $1: subject, $2: holder, $3: lease time, $4: fence.
constexpr const char* kRenew =
    "UPDATE latchkey_leases SET expires_at = " LATCHKEY_LEASE_END
    " WHERE subject = $1 AND holder = $2::BIGINT AND fence = $4::BIGINT RETURNING fence";

// The same, and $5: id, $6: revision of the claim.
constexpr const char* kRenewClaimed =
    "WITH renewed AS (UPDATE latchkey_leases SET expires_at = " LATCHKEY_LEASE_END
    " WHERE subject = $1 AND holder = $2::BIGINT AND fence = $4::BIGINT RETURNING fence) "
    "SELECT fence FROM renewed WHERE EXISTS (SELECT 1 FROM latchkey_claims AS c "
    "JOIN latchkey_sessions AS s ON s.subject = c.subject WHERE c.subject = $1 "
    "AND c.claim_id = $5::BIGINT AND c.revision = $6::BIGINT AND s.revision = $6::BIGINT)";

// A released row is nobody's, so that a renewal that comes late does not revive it.
constexpr const char* kRelease =
    "UPDATE latchkey_leases SET holder = 0, expires_at = TIMESTAMPTZ '1970-01-01 00:00:00+00' "
    "WHERE subject = $1 AND holder = $2::BIGINT AND fence = $3::BIGINT";

// $1: subject, $2: holder. Of an attempt to take the row that nobody knows the outcome of.
constexpr const char* kGiveUp =
    "UPDATE latchkey_leases SET holder = 0, expires_at = TIMESTAMPTZ '1970-01-01 00:00:00+00' "
    "WHERE subject = $1 AND holder = $2::BIGINT";

using Steady = std::chrono::steady_clock::time_point;

Steady now_here() {
  return std::chrono::steady_clock::now();
}

struct Slot {
  std::optional<LeaseRow> row;  // empty while it is being taken
  Steady renewed{};             // when the last renewal that came through was begun
  std::optional<LeasedClaim> claim;
  bool lost = false;
};

struct Renewal {
  std::string subject;
  LeaseRow row;
  Steady renewed;
};

}  // namespace

struct PostgresLeases::Impl {
  Impl(std::shared_ptr<PostgresDatabase> base, std::chrono::milliseconds time)
      : database(std::move(base)), lease_time(time) {}

  Result<void> enter(const std::string& subject, const LockWait& wait);
  void leave(const std::string& subject);
  Result<LeaseRow> take_row(const std::string& subject, const LockWait& wait);
  Result<std::optional<std::int64_t>> try_row(const std::string& subject, std::uint64_t holder);
  void give_up(const std::string& subject, std::uint64_t holder);
  void hold(const std::string& subject, const LeaseRow& row);
  void release(const std::string& subject, const LeaseRow& row);
  bool check(const std::string& subject, const LeaseRow& row);
  void note_renewed(const std::string& subject, const LeaseRow& row, Steady begun);
  void renew_until(const std::stop_token& stop);
  [[nodiscard]] Steady next_renewal() const;
  std::vector<Renewal> due_renewals() const;
  [[nodiscard]] bool renew_due(const std::stop_token& stop);
  [[nodiscard]] bool renew(const Renewal& renewal);
  PostgresValues renewing(const std::string& subject, const LeaseRow& row) const;

  std::shared_ptr<PostgresDatabase> database;
  std::chrono::milliseconds lease_time;
  mutable std::mutex mutex;
  std::condition_variable_any changed;  // a slot has become free
  std::condition_variable_any due;      // never notified: what the renewing thread waits on
  std::map<std::string, Slot, std::less<>> slots;
  std::jthread renewer;  // last, so that it ends first
};

// Waits until nobody in this process has the subject, and takes its place.
Result<void> PostgresLeases::Impl::enter(const std::string& subject, const LockWait& wait) {
  std::unique_lock lock(mutex);
  const auto is_free = [&] { return !slots.contains(subject); };
  const auto left = wait.deadline - database->clock().steady_now();
  if (!is_free() && left > Duration::zero()) {
    changed.wait_for(lock, wait.stop, std::min<std::chrono::nanoseconds>(left, kLongestWait),
                     is_free);
  }
  if (is_free()) {
    slots.emplace(subject, Slot{});
    return {};
  }
  return wait.stop.stop_requested() ? lease_cancelled(subject) : lease_timeout(subject);
}

void PostgresLeases::Impl::leave(const std::string& subject) {
  {
    const std::lock_guard guard(mutex);
    slots.erase(subject);
  }
  changed.notify_all();
}

// The fence; empty: another one's.
Result<std::optional<std::int64_t>> PostgresLeases::Impl::try_row(const std::string& subject,
                                                                  std::uint64_t holder) {
  const auto rows = database->run(
      kTake, {PostgresValue::text(subject), PostgresValue::integer(postgres_bits(holder)),
              PostgresValue::integer(lease_time.count())});
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<std::int64_t>();
  return rows->integer(0, 0);
}

// Another process's lease is waited for by asking: nothing that PostgreSQL-compatible engines share
// would tell us.
Result<LeaseRow> PostgresLeases::Impl::take_row(const std::string& subject, const LockWait& wait) {
  const std::uint64_t holder = draw_postgres_bits(database->random());
  Clock& clock = database->clock();
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    const auto fence = try_row(subject, holder);
    if (!fence) {
      give_up(subject, holder);
      return fence.error();
    }
    if (*fence) return LeaseRow{.holder = holder, .fence = **fence};
    if (wait.stop.stop_requested()) return lease_cancelled(subject);
    const auto left = std::chrono::ceil<Duration>(wait.deadline - clock.steady_now());
    if (left <= Duration::zero()) return lease_timeout(subject);
    if (!clock.sleep_for(std::min(pause, left), wait.stop)) return lease_cancelled(subject);
  }
}

// The row may have been taken all the same. What fails here ends by itself, when it has run out.
void PostgresLeases::Impl::give_up(const std::string& subject, std::uint64_t holder) {
  static_cast<void>(database
                        ->run_once(kGiveUp, {PostgresValue::text(subject),
                                             PostgresValue::integer(postgres_bits(holder))})
                        .has_value());
}

void PostgresLeases::Impl::hold(const std::string& subject, const LeaseRow& row) {
  const std::lock_guard guard(mutex);
  Slot& slot = slots[subject];
  slot.row = row;
  slot.renewed = now_here();
  if (!renewer.joinable()) {
    renewer = std::jthread([this](const std::stop_token& stop) { renew_until(stop); });
  }
}

// Others in this process need not wait for a database that does not answer.
void PostgresLeases::Impl::release(const std::string& subject, const LeaseRow& row) {
  leave(subject);
  static_cast<void>(database
                        ->run_once(kRelease, {PostgresValue::text(subject),
                                              PostgresValue::integer(postgres_bits(row.holder)),
                                              PostgresValue::integer(row.fence)})
                        .has_value());
}

PostgresValues PostgresLeases::Impl::renewing(const std::string& subject,
                                              const LeaseRow& row) const {
  return {PostgresValue::text(subject), PostgresValue::integer(postgres_bits(row.holder)),
          PostgresValue::integer(lease_time.count()), PostgresValue::integer(row.fence)};
}

bool PostgresLeases::Impl::check(const std::string& subject, const LeaseRow& row) {
  std::optional<LeasedClaim> claim;
  {
    const std::lock_guard guard(mutex);
    const Slot& slot = slots.at(subject);
    if (slot.lost) return false;
    claim = slot.claim;
  }
  PostgresValues values = renewing(subject, row);
  if (claim) {
    values.push_back(PostgresValue::integer(postgres_bits(claim->id)));
    values.push_back(PostgresValue::integer(postgres_bits(claim->revision.value)));
  }
  const Steady begun = now_here();
  const auto rows = database->run(claim ? kRenewClaimed : kRenew, values, PostgresLane::leases);
  if (!rows || rows->size() != 1) return false;
  note_renewed(subject, row, begun);
  return true;
}

// Renewing
// --------------------------------------------------------------------------------------------------------

void PostgresLeases::Impl::note_renewed(const std::string& subject, const LeaseRow& row,
                                        Steady begun) {
  const std::lock_guard guard(mutex);
  const auto slot = slots.find(subject);
  if (slot != slots.end() && slot->second.row == row)
    slot->second.renewed = std::max(slot->second.renewed, begun);
}

// A lease that is taken meanwhile is due no sooner.
Steady PostgresLeases::Impl::next_renewal() const {
  Steady next = now_here() + lease_time / 3;
  for (const auto& [subject, slot] : slots) {
    if (slot.row && !slot.lost) next = std::min(next, slot.renewed + lease_time / 3);
  }
  return next;
}

// Those first that run out first.
std::vector<Renewal> PostgresLeases::Impl::due_renewals() const {
  const Steady last = now_here() - lease_time / 3;
  const std::lock_guard guard(mutex);
  std::vector<Renewal> found;
  for (const auto& [subject, slot] : slots) {
    if (slot.row && !slot.lost && slot.renewed <= last)
      found.push_back({.subject = subject, .row = *slot.row, .renewed = slot.renewed});
  }
  std::ranges::sort(found, {}, &Renewal::renewed);
  return found;
}

// False when the database does not answer: that is no loss yet.
bool PostgresLeases::Impl::renew(const Renewal& renewal) {
  const Steady begun = now_here();
  const auto rows =
      database->run_once(kRenew, renewing(renewal.subject, renewal.row), PostgresLane::leases);
  if (!rows) return false;
  if (rows->size() == 1) {
    note_renewed(renewal.subject, renewal.row, begun);
    return true;
  }
  const std::lock_guard guard(mutex);
  const auto slot = slots.find(renewal.subject);
  if (slot != slots.end() && slot->second.row == renewal.row) slot->second.lost = true;
  return true;
}

// One whose row is locked keeps the others waiting, but not from their turn.
bool PostgresLeases::Impl::renew_due(const std::stop_token& stop) {
  bool answered = true;
  for (const Renewal& renewal : due_renewals()) {
    if (stop.stop_requested()) break;
    answered = renew(renewal) && answered;
  }
  return answered;
}

void PostgresLeases::Impl::renew_until(const std::stop_token& stop) {
  const auto retry = std::min(lease_time / 12, kLongestRetry);
  for (bool answered = true; !stop.stop_requested(); answered = renew_due(stop)) {
    std::unique_lock lock(mutex);
    due.wait_until(lock, stop, answered ? next_renewal() : now_here() + retry,
                   [] { return false; });
  }
}

class PostgresLeases::Held final : public Lease {
 public:
  Held(std::shared_ptr<PostgresLeases> leases, std::string subject, const LeaseRow& row)
      : leases_(std::move(leases)), subject_(std::move(subject)), row_(row) {
    leases_->impl_->hold(subject_, row_);
  }
  ~Held() override { leases_->impl_->release(subject_, row_); }
  bool still_held() override { return leases_->impl_->check(subject_, row_); }
  bool can_expire() const noexcept override { return true; }

 private:
  std::shared_ptr<PostgresLeases> leases_;
  std::string subject_;
  LeaseRow row_;
};

PostgresLeases::PostgresLeases(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresLeases::~PostgresLeases() = default;

std::shared_ptr<PostgresLeases> PostgresLeases::make(std::shared_ptr<PostgresDatabase> database,
                                                     std::chrono::milliseconds lease_time) {
  return std::make_shared<PostgresLeases>(std::make_unique<Impl>(std::move(database), lease_time));
}

Result<std::unique_ptr<Lease>> PostgresLeases::take(std::string_view subject,
                                                    const LockWait& wait) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const std::string name(subject);
  if (auto entered = impl_->enter(name, wait); !entered) return std::move(entered).error();
  auto row = impl_->take_row(name, wait);
  if (!row) {
    impl_->leave(name);
    return std::move(row).error();
  }
  return std::unique_ptr<Lease>(std::make_unique<Held>(shared_from_this(), name, *row));
}

std::optional<LeaseRow> PostgresLeases::held(std::string_view subject) const {
  const std::lock_guard guard(impl_->mutex);
  const auto slot = impl_->slots.find(subject);
  return slot == impl_->slots.end() ? std::nullopt : slot->second.row;
}

std::chrono::milliseconds PostgresLeases::lease_time() const noexcept {
  return impl_->lease_time;
}

void PostgresLeases::note_claim(std::string_view subject, const LeasedClaim& claim) {
  const std::lock_guard guard(impl_->mutex);
  const auto slot = impl_->slots.find(subject);
  if (slot != impl_->slots.end()) slot->second.claim = claim;
}

void PostgresLeases::end_claim(std::string_view subject, std::optional<std::uint64_t> id) {
  const std::lock_guard guard(impl_->mutex);
  const auto slot = impl_->slots.find(subject);
  if (slot == impl_->slots.end() || !slot->second.claim) return;
  if (!id || slot->second.claim->id == *id) slot->second.claim.reset();
}

}  // namespace latchkey
