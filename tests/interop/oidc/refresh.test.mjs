// SPDX-License-Identifier: MIT
// What becomes of a session at an OpenID provider that is not ours: rotation, replay, new keys, the end.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Client } from './client.mjs'
import { PlainClient } from './plain-client.mjs'
import { kPaths, OidcServer } from './server.mjs'

describe('session [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  /** A test with a session of its own: body(client, mark, secrets that were issued for it). */
  const loggedIn = (name, body) =>
    test(name, async () => {
      const client = await Client.start(server)
      try {
        const known = server.captured()
        const { error } = await client.do('login')
        assert.equal(error, undefined)
        await body(client, server.mark(), () => server.captured(known))
      } finally {
        server.honest()
        server.noFaults()
        client.stop()
      }
    })

  const refreshes = (mark) => server.requests(mark, kPaths.token).map((e) => e.error ?? e.status)

  loggedIn('each refresh sends the newest token, and its answer is checked', async (client, mark) => {
    for (let i = 0; i < 3; i++) assert.ok((await client.do('refresh')).ok)
    assert.deepEqual(refreshes(mark), [200, 200, 200])
  })

  loggedIn('a spent token that somebody else sends ends the session, and a login is asked for', async (client, mark, issued) => {
    const spent = issued()
    assert.ok((await client.do('refresh')).ok)
    const thief = new PlainClient(server, server.clients.native)
    const outcomes = await Promise.all(spent.map((secret) => thief.refresh(secret)))
    assert.ok(outcomes.every(({ status }) => status === 400))
    const { error } = await client.do('refresh')
    assert.equal(error.code, 'session_dead')
    const before = server.mark()
    assert.equal((await client.do('refresh')).error.code, 'session_dead')
    assert.deepEqual(refreshes(before), [], 'a dead token is not sent again')
    assert.ok((await client.do('login')).ok)
  })

  loggedIn('a logout revokes: introspection knows no live token', async (client, mark, issued) => {
    assert.equal(await server.countActive(issued()), 2)
    assert.deepEqual((await client.do('logout')).ok, { revoked: true })
    assert.equal(await server.countActive(issued()), 0)
  })

  loggedIn('keys that the server has replaced are fetched once, and the refresh stands', async (client, mark) => {
    await server.rotateKeys()
    assert.ok((await client.do('refresh')).ok)
    assert.ok((await client.do('refresh')).ok)
    assert.equal(server.requests(mark, kPaths.jwks).length, 1)
  })

  loggedIn('new keys that cannot be fetched cost no session, and somebody else still does not get in', async (client, mark) => {
    await server.rotateKeys()
    server.fault({ path: kPaths.jwks, action: 'answer', status: 503, body: '{}', times: 9 })
    assert.ok((await client.do('refresh')).ok)
    server.forgeIdTokens((claims) => ({ ...claims, sub: 'mallory' }))
    assert.equal((await client.do('refresh')).error.detail, 'id_token.subject')
  })

  loggedIn('an id token of somebody else does not get into the session', async (client, mark, issued) => {
    server.forgeIdTokens((claims) => ({ ...claims, sub: 'mallory' }))
    const { error } = await client.do('refresh')
    assert.deepEqual([error.code, error.detail], ['token_invalid', 'id_token.subject'])
    assert.equal(await server.countActive(issued()), 0, 'what was issued is revoked')
  })

  loggedIn('a lost answer is not asked for twice at once', async (client, mark) => {
    server.fault({ path: kPaths.token, grant_type: 'refresh_token', action: 'drop_answer' })
    assert.ok((await client.do('refresh')).error)
    assert.equal(server.requests(mark, kPaths.token).length, 1)
  })

  loggedIn('a server that is down costs no session', async (client, mark) => {
    const body = '{"error":"temporarily_unavailable"}'
    server.fault({ path: kPaths.token, action: 'answer', status: 503, body })
    assert.ok((await client.do('refresh')).error)
    assert.deepEqual(refreshes(mark), ['temporarily_unavailable'])
  })
})
