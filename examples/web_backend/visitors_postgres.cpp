// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.examples.web_backend.visitors_postgres;
import latchkey.core;
import latchkey.examples.web_backend.visitors;

namespace web_backend {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kRecovery{15};
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{1000};

constexpr const char* kTable =
    "CREATE TABLE IF NOT EXISTS web_visitors (digest TEXT PRIMARY KEY, did TEXT NOT NULL,"
    " handle TEXT NOT NULL, until TIMESTAMPTZ NOT NULL)";
constexpr const char* kByAccount =
    "CREATE INDEX IF NOT EXISTS web_visitors_by_did ON web_visitors (did)";
// Times are the database's: the machines' clocks may differ.
constexpr const char* kAdd =
    "INSERT INTO web_visitors (digest, did, handle, until)"
    " VALUES ($1, $2, $3, now() + $4 * INTERVAL '1 hour') ON CONFLICT (digest) DO NOTHING";
constexpr const char* kLookUp =
    "SELECT did, handle FROM web_visitors WHERE digest = $1 AND until > now()";
constexpr const char* kRemove = "DELETE FROM web_visitors WHERE digest = $1";
constexpr const char* kRemoveAccount = "DELETE FROM web_visitors WHERE did = $1";
constexpr const char* kSweep = "DELETE FROM web_visitors WHERE until <= now()";

std::unique_ptr<pqxx::connection> connect(const latchkey::SecretString& address) {
  auto connection = std::make_unique<pqxx::connection>(std::string(address.expose()));
  pqxx::nontransaction(*connection)
      .exec("SET statement_timeout = '10s'; SET client_min_messages = warning");
// libpqxx would reconnect by itself, without the setting above.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
  connection->inhibit_reactivation(true);
#pragma clang diagnostic pop
  return connection;
}

}  // namespace

// As many connections as statements run at once; those that are not in use are kept.
class PostgresVisitors::Connections {
 public:
  explicit Connections(latchkey::SecretString address) : address_(std::move(address)) {}

  // Every statement here may be run again after it was carried out: it is, when the connection
  // breaks before the answer is there.
  pqxx::result run(const char* sql, const std::vector<std::string>& values = {}) {
    const auto last = steady_clock::now() + kRecovery;
    for (milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
      if (auto result = attempt(sql, values, steady_clock::now() < last)) return *result;
      std::this_thread::sleep_for(pause);
    }
  }

 private:
  // Empty if it can be tried again.
  std::optional<pqxx::result> attempt(const char* sql, const std::vector<std::string>& values,
                                      bool can_wait) {
    std::unique_ptr<pqxx::connection> connection;
    try {
      connection = take();
      auto result = pqxx::nontransaction(*connection)
                        .exec_params(sql, pqxx::prepare::make_dynamic_params(values));
      give_back(std::move(connection));
      return result;
    } catch (const pqxx::failure&) {
      const bool is_lost = !connection || !connection->is_open();
      if (!is_lost || !can_wait) throw;
    }
    // What was connected before is lost too.
    const std::lock_guard lock(mutex_);
    idle_.clear();
    return std::nullopt;
  }

  std::unique_ptr<pqxx::connection> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
      }
    }
    return connect(address_);
  }

  void give_back(std::unique_ptr<pqxx::connection> connection) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
  }

  latchkey::SecretString address_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<pqxx::connection>> idle_;
};

PostgresVisitors::PostgresVisitors(latchkey::SecretString address)
    : connections_(std::make_unique<Connections>(std::move(address))) {
  for (const char* sql : {kTable, kByAccount}) {
    try {
      connections_->run(sql);
    } catch (const pqxx::sql_error&) {
      // IF NOT EXISTS looks before it makes: of two processes that start at once one may fail here,
      // and finds it made now.
      connections_->run(sql);
    }
  }
}

PostgresVisitors::~PostgresVisitors() = default;

void PostgresVisitors::add(const std::string& digest, const Visitor& visitor) {
  connections_->run(kAdd,
                    {digest, visitor.did, visitor.handle, std::to_string(kVisitLifetime.count())});
}

std::optional<Visitor> PostgresVisitors::look_up(const std::string& digest) {
  const auto rows = connections_->run(kLookUp, {digest});
  if (rows.empty()) return std::nullopt;
  return Visitor{.did = rows[0][0].c_str(), .handle = rows[0][1].c_str()};
}

void PostgresVisitors::remove(const std::string& digest) {
  connections_->run(kRemove, {digest});
}

void PostgresVisitors::forget_account(std::string_view did) {
  connections_->run(kRemoveAccount, {std::string(did)});
}

void PostgresVisitors::sweep() {
  connections_->run(kSweep);
}

}  // namespace web_backend
