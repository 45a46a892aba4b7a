// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.postgres;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.postgres.aside;
import latchkey.store.postgres.claims;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.database;
import latchkey.store.postgres.leases;
import latchkey.store.postgres.pending;
import latchkey.store.postgres.records;
import latchkey.store.postgres.sweep;
import latchkey.store.postgres.vault;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::size_t kCounters = 1024;
// Expired logins are dropped on the way by at most one save a minute in each process.
constexpr std::chrono::minutes kBetweenDrops{1};
constexpr std::chrono::milliseconds kShortestLease{100};

// $1: key, $2: origin.
constexpr const char* kLoadNonce =
    "SELECT nonce FROM latchkey_nonces WHERE jkt = $1 AND origin = $2";
// And $3: nonce, $4: now. Nothing is written for a nonce that is there.
constexpr const char* kSaveNonce =
    "INSERT INTO latchkey_nonces AS n (jkt, origin, nonce, saved_at) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (jkt, origin) DO UPDATE SET nonce = EXCLUDED.nonce, saved_at = EXCLUDED.saved_at "
    "WHERE n.nonce <> EXCLUDED.nonce";

enum class KeysAre { elsewhere, beside };

// By how much a cached session may be behind: own changes count at once, those of others, which
// nobody announces, when a span of time is over. The spans of different subjects begin at different
// moments, so that not all are read again at once.
class ChangeCounts {
 public:
  ChangeCounts(std::shared_ptr<PostgresDatabase> database, std::chrono::milliseconds span)
      : database_(std::move(database)), span_(span) {}

  void announce(std::string_view subject) noexcept {
    own_[slot(subject)].fetch_add(1, std::memory_order_acq_rel);
  }
  [[nodiscard]] std::uint64_t of(std::string_view subject) const noexcept {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
        database_->clock().steady_now().time_since_epoch());
    const auto shift = static_cast<std::int64_t>(hash(subject) % 65'536) % span_.count();
    return own_[slot(subject)].load(std::memory_order_acquire) +
           static_cast<std::uint64_t>((passed.count() + shift) / span_.count());
  }

 private:
  static std::size_t hash(std::string_view subject) noexcept {
    return std::hash<std::string_view>{}(subject);
  }
  static std::size_t slot(std::string_view subject) noexcept { return hash(subject) % kCounters; }

  std::shared_ptr<PostgresDatabase> database_;
  std::chrono::milliseconds span_;
  std::array<std::atomic<std::uint64_t>, kCounters> own_{};
};

class PostgresStore final : public OAuthTokenStore {
 public:
  PostgresStore(std::shared_ptr<PostgresDatabase> database, std::shared_ptr<Sealer> sealer,
                KeysAre keys, const PostgresStoreOptions& options)
      : OAuthTokenStore(std::move(sealer)),
        database_(std::move(database)),
        keys_(keys),
        leases_(PostgresLeases::make(database_, options.lease_time)),
        changes_(database_, options.staleness) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override;

  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    return leases_->take(subject, wait);
  }
  // The room is the server's, and there is no way to keep some of it.
  Result<void> reserve_room(std::string_view subject, std::size_t) override {
    return check_subject(subject);
  }
  void release_room(std::string_view) noexcept override {}

  Result<void> save_claim(const RefreshClaim& claim) override {
    return save_postgres_claim(*database_, *leases_, claim);
  }
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override {
    return load_postgres_claim(*database_, subject);
  }
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;

  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override;
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    return take_postgres_pending(*database_, key, now);
  }

  Result<SideRecords> side_records() override;
  Result<Swept> sweep(TimePoint now) override;
  Result<Quarantined> quarantine(std::string_view name) override;
  Result<std::vector<Quarantined>> quarantined() override {
    return quarantined_postgres_records(*database_);
  }
  std::uint64_t change_count(std::string_view subject) const noexcept override {
    return changes_.of(subject);
  }

 private:
  struct Look {
    std::optional<Revision> stored;
    bool has_key = false;
  };
  Result<Look> look(std::string_view subject, std::string_view jkt);
  Result<void> explain_unsaved(const SealedRecord& record, Revision expected);
  Result<void> put(const SealedRecord& record, Revision expected);
  Result<void> take_out(std::string_view subject, Revision expected);
  [[nodiscard]] bool is_drop_due();

  std::shared_ptr<PostgresDatabase> database_;
  KeysAre keys_;
  std::shared_ptr<PostgresLeases> leases_;
  ChangeCounts changes_;
  std::atomic<std::chrono::steady_clock::rep> next_drop_{0};
};

Error key_missing(std::string_view subject) {
  return make_error(ErrorCode::key_missing, "vault.key_missing",
                    "cannot save the session of " + printable(subject, 100) +
                        ": its key is not in the vault of this database; log in again");
}

// How many rows a statement of the store's says it has changed.
std::int64_t count_in(const PostgresRows& rows) {
  return rows.integer(0, 0).value_or(0);
}

// Records
// ---------------------------------------------------------------------------------------------------------

Result<std::optional<SealedRecord>> PostgresStore::load_record(std::string_view subject) {
  if (auto fine = check_subject(subject); !fine) return std::move(fine).error();
  const auto rows = database_->run(kPostgresSelect, {PostgresValue::text(subject)});
  if (!rows) return rows.error();
  if (rows->size() == 0) return std::optional<SealedRecord>();
  auto record = read_postgres_record(*rows, 0);
  if (!record) return std::move(record).error();
  return std::optional<SealedRecord>(*std::move(record));
}

Result<PostgresStore::Look> PostgresStore::look(std::string_view subject, std::string_view jkt) {
  const auto rows =
      database_->run(kPostgresLook, {PostgresValue::text(subject), PostgresValue::text(jkt)});
  if (!rows) return rows.error();
  Look seen{.stored = {}, .has_key = rows->integer(0, 1).value_or(0) > 0};
  if (const auto revision = rows->integer(0, 0))
    seen.stored = Revision{static_cast<std::uint64_t>(*revision)};
  return seen;
}

Result<void> PostgresStore::save_record(const SealedRecord& record, Revision expected) {
  if (auto fine = check_record(record); !fine) return fine;
  const auto saved = put(record, expected);
  // After a failure it may be there all the same.
  changes_.announce(record.summary.subject);
  if (saved) leases_->end_claim(record.summary.subject);
  return saved;
}

Result<void> PostgresStore::put(const SealedRecord& record, Revision expected) {
  PostgresValues values = postgres_values(record);
  values.push_back(keys_ == KeysAre::beside
                       ? PostgresValue::integer(postgres_time(database_->clock().now()))
                       : PostgresValue::null());
  if (!expected.is_none()) values.push_back(PostgresValue::integer(postgres_bits(expected.value)));
  const auto rows = database_->run(expected.is_none() ? kPostgresInsert : kPostgresUpdate, values);
  if (!rows) return rows.error();
  return count_in(*rows) == 1 ? Result<void>() : explain_unsaved(record, expected);
}

// The compare lies in the statement that swaps. What is stored matters only when it did not: our
// own revision is an attempt whose answer was lost.
Result<void> PostgresStore::explain_unsaved(const SealedRecord& record, Revision expected) {
  const auto& summary = record.summary;
  const auto seen = look(summary.subject, summary.dpop_jkt);
  if (!seen) return seen.error();
  switch (judge_save(seen->stored, expected, summary.revision)) {
    case SaveVerdict::already_saved:
      return {};
    case SaveVerdict::write:
      if (keys_ == KeysAre::beside && !summary.dpop_jkt.empty() && !seen->has_key)
        return key_missing(summary.subject);
      break;  // as expected again by now, and another record when it was compared
    case SaveVerdict::conflict:
      break;
  }
  return save_conflict(summary.subject);
}

Result<void> PostgresStore::remove(std::string_view subject, Revision expected) {
  if (auto fine = check_subject(subject); !fine) return fine;
  const auto removed = take_out(subject, expected);
  changes_.announce(subject);
  if (removed) leases_->end_claim(subject);
  return removed;
}

Result<void> PostgresStore::take_out(std::string_view subject, Revision expected) {
  const auto rows = database_->run(
      kPostgresRemove,
      {PostgresValue::text(subject), PostgresValue::integer(postgres_bits(expected.value)),
       PostgresValue::integer(std::int64_t{keys_ == KeysAre::beside})});
  if (!rows) return rows.error();
  if (count_in(*rows) == 1) return {};
  const auto seen = look(subject, "");
  if (!seen) return seen.error();
  if (seen->stored) return remove_conflict(subject);
  return {};
}

Result<SessionPage> PostgresStore::list(std::string_view cursor, std::size_t limit) {
  if (auto fine = check_list_limit(limit); !fine) return std::move(fine).error();
  const auto after = read_cursor(cursor);
  if (!after) return after.error();
  if (!is_utf8(*after) || after->find('\0') != std::string::npos) return cursor_error();
  const auto rows = database_->run(
      kPostgresList,
      {PostgresValue::text(*after), PostgresValue::integer(static_cast<std::int64_t>(limit + 1))});
  if (!rows) return rows.error();
  SessionPage page;
  page.sessions.reserve(std::min(limit, rows->size()));
  for (std::size_t row = 0; row < rows->size() && row < limit; ++row)
    page.sessions.push_back(read_postgres_listed(*rows, row));
  if (rows->size() > limit) page.next = make_cursor(rows->text(limit - 1, 0).value_or(""));
  return page;
}

Result<void> PostgresStore::clear_claim(std::string_view subject, std::uint64_t id) {
  const auto cleared = clear_postgres_claim(*database_, subject, id);
  if (cleared) leases_->end_claim(subject, id);
  return cleared;
}

// Nonces and pending logins
// -----------------------------------------------------------------------------------

std::optional<std::string> PostgresStore::load_nonce(std::string_view origin,
                                                     std::string_view jkt) {
  const auto rows =
      database_->run_once(kLoadNonce, {PostgresValue::text(jkt), PostgresValue::text(origin)});
  if (!rows || rows->size() == 0) return std::nullopt;
  return std::string(rows->text(0, 0).value_or(""));
}

void PostgresStore::save_nonce(std::string_view origin, std::string_view jkt,
                               std::string_view nonce) {
  static_cast<void>(
      database_
          ->run_once(kSaveNonce, {PostgresValue::text(jkt), PostgresValue::text(origin),
                                  PostgresValue::text(nonce),
                                  PostgresValue::integer(postgres_time(database_->clock().now()))})
          .has_value());
}

bool PostgresStore::is_drop_due() {
  const auto now = database_->clock().steady_now().time_since_epoch();
  auto next = next_drop_.load();
  return now.count() >= next &&
         next_drop_.compare_exchange_strong(
             next, std::chrono::steady_clock::duration(now + kBetweenDrops).count());
}

Result<void> PostgresStore::save_pending(const PendingRecord& pending, TimePoint now) {
  auto saved = save_postgres_pending(*database_, pending, now);
  // What fails here is a later one's work, or a sweep's.
  if (saved && is_drop_due()) static_cast<void>(drop_postgres_pending(*database_, now).has_value());
  return saved;
}

// What lies beside, and aside
// ------------------------------------------------------------------------------------------

Result<SideRecords> PostgresStore::side_records() {
  auto claims = list_postgres_claims(*database_);
  if (!claims) return std::move(claims).error();
  auto pending = list_postgres_pending(*database_);
  if (!pending) return std::move(pending).error();
  return SideRecords{.claims = *std::move(claims), .pending = *std::move(pending)};
}

Result<Swept> PostgresStore::sweep(TimePoint now) {
  auto swept = sweep_postgres(*database_, now);
  if (!swept || keys_ == KeysAre::elsewhere) return swept;
  const auto keys = sweep_postgres_keys(*database_, now);
  if (!keys) return keys.error();
  swept->keys = *keys;
  return swept;
}

Result<Quarantined> PostgresStore::quarantine(std::string_view name) {
  auto entry = quarantine_postgres_record(
      *database_, name, [this](const SealedRecord& record) { return check_readable(record); });
  changes_.announce(name);
  return entry;
}

Result<void> check_options(const PostgresStoreOptions& options) {
  if (options.lease_time < kShortestLease) {
    return make_error(ErrorCode::invalid_argument, "postgres.lease_time",
                      "cannot open the store: a lease of less than " +
                          std::to_string(kShortestLease.count()) +
                          " ms runs out while it is renewed; choose a longer one");
  }
  if (options.staleness > Duration::zero()) return {};
  return make_error(ErrorCode::invalid_argument, "postgres.staleness",
                    "cannot open the store: a session that others may change can't be cached for "
                    "no time at all; choose a staleness above 0");
}

Result<std::shared_ptr<OAuthTokenStore>> open_store(std::shared_ptr<PostgresDatabase> database,
                                                    std::shared_ptr<Sealer> sealer, KeysAre keys,
                                                    const PostgresStoreOptions& options) {
  if (auto fine = check_options(options); !fine) return std::move(fine).error();
  return std::shared_ptr<OAuthTokenStore>(
      std::make_shared<PostgresStore>(std::move(database), std::move(sealer), keys, options));
}

}  // namespace

Result<std::shared_ptr<OAuthTokenStore>> PostgresOAuthTokenStore::open(
    std::shared_ptr<PostgresDatabase> database, std::shared_ptr<Sealer> sealer,
    PostgresStoreOptions options) {
  return open_store(std::move(database), std::move(sealer), KeysAre::elsewhere, options);
}

Result<std::shared_ptr<OAuthTokenStore>> PostgresOAuthTokenStore::open(
    std::shared_ptr<PostgresDatabase> database, const std::shared_ptr<PostgresKeyVault>& vault,
    PostgresStoreOptions options) {
  return open_store(std::move(database), vault->sealer(), KeysAre::beside, options);
}

}  // namespace latchkey
