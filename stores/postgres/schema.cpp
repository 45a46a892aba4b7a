// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
module latchkey.store.postgres.schema;
import latchkey.core.error;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.transaction;

namespace latchkey {
namespace {

// Numbers are those of TimePoint, Revision and ids as in the SQLite store (64 bits, signed). The
// time of a lease is the database's, the only one that all machines share.
constexpr const char* kVersion1 = R"(
CREATE TABLE IF NOT EXISTS latchkey_sessions (
  subject TEXT PRIMARY KEY,
  revision BIGINT NOT NULL,
  issuer TEXT NOT NULL,
  resource_server TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  revocation_endpoint TEXT NOT NULL,
  par_endpoint TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_auth_method TEXT NOT NULL,
  client_auth_kid TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  scope TEXT NOT NULL,
  token_type TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  handle TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  expires_at BIGINT,
  refresh_expires_at BIGINT,
  session_started_at BIGINT NOT NULL,
  login_id BIGINT NOT NULL,
  state TEXT NOT NULL,
  state_cause TEXT NOT NULL,
  state_changed_at BIGINT,
  box BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS latchkey_sessions_by_key ON latchkey_sessions (dpop_jkt);
CREATE TABLE IF NOT EXISTS latchkey_leases (
  subject TEXT PRIMARY KEY,
  holder BIGINT NOT NULL,
  fence BIGINT NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_claims (
  subject TEXT PRIMARY KEY,
  revision BIGINT NOT NULL,
  claim_id BIGINT NOT NULL,
  claimed_at BIGINT NOT NULL,
  pid BIGINT NOT NULL,
  host TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_pending (
  state_digest TEXT PRIMARY KEY,
  expires_at BIGINT NOT NULL,
  box BYTEA NOT NULL,
  taken_by BIGINT
);
CREATE INDEX IF NOT EXISTS latchkey_pending_by_expiry ON latchkey_pending (expires_at);
CREATE TABLE IF NOT EXISTS latchkey_nonces (
  origin TEXT NOT NULL,
  jkt TEXT NOT NULL,
  nonce TEXT NOT NULL,
  saved_at BIGINT NOT NULL,
  PRIMARY KEY (jkt, origin)
);
CREATE TABLE IF NOT EXISTS latchkey_keys (
  id TEXT PRIMARY KEY,
  box BYTEA NOT NULL,
  stored_at BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_vault (
  only_row BIGINT PRIMARY KEY,
  header BYTEA NOT NULL,
  changes BIGINT NOT NULL,
  rotation BYTEA
);
CREATE TABLE IF NOT EXISTS latchkey_quarantined (
  id BIGINT PRIMARY KEY,
  name TEXT NOT NULL,
  quarantined_at BIGINT NOT NULL,
  why TEXT NOT NULL,
  subject TEXT NOT NULL,
  revision BIGINT NOT NULL,
  issuer TEXT NOT NULL,
  resource_server TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  revocation_endpoint TEXT NOT NULL,
  par_endpoint TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_auth_method TEXT NOT NULL,
  client_auth_kid TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  scope TEXT NOT NULL,
  token_type TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  handle TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  expires_at BIGINT,
  refresh_expires_at BIGINT,
  session_started_at BIGINT NOT NULL,
  login_id BIGINT NOT NULL,
  state TEXT NOT NULL,
  state_cause TEXT NOT NULL,
  state_changed_at BIGINT,
  box BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_quarantined_keys (
  row_id BIGINT PRIMARY KEY,
  id TEXT NOT NULL,
  quarantined_at BIGINT NOT NULL,
  why TEXT NOT NULL,
  box BYTEA NOT NULL
);
)";

// kMigrations[n] brings version n to n + 1.
constexpr std::array kMigrations{kVersion1};
static_assert(kMigrations.size() == kPostgresSchemaVersion);

// One row, which is also the lock under which the tables are changed.
constexpr const char* kBegin = R"(
CREATE TABLE IF NOT EXISTS latchkey_schema (
  only_row BIGINT PRIMARY KEY,
  application TEXT NOT NULL,
  version BIGINT NOT NULL
);
INSERT INTO latchkey_schema (only_row, application, version)
VALUES (1, 'latchkey', 0) ON CONFLICT (only_row) DO NOTHING;
)";

// A row with its box has 2 to 3 KB, which PostgreSQL would keep in two tables: to read it, and even
// the first bytes of its box, would take two more lookups. With room in its page, a refresh touches
// no index. Other engines have no such options, and need none.
constexpr const char* kTuning =
    "ALTER TABLE latchkey_sessions SET (toast_tuple_target = 8160, fillfactor = 80)";

constexpr const char* kVersion = R"(
SELECT application, version FROM latchkey_schema WHERE only_row = 1)";
constexpr const char* kVersionAndLock = R"(
SELECT application, version FROM latchkey_schema WHERE only_row = 1 FOR UPDATE)";
constexpr const char* kTables = R"(
SELECT tablename FROM pg_catalog.pg_tables
WHERE schemaname = current_schema() AND left(tablename, 9) = 'latchkey_')";

Error foreign() {
  return make_error(ErrorCode::corrupt, "postgres.foreign",
                    "cannot use the database: it has tables called latchkey_... that are not "
                    "latchkey's; choose another database, or another schema with search_path");
}

Error too_new(std::int64_t version) {
  return make_error(ErrorCode::schema_too_new, "postgres.schema_version",
                    "cannot use the database: it has schema version " + std::to_string(version) +
                        ", and this program knows " + std::to_string(kPostgresSchemaVersion) +
                        "; use the newer program that wrote it");
}

Error too_old(std::int64_t version) {
  return make_error(ErrorCode::locked, "postgres.schema_old",
                    "cannot use the database: " +
                        (version == 0 ? std::string("it has no tables of latchkey's")
                                      : "it has schema version " + std::to_string(version)) +
                        ", and this program may not change them; let one start that may");
}

// Without a row its maker has not got further yet.
Result<std::int64_t> version_in(const PostgresRows& rows) {
  if (rows.size() == 0) return 0;
  const auto version = rows.integer(0, 1);
  if (rows.text(0, 0).value_or("") != "latchkey" || !version || *version < 0) return foreign();
  if (*version > kPostgresSchemaVersion) return too_new(*version);
  return *version;
}

// The latchkey_... tables that are there.
Result<std::set<std::string, std::less<>>> tables_of(PostgresConnection& connection) {
  const auto rows = connection.run(kTables);
  if (!rows) return rows.error();
  std::set<std::string, std::less<>> tables;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    tables.emplace(rows->text(row, 0).value_or(""));
  }
  return tables;
}

// 0: nothing is there.
Result<std::int64_t> version_of(PostgresConnection& connection) {
  auto rows = connection.run(kVersion);
  if (rows) return version_in(*rows);
  if (rows.error().detail != "postgres.schema") return std::move(rows).error();
  const auto tables = tables_of(connection);
  if (!tables) return tables.error();
  if (tables->empty()) return 0;
  if (!tables->contains("latchkey_schema")) return foreign();
  // Another program may have made it between the two questions.
  rows = connection.run(kVersion);
  if (rows) return version_in(*rows);
  if (rows.error().detail == "postgres.schema") return foreign();
  return std::move(rows).error();
}

// Of two who make a table at once, PostgreSQL refuses one, though it says IF NOT EXISTS.
Result<void> begin(PostgresConnection& connection) {
  auto made = connection.script(kBegin);
  if (!made && made.error().detail == "postgres.constraint") made = connection.script(kBegin);
  if (!made) return std::move(made).error();
  return {};
}

Result<void> climb(PostgresConnection& connection) {
  const auto rows = connection.run(kVersionAndLock);
  if (!rows) return rows.error();
  const auto from = version_in(*rows);
  if (!from) return from.error();
  for (auto version = static_cast<std::size_t>(*from); version < kMigrations.size(); ++version) {
    if (auto done = connection.script(kMigrations[version]); !done) return std::move(done).error();
  }
  const auto done = connection.script("UPDATE latchkey_schema SET version = " +
                                      std::to_string(kPostgresSchemaVersion));
  if (!done) return done.error();
  return {};
}

}  // namespace

Result<void> migrate_postgres(PostgresConnection& connection) {
  const auto version = version_of(connection);
  if (!version) return version.error();
  if (*version == kPostgresSchemaVersion) return {};
  if (auto begun = begin(connection); !begun) return begun;
  if (auto climbed = PostgresTransaction(connection).run(climb); !climbed) return climbed;
  static_cast<void>(connection.script(kTuning).has_value());
  return {};
}

Result<void> check_postgres_schema(PostgresConnection& connection) {
  const auto version = version_of(connection);
  if (!version) return version.error();
  if (*version == kPostgresSchemaVersion) return {};
  return too_old(*version);
}

}  // namespace latchkey
