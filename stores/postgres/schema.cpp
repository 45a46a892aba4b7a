// SPDX-License-Identifier: MIT
module;
#include <array>
#include <string>
module latchkey.store.postgres.schema;
import latchkey.core.error;
import latchkey.store.postgres.connection;

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

}  // namespace
}  // namespace latchkey
