// SPDX-License-Identifier: MIT
// A provider that lies, or somebody between it and us: each lie is refused with a name of its own, nothing is kept, and
// what the provider issued is revoked.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Client } from './client.mjs'
import { kPaths, newKey, OidcServer, signWith } from './server.mjs'

const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url')
const now = () => Math.floor(Date.now() / 1000)
const same = (claims) => claims

describe('forged id tokens [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  /** Signed with the server's own key. */
  const claims = {
    'of another client': [(c) => ({ ...c, aud: 'somebody-else' }), 'id_token.audience'],
    'of two clients, without azp': [(c) => ({ ...c, aud: [c.aud, 'somebody-else'] }), 'id_token.azp_missing'],
    'given to another client': [(c) => ({ ...c, azp: 'somebody-else' }), 'id_token.azp'],
    'of another issuer': [(c) => ({ ...c, iss: 'https://evil.example' }), 'id_token.issuer'],
    'of the issuer with a slash': [(c) => ({ ...c, iss: c.iss + '/' }), 'id_token.issuer'],
    'of another login': [(c) => ({ ...c, nonce: 'another' }), 'id_token.nonce'],
    'without a nonce': [({ nonce, ...c }) => c, 'id_token.nonce_missing'],
    'for another access token': [(c) => ({ ...c, at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }), 'id_token.at_hash'],
    'that has expired': [(c) => ({ ...c, iat: now() - 600, exp: now() - 120 }), 'id_token.expired'],
    'from the future': [(c) => ({ ...c, iat: now() + 120, exp: now() + 600 }), 'id_token.issued_in_future'],
    'not valid yet': [(c) => ({ ...c, nbf: now() + 120 }), 'id_token.not_yet_valid'],
    'of nobody': [({ sub, ...c }) => c, 'id_token.missing_member'],
    'whose expiry is text': [(c) => ({ ...c, exp: String(c.exp) }), 'id_token.wrong_type'],
  }
  /** The claims as they were. */
  const signatures = {
    'signed by a stranger who uses the kid': [
      async (c, header) => signWith(await newKey('ES256', header.kid), c),
      'id_token.signature',
    ],
    'signed with a key that is not published': [
      async (c) => signWith(await newKey('ES256', 'unknown'), c),
      'id_token.key_not_found',
    ],
    'not signed at all': [(c) => `${part({ alg: 'none' })}.${part(c)}.`, 'id_token.alg_unsupported'],
    'signed with the public key as a shared secret': [
      (c, header) => {
        const { kty, crv, x, y } = server.keyFor('ES256')
        const text = `${part({ alg: 'HS256', kid: header.kid })}.${part(c)}`
        return `${text}.${createHmac('sha256', JSON.stringify({ kty, crv, x, y })).update(text).digest('base64url')}`
      },
      'id_token.alg_unsupported',
    ],
    'that wants an extension': [
      (c, header) => signWith(server.keyFor('ES256'), c, { kid: header.kid, crit: ['b64'], b64: true }),
      'id_token.crit',
    ],
  }

  const forgeries = Object.entries(claims).map(([what, [change, detail]]) => [what, detail, change, undefined])
  for (const [what, [sign, detail]] of Object.entries(signatures)) forgeries.push([what, detail, same, sign])

  for (const [what, detail, change, sign] of forgeries) {
    test(`${what}: ${detail}, and revoked`, async () => {
      const client = await Client.start(server)
      try {
        const mark = server.mark()
        const known = server.captured()
        server.forgeIdTokens(change, sign)
        const { ok, error, visit } = await client.do('login')
        assert.equal(ok, undefined)
        assert.deepEqual([error.code, error.detail], ['token_invalid', detail])
        assert.equal(visit.status, 400, 'the browser is told')

        assert.deepEqual(server.requests(mark, kPaths.revocation).map((e) => e.status), [200])
        const issued = server.captured(known)
        assert.ok(issued.length >= 5, 'code, verifier, access, refresh and id token')
        assert.equal(await server.countActive(issued), 0)
        for (const secret of issued) assert.ok(!error.message.includes(secret))

        server.honest()
        assert.ok((await client.do('login')).ok, 'an honest login succeeds')
      } finally {
        server.honest()
        client.stop()
      }
    })
  }
})

describe('forged metadata [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  const lies = {
    'another issuer': [(m) => ({ ...m, issuer: 'https://evil.example' }), 'metadata.issuer_mismatch'],
    'the issuer with a slash': [(m) => ({ ...m, issuer: m.issuer + '/' }), 'metadata.issuer_mismatch'],
    'no issuer': [({ issuer, ...m }) => m, 'metadata.missing_member'],
    'no keys': [({ jwks_uri, ...m }) => m, 'metadata.missing_member'],
    'a token endpoint without TLS': [
      (m) => ({ ...m, token_endpoint: 'http://192.0.2.1/token' }),
      'metadata.endpoint_not_https',
    ],
    'keys without TLS': [(m) => ({ ...m, jwks_uri: 'http://192.0.2.1/jwks' }), 'metadata.endpoint_not_https'],
    'no algorithm that we take': [(m) => ({ ...m, id_token_signing_alg_values_supported: ['HS256', 'none'] }), 'jwks.no_algorithm'],
  }
  for (const [what, [change, detail]] of Object.entries(lies)) {
    test(`${what}: ${detail}, and nobody is sent anywhere`, async () => {
      server.forge(kPaths.configuration, change)
      const mark = server.mark()
      const client = await Client.start(server)
      client.stop()
      assert.deepEqual([client.started.error?.code, client.started.error?.detail], ['invalid_metadata', detail])
      assert.deepEqual(server.requests(mark).map((e) => e.path), [kPaths.configuration])
      server.honest()
    })
  }
})
