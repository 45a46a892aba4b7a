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
import latchkey.store.postgres.records;
import latchkey.store.record;

#define LATCHKEY_LEASE_END "clock_timestamp() + $3::BIGINT * INTERVAL '1 millisecond'"

namespace latchkey {
namespace {

constexpr Duration kFirstPause{10};
constexpr Duration kLongestPause{250};
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

struct Slot {
  std::optional<LeaseRow> row;  // empty while it is being taken
  std::optional<LeasedClaim> claim;
  bool lost = false;
};

struct Renewal {
  std::string subject;
  LeaseRow row;
};

}  // namespace

struct PostgresLeases::Impl {
  Impl(std::shared_ptr<PostgresDatabase> base, std::chrono::milliseconds time)
      : database(std::move(base)), lease_time(time) {}

  Result<void> enter(const std::string& subject, const LockWait& wait);
  void leave(const std::string& subject);
  Result<LeaseRow> take_row(const std::string& subject, const LockWait& wait);
  Result<std::optional<std::int64_t>> try_row(const std::string& subject, std::uint64_t holder);
  void hold(const std::string& subject, const LeaseRow& row);
  void release(const std::string& subject, const LeaseRow& row);
  bool check(const std::string& subject, const LeaseRow& row);
  void renew_until(const std::stop_token& stop);
  std::vector<Renewal> renewals();
  void renew(const Renewal& renewal);
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
    if (!fence) return fence.error();
    if (*fence) return LeaseRow{.holder = holder, .fence = **fence};
    if (wait.stop.stop_requested()) return lease_cancelled(subject);
    const auto left = std::chrono::ceil<Duration>(wait.deadline - clock.steady_now());
    if (left <= Duration::zero()) return lease_timeout(subject);
    if (!clock.sleep_for(std::min(pause, left), wait.stop)) return lease_cancelled(subject);
  }
}

void PostgresLeases::Impl::hold(const std::string& subject, const LeaseRow& row) {
  const std::lock_guard guard(mutex);
  slots[subject].row = row;
  if (!renewer.joinable()) {
    renewer = std::jthread([this](const std::stop_token& stop) { renew_until(stop); });
  }
}

// What fails here ends by itself, when the row has run out.
void PostgresLeases::Impl::release(const std::string& subject, const LeaseRow& row) {
  static_cast<void>(database
                        ->run(kRelease, {PostgresValue::text(subject),
                                         PostgresValue::integer(postgres_bits(row.holder)),
                                         PostgresValue::integer(row.fence)})
                        .has_value());
  leave(subject);
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
  const auto rows = database->run(claim ? kRenewClaimed : kRenew, values);
  return rows && rows->size() == 1;
}

// Renewing
// --------------------------------------------------------------------------------------------------------

std::vector<Renewal> PostgresLeases::Impl::renewals() {
  const std::lock_guard guard(mutex);
  std::vector<Renewal> found;
  for (const auto& [subject, slot] : slots) {
    if (slot.row && !slot.lost) found.push_back({subject, *slot.row});
  }
  return found;
}

void PostgresLeases::Impl::renew(const Renewal& renewal) {
  const auto rows = database->run(kRenew, renewing(renewal.subject, renewal.row));
  // Not knowing is no loss: the next renewal, or still_held(), will see.
  if (!rows || rows->size() == 1) return;
  const std::lock_guard guard(mutex);
  const auto slot = slots.find(renewal.subject);
  if (slot != slots.end() && slot->second.row == renewal.row) slot->second.lost = true;
}

void PostgresLeases::Impl::renew_until(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      due.wait_for(lock, stop, lease_time / 3, [] { return false; });
    }
    for (const Renewal& renewal : renewals()) {
      if (stop.stop_requested()) return;
      renew(renewal);
    }
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

void PostgresLeases::note_claim(std::string_view subject, std::optional<LeasedClaim> claim) {
  const std::lock_guard guard(impl_->mutex);
  const auto slot = impl_->slots.find(subject);
  if (slot != impl_->slots.end()) slot->second.claim = claim;
}

}  // namespace latchkey
