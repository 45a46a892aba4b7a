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
  constexpr std::array<std::string_view, 6> kPassing{
      "postgres.unreachable", "postgres.starting",        "postgres.too_many_connections",
      "postgres.read_only",   "postgres.connection_lost", "postgres.shutting_down"};
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

  template <class Outcome>
  struct Attempt {
    Outcome outcome;
    bool is_final;
  };

  /// Runs `work` once. `mends` says which refused connections are worth waiting for. The connection
  /// is back in the pool when it returns.
  template <class Work, class Mends>
  auto attempt(const Work& work, const Mends& mends)
      -> Attempt<std::invoke_result_t<const Work&, PostgresConnection&>> {
    auto loan = pool.borrow();
    if (!loan) {
      const bool is_final = !mends(loan.error());
      return {std::move(loan).error(), is_final};
    }
    auto outcome = work(loan->connection());
    if (outcome) return {std::move(outcome), true};
    const bool lost = is_lost(outcome.error(), loan->connection());
    if (lost) loan->give_up();
    const bool is_final = !lost && outcome.error().detail != "postgres.serialization";
    return {std::move(outcome), is_final};
  }

  template <class Work, class Mends>
  auto repeat(const Work& work, const Mends& mends) {
    Patience patience(*options.clock, *options.random, options.recovery);
    for (;;) {
      auto [outcome, is_final] = attempt(work, mends);
      if (is_final || !patience.wait()) return std::move(outcome);
      ++repeated;
    }
  }

  PostgresOptions options;
  PostgresPool pool;
  std::atomic<std::uint64_t> repeated = 0;
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
  // Nobody there: rather a wrong address than a restart.
  const auto mends = [](const Error& refusal) {
    return may_pass(refusal) && refusal.detail != "postgres.unreachable";
  };
  if (auto ready = impl->repeat(schema, mends); !ready) return std::move(ready).error();
  return std::make_shared<PostgresDatabase>(std::move(impl));
}

Result<PostgresRows> PostgresDatabase::run(const char* sql, const PostgresValues& values) {
  return impl_->repeat([&](PostgresConnection& connection) { return connection.run(sql, values); },
                       may_pass);
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
