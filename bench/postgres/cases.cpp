// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
module latchkey.bench.postgres.cases;
import latchkey.bench.postgres.bare;
import latchkey.bench.postgres.filling;
import latchkey.bench.postgres.rounds;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.vault;

namespace latchkey::bench {
namespace {

constexpr std::size_t kPage = 100;
constexpr std::size_t kLargePage = 1'000;
constexpr int kCalls = 10;

#define LATCHKEY_SUMMARY                                                                \
  "subject, revision, issuer, resource_server, token_endpoint, revocation_endpoint, "   \
  "par_endpoint, client_id, client_auth_method, client_auth_kid, redirect_uri, scope, " \
  "token_type, dpop_jkt, handle, issued_at, expires_at, refresh_expires_at, "           \
  "session_started_at, login_id, state, state_cause, state_changed_at"

constexpr const char* kLoad =
    "SELECT " LATCHKEY_SUMMARY ", box FROM latchkey_sessions WHERE subject = $1";
constexpr const char* kSave =
    "UPDATE latchkey_sessions SET revision = $2, issued_at = $3, expires_at = $4, box = $5 "
    "WHERE subject = $1 AND revision = $6";
constexpr const char* kList = "SELECT " LATCHKEY_SUMMARY
                              " FROM latchkey_sessions WHERE subject > $1 ORDER BY subject "
                              "LIMIT 100";
constexpr const char* kTake =
    "INSERT INTO latchkey_leases AS held (subject, holder, fence, expires_at) "
    "VALUES ($1, 2, 1, clock_timestamp() + INTERVAL '20 seconds') ON CONFLICT (subject) DO UPDATE "
    "SET holder = 2, fence = held.fence + 1, expires_at = EXCLUDED.expires_at "
    "WHERE held.expires_at <= clock_timestamp() RETURNING fence";
constexpr const char* kRelease =
    "UPDATE latchkey_leases SET expires_at = clock_timestamp() WHERE subject = $1 AND holder = 2";
// Another holder's, which has run out.
constexpr const char* kAbandon =
    "INSERT INTO latchkey_leases VALUES ($1, 1, 1, clock_timestamp() - INTERVAL '1 second') "
    "ON CONFLICT (subject) DO UPDATE SET holder = 1, expires_at = EXCLUDED.expires_at";
constexpr const char* kRevision = "SELECT revision FROM latchkey_sessions WHERE subject = $1";
constexpr const char* kBox = "SELECT box FROM latchkey_sessions WHERE subject = $1";

}  // namespace

const std::vector<std::string>& operations() {
  static const std::vector<std::string> names{"load", "save", "list", "lease", "take_over"};
  return names;
}

struct Side::Impl {
  Impl(const std::string& label, const std::string& address, std::size_t rows);
  void add_store_cases(const std::string& label);
  void add_bare_cases(const std::string& label);

  // The bare cases write boxes that do not fit their sessions, and so have sessions of their own.
  [[nodiscard]] std::uint64_t even_number() { return random() % (count / 2) * 2; }
  void choose_for_store() { subject = subject_of(even_number()); }
  void choose_for_bare() { subject = subject_of(even_number() + 1); }
  void take_lease();

  std::size_t count;
  std::mt19937_64 random{1};
  std::shared_ptr<Sealer> sealer = memory_vault()->sealer();
  std::shared_ptr<PostgresDatabase> database;
  std::shared_ptr<OAuthTokenStore> store;
  Bare bare;
  std::vector<Case> cases;

  // What the call at hand needs.
  std::string subject, revision, box;
  OAuthSession session;
  Revision before;
  std::unique_ptr<Lease> lease;
};

Side::Impl::Impl(const std::string& label, const std::string& address, std::size_t rows)
    : count(rows),
      database(PostgresDatabase::open(SecretString(address)).value()),
      store(PostgresOAuthTokenStore::open(database, sealer).value()),
      bare(address) {
  fill(bare, *sealer, rows);
  bare.script("VACUUM ANALYZE latchkey_sessions");
  for (const auto& [name, sql] : {std::pair("load", kLoad),
                                  {"save", kSave},
                                  {"list", kList},
                                  {"take", kTake},
                                  {"release", kRelease},
                                  {"abandon", kAbandon},
                                  {"revision", kRevision},
                                  {"box", kBox}}) {
    bare.prepare(name, sql);
  }
  box = bare.run("box", {subject_of(1)});
  add_store_cases(label);
  add_bare_cases(label);
}

void Side::Impl::take_lease() {
  lease = store
              ->lease(subject,
                      {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10)})
              .value();
}

void Side::Impl::add_store_cases(const std::string& label) {
  const auto choose = [this] { choose_for_store(); };
  const auto add = [&](
                       const char* operation, std::function<void()> run,
                       std::function<void()> prepare, std::function<void()> clean = [] {}) {
    cases.push_back(
        {operation + (".store." + label), std::move(run), std::move(prepare), std::move(clean)});
  };
  add("load", [this] { session = store->load(subject).value().value(); }, choose);
  add(
      "save", [this] { store->save(session, before).value(); },
      [this] {
        choose_for_store();
        session = store->load(subject).value().value();
        before = std::exchange(session.revision, Revision{random() | 1});
      });
  add(
      "list", [this] { static_cast<void>(store->list(make_cursor(subject), kPage).value()); },
      choose);
  add(
      "lease",
      [this] {
        take_lease();
        lease.reset();
      },
      choose);
  add(
      "take_over", [this] { take_lease(); },
      [this] {
        choose_for_store();
        bare.run("abandon", {subject});
      },
      [this] { lease.reset(); });
}

void Side::Impl::add_bare_cases(const std::string& label) {
  const auto choose = [this] { choose_for_bare(); };
  const auto add = [&](const char* operation, std::function<void()> run,
                       std::function<void()> prepare) {
    cases.push_back({operation + (".bare." + label), std::move(run), std::move(prepare)});
  };
  add("load", [this] { bare.run("load", {subject}); }, choose);
  add(
      "save",
      [this] {
        bare.run("save", {subject, std::to_string(static_cast<std::int64_t>(random())),
                          "1795176000000", "1795179600000", box, revision});
      },
      [this] {
        choose_for_bare();
        revision = bare.run("revision", {subject});
        std::rotate(box.begin() + 2, box.begin() + 3, box.end());
      });
  add("list", [this] { bare.run("list", {subject}); }, choose);
  add(
      "lease",
      [this] {
        bare.run("take", {subject});
        bare.run("release", {subject});
      },
      choose);
  add(
      "take_over", [this] { bare.run("take", {subject}); },
      [this] {
        choose_for_bare();
        bare.run("abandon", {subject});
      });
}

Side::Side(const std::string& label, const std::string& address, std::size_t rows)
    : impl_(std::make_unique<Impl>(label, address, rows)) {}
Side::~Side() = default;

const std::vector<Case>& Side::cases() const noexcept {
  return impl_->cases;
}

double Side::round_trips(const std::string& operation) {
  const auto found = std::ranges::find_if(
      impl_->cases, [&](const Case& one) { return one.name.starts_with(operation + ".store."); });
  std::uint64_t all = 0;
  for (int call = -1; call < kCalls; ++call) {
    found->prepare();
    const auto before = impl_->database->counts().statements;
    found->run();
    const auto after = impl_->database->counts().statements;
    found->clean();
    if (call >= 0) all += after - before;  // the first one may have prepared statements
  }
  return static_cast<double>(all) / kCalls;
}

std::size_t Side::list_all() {
  std::size_t listed = 0;
  std::string cursor;
  do {
    auto page = impl_->store->list(cursor, kLargePage).value();
    listed += page.sessions.size();
    cursor = std::move(page.next);
  } while (!cursor.empty());
  return listed;
}

std::size_t Side::table_size() {
  return std::stoull(impl_->bare.script("SELECT pg_total_relation_size('latchkey_sessions')"));
}

}  // namespace latchkey::bench
