// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>
module latchkey.store.postgres.database;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.address;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.pool;
import latchkey.store.postgres.schema;
import latchkey.store.postgres.transaction;

namespace latchkey {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock::time_point;

constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{1'000};
constexpr milliseconds kVainTime{1'000};
constexpr milliseconds kGrace{1'000};  // for the server's own timeout to reach us first

/// The pauses of one call that goes on trying.
class Patience {
 public:
  Patience(Clock& clock, Random& random, milliseconds time)
      : clock_(clock), random_(random), time_(time) {}

  /// Waits for the next attempt; false when there is no time left for one.
  [[nodiscard]] bool wait() {
    const Steady now = clock_.steady_now();
    if (!deadline_) deadline_ = now + time_;
    if (now + pause_ > *deadline_) return false;
    clock_.sleep_for(jittered(pause_), std::stop_token());
    pause_ = std::min(pause_ * 2, kLongestPause);
    return true;
  }

 private:
  // Half of it to all of it, so that many who were stopped at once do not come back at once.
  [[nodiscard]] milliseconds jittered(milliseconds pause) {
    std::array<unsigned char, 2> bytes{};
    random_.fill(bytes);
    const int share = bytes[0] * 256 + bytes[1];
    return pause / 2 + pause / 2 * share / 65'535;
  }

  Clock& clock_;
  Random& random_;
  const milliseconds time_;
  milliseconds pause_ = kFirstPause;
  std::optional<Steady> deadline_;
};

template <std::size_t size>
bool is_one_of(const Error& error, const std::array<std::string_view, size>& details) {
  return std::ranges::find(details, error.detail) != details.end();
}

// With any of these another connection may do better. A connection to a server that has become a
// standby is as good as lost.
bool is_lost(const Error& error, const PostgresConnection& connection) {
  constexpr std::array<std::string_view, 4> kLost{"postgres.connection_lost",
                                                  "postgres.shutting_down", "postgres.read_only",
                                                  "postgres.session_lost"};
  return !connection.is_open() || is_one_of(error, kLost);
}

bool may_pass(const Error& refusal) {
  constexpr std::array<std::string_view, 7> kPassing{
      "postgres.unreachable",    "postgres.starting",        "postgres.too_many_connections",
      "postgres.read_only",      "postgres.connection_lost", "postgres.shutting_down",
      "postgres.refused_unclear"};
  return is_one_of(refusal, kPassing);
}

PostgresOptions with_defaults(PostgresOptions options) {
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  return options;
}

PostgresPoolOptions pool_options(const PostgresOptions& options) {
  return {.max_connections = std::max<std::size_t>(options.max_connections, 1),
          .wait = options.pool_wait,
          .statement_timeout = options.statement_timeout,
          .lock_timeout = options.lock_timeout,
          .patience = options.statement_timeout + kGrace};
}

}  // namespace

struct PostgresDatabase::Impl {
  Impl(SecretString address, PostgresOptions all)
      : options(std::move(all)), pool(std::move(address), pool_options(options)) {}

  enum class Next {
    done,
    again_when_asked,      // the server asks for it
    again_when_reachable,  // there was no server that could say anything
  };
  template <class Outcome>
  struct Attempt {
    Outcome outcome;
    Next next;
  };

  /// Runs `work` once. `mends` says which refused connections are worth waiting for. The connection
  /// is back in the pool when it returns.
  template <class Work, class Mends>
  auto attempt(const Work& work, const Mends& mends, PostgresLane lane)
      -> Attempt<std::invoke_result_t<const Work&, PostgresConnection&>> {
    auto loan = pool.borrow(lane);
    if (!loan) {
      const auto next = mends(loan.error()) ? Next::again_when_reachable : Next::done;
      return {std::move(loan).error(), next};
    }
    auto outcome = work(loan->connection());
    if (outcome) return {std::move(outcome), Next::done};
    if (is_lost(outcome.error(), loan->connection())) {
      loan->give_up();
      return {std::move(outcome), Next::again_when_reachable};
    }
    const bool asks = outcome.error().detail == "postgres.serialization";
    return {std::move(outcome), asks ? Next::again_when_asked : Next::done};
  }

  template <class Work, class Mends>
  auto repeat(const Work& work, const Mends& mends, PostgresLane lane = PostgresLane::shared) {
    Patience patience(*options.clock, *options.random, options.recovery);
    const bool is_vain = was_vain();
    for (;;) {
      auto [outcome, next] = attempt(work, mends, lane);
      const bool is_gone = next == Next::again_when_reachable;
      if (outcome) vain_until = Steady::min();
      if (next == Next::done || (is_gone && is_vain)) return std::move(outcome);
      if (!patience.wait()) {
        if (is_gone) vain_until = options.clock->steady_now() + kVainTime;
        return std::move(outcome);
      }
      ++repeated;
    }
  }

  /// Has the time for recovery just been spent in vain?
  [[nodiscard]] bool was_vain() const { return options.clock->steady_now() < vain_until.load(); }

  PostgresOptions options;
  PostgresPool pool;
  std::atomic<std::uint64_t> repeated = 0;
  std::atomic<Steady> vain_until{Steady::min()};
};

PostgresDatabase::PostgresDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresDatabase::~PostgresDatabase() = default;

Result<std::shared_ptr<PostgresDatabase>> PostgresDatabase::open(SecretString address,
                                                                 PostgresOptions options) {
  auto complete =
      complete_postgres_address(address, {.connect_timeout = options.connect_timeout,
                                          .answer_timeout = options.statement_timeout + kGrace});
  if (!complete) return std::move(complete).error();
  auto impl = std::make_unique<Impl>(*std::move(complete), with_defaults(std::move(options)));
  const auto schema = impl->options.migrate ? migrate_postgres : check_postgres_schema;
  // Nobody there: rather a wrong address than a restart. Of an unclear refusal, too, waiting makes
  // sense only where a connection was given before.
  const auto mends = [](const Error& refusal) {
    return may_pass(refusal) && refusal.detail != "postgres.unreachable" &&
           refusal.detail != "postgres.refused_unclear";
  };
  if (auto ready = impl->repeat(schema, mends); !ready) return std::move(ready).error();
  return std::make_shared<PostgresDatabase>(std::move(impl));
}

Result<PostgresRows> PostgresDatabase::run(const char* sql, const PostgresValues& values,
                                           PostgresLane lane) {
  return impl_->repeat([&](PostgresConnection& connection) { return connection.run(sql, values); },
                       may_pass, lane);
}

Result<PostgresRows> PostgresDatabase::run_once(const char* sql, const PostgresValues& values,
                                                PostgresLane lane) {
  return impl_
      ->attempt([&](PostgresConnection& connection) { return connection.run(sql, values); },
                may_pass, lane)
      .outcome;
}

Result<void> PostgresDatabase::transaction(const PostgresWork& work) {
  return impl_->repeat(
      [&](PostgresConnection& connection) { return PostgresTransaction(connection).run(work); },
      may_pass);
}

PostgresCounts PostgresDatabase::counts() const noexcept {
  const auto pool = impl_->pool.counts();
  return {.connections = pool.connections,
          .statements = pool.round_trips,
          .connects = pool.connects,
          .repeated = impl_->repeated};
}

const PostgresOptions& PostgresDatabase::options() const noexcept {
  return impl_->options;
}

Clock& PostgresDatabase::clock() const noexcept {
  return *impl_->options.clock;
}

Random& PostgresDatabase::random() const noexcept {
  return *impl_->options.random;
}

}  // namespace latchkey
