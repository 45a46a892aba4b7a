// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.store.postgres.pool;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.watchdog;

namespace latchkey {
namespace {

// Durable commits, also where a role or database was set up without. A standby is waited for as the
// administrator says: every other value of synchronous_commit stays.
constexpr const char* kDurable = R"(
SELECT current_setting('server_encoding'),
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit')
                    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,
                  false))";

std::string setting(const char* name, std::chrono::milliseconds time) {
  return std::string("SET ") + name + " TO " + std::to_string(time.count()) + "; ";
}

Result<void> set_up(PostgresConnection& connection, const PostgresPoolOptions& options) {
  const auto rows = connection.script(
      "SET client_encoding TO 'UTF8'; SET bytea_output TO 'hex'; " +
      setting("statement_timeout", options.statement_timeout) +
      setting("lock_timeout", options.lock_timeout) +
      setting("idle_in_transaction_session_timeout", options.statement_timeout) + kDurable);
  if (!rows) return rows.error();
  const auto encoding = rows->text(0, 0).value_or("unknown");
  if (encoding == "UTF8") return {};
  return make_error(ErrorCode::invalid_argument, "postgres.encoding",
                    "cannot use the database: its encoding is " + printable(encoding, 40) +
                        ", in which not every text can be kept; create it with ENCODING 'UTF8'");
}

Error pool_exhausted(std::size_t connections) {
  return make_error(ErrorCode::locked, "postgres.pool",
                    "cannot use the database: all " + std::to_string(connections) +
                        " connections of this process are in use; allow more, or try again");
}

}  // namespace

PostgresPool::PostgresPool(SecretString address, const PostgresPoolOptions& options)
    : address_(std::move(address)), options_(options) {}
PostgresPool::~PostgresPool() = default;

PostgresPool::Loan::Loan(PostgresPool& pool, Member member) noexcept
    : pool_(&pool), member_(std::move(member)) {}

PostgresPool::Loan::Loan(Loan&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      member_(std::move(other.member_)),
      is_given_up_(other.is_given_up_) {}

PostgresPool::Loan::~Loan() {
  if (pool_ != nullptr) pool_->take_back(std::move(member_), is_given_up_);
}

void PostgresPool::Loan::give_up() noexcept {
  is_given_up_ = true;
}

std::size_t PostgresPool::limit(PostgresLane lane) const noexcept {
  return options_.max_connections + (lane == PostgresLane::leases ? 1 : 0);
}

Result<PostgresPool::Loan> PostgresPool::borrow(PostgresLane lane) {
  std::uint64_t generation = 0;
  {
    std::unique_lock lock(mutex_);
    const auto is_free = [&] { return places_taken_ - idle_.size() < limit(lane); };
    if (!free_.wait_for(lock, options_.wait, is_free)) return pool_exhausted(limit(lane));
    if (!idle_.empty()) {
      Member member = std::move(idle_.back());
      idle_.pop_back();
      return Loan(*this, std::move(member));
    }
    ++places_taken_;
    generation = generation_;
  }
  auto made = make();
  const std::lock_guard lock(mutex_);
  if (!made) {
    --places_taken_;
    free_.notify_all();  // of two lanes not everybody who waits may go on
    return std::move(made).error();
  }
  ++counts_.connects;
  ++counts_.connections;
  return Loan(*this, Member{*std::move(made), generation});
}

Result<std::unique_ptr<PostgresConnection>> PostgresPool::make() {
  auto connection = PostgresConnection::open(address_);
  if (!connection) return connection;
  (*connection)->be_watched(watchdog_, options_.patience);
  if (auto ready = set_up(**connection, options_); !ready) return std::move(ready).error();
  return connection;
}

// Connections are closed after the lock is free again: that may take a system call or two.
void PostgresPool::take_back(Member member, bool is_given_up) noexcept {
  std::vector<Member> closed;
  {
    const std::lock_guard lock(mutex_);
    const auto round_trips = member.connection->traffic().round_trips;
    counts_.round_trips += round_trips - std::exchange(member.round_trips, round_trips);
    // Only the first of a generation that breaks begins a new one.
    if (is_given_up && member.generation == generation_) ++generation_;
    idle_.push_back(std::move(member));
    const auto useless = std::ranges::partition(idle_, [&](const Member& one) {
      return one.generation == generation_ && one.connection->is_open();
    });
    std::ranges::move(useless, std::back_inserter(closed));
    idle_.erase(useless.begin(), useless.end());
    places_taken_ -= closed.size();
    counts_.connections -= closed.size();
  }
  free_.notify_all();
}

PostgresPoolCounts PostgresPool::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace latchkey
