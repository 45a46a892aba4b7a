-- A session database of schema version 2, written from docs/formats.md.
PRAGMA application_id = 1282698105;
PRAGMA user_version = 2;
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  subject TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL,
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
  issued_at INTEGER NOT NULL,
  expires_at INTEGER,
  refresh_expires_at INTEGER,
  session_started_at INTEGER NOT NULL,
  login_id INTEGER NOT NULL,
  state TEXT NOT NULL,
  state_cause TEXT NOT NULL,
  state_changed_at INTEGER,
  box BLOB NOT NULL
) STRICT;
CREATE TABLE claims (
  subject TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL,
  claim_id INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL
) STRICT;
CREATE TABLE rooms (
  subject TEXT NOT NULL UNIQUE,
  room BLOB NOT NULL
) STRICT;
CREATE TABLE pending_logins (
  state_digest TEXT NOT NULL UNIQUE,
  expires_at INTEGER NOT NULL,
  box BLOB NOT NULL
) STRICT;
CREATE INDEX pending_logins_by_expiry ON pending_logins (expires_at);
CREATE TABLE quarantined (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  quarantined_at INTEGER NOT NULL,
  why TEXT NOT NULL,
  subject ANY,
  revision ANY,
  issuer ANY,
  resource_server ANY,
  token_endpoint ANY,
  revocation_endpoint ANY,
  par_endpoint ANY,
  client_id ANY,
  client_auth_method ANY,
  client_auth_kid ANY,
  redirect_uri ANY,
  scope ANY,
  token_type ANY,
  dpop_jkt ANY,
  handle ANY,
  issued_at ANY,
  expires_at ANY,
  refresh_expires_at ANY,
  session_started_at ANY,
  login_id ANY,
  state ANY,
  state_cause ANY,
  state_changed_at ANY,
  box ANY
) STRICT;INSERT INTO sessions (subject, revision, issuer, resource_server, token_endpoint, revocation_endpoint, par_endpoint, client_id,
  client_auth_method, client_auth_kid, redirect_uri, scope, token_type, dpop_jkt, handle, issued_at, expires_at,
  refresh_expires_at, session_started_at, login_id, state, state_cause, state_changed_at, box)
VALUES ('did:web:Exämple.com:user',
  81985529216486895,
  'https://issuer.example',
  'https://pds.example',
  'https://issuer.example/token?a="b"',
  'https://issuer.example/revoke',
  '',
  'https://client.example/client-metadata.json',
  'private_key_jwt',
  'kid-1',
  'http://127.0.0.1/callback',
  'atproto transition:generic',
  'DPoP',
  '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
  'alice.example',
  1795167000000,
  1795170600250,
  NULL,
  1793491200000,
  -2,
  'active',
  '',
  NULL,
  x'0001010000000d676f6c64656e2d616363657373010000000e676f6c64656e2d7265667265736800');
INSERT INTO claims VALUES ('did:web:Exämple.com:user', 81985529216486895, 255, 1795170540500, 4711, 'golden');
INSERT INTO pending_logins VALUES ('kXi99VPjmgU0lWOM5ywJ_sdBeC0McKHPGSCeKesxrO0', 1795167600000, x'676f6c64656e20626f78');
INSERT INTO quarantined (name, quarantined_at, why, subject, revision, box)
VALUES ('did:web:bob.example', 1795170700000, 'sqlite.column', 'did:web:bob.example', 'x', NULL);
