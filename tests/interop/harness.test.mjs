// SPDX-License-Identifier: MIT
// The harness itself, without latchkey: that the server logs in, counts, and breaks what it says.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { onServer, Server, until } from './harness.mjs'
import { ReferenceClient } from './reference-client.mjs'

const kToken = '/oauth/token'
const kCreate = '/xrpc/com.atproto.repo.createRecord'

describe(onServer('harness'), () => {
  let server
  before(async () => (server = await Server.start()))
  after(() => server?.stop())

  async function loggedIn(drive = server.signIn) {
    const client = new ReferenceClient(server)
    const { redirect } = await drive(await client.authorizeUrl(), server.alice.handle, server.alice.password)
    assert.equal(new URL(redirect).searchParams.get('state'), client.state)
    const answer = await client.exchange(redirect)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return client
  }

  test('a login over HTTP ends in a token and a record', async () => {
    const client = await loggedIn()
    assert.equal(client.did, server.alice.did)
    const created = await client.createRecord('over HTTP')
    assert.equal(created.status, 200, JSON.stringify(created.body))
  })

  test('a login through Chromium ends in a token', async () => {
    const client = await loggedIn(server.signInWithChromium)
    assert.equal(client.did, server.alice.did)
  })

  test('a denial comes back as access_denied', async () => {
    const client = new ReferenceClient(server)
    const url = await client.authorizeUrl()
    const { redirect } = await server.signIn(url, server.alice.handle, server.alice.password, { deny: true })
    assert.equal(new URL(redirect).searchParams.get('error'), 'access_denied')
  })

  test('each request is counted once, with what matters and no secret', async () => {
    const client = await loggedIn()
    await client.createRecord('so that the PDS has given its nonce')
    const mark = await server.mark()
    await client.refresh()
    await client.createRecord('counted')
    const own = await server.requests(mark)
    assert.deepEqual(own.map((e) => `${e.method} ${e.path} ${e.status}`), [`POST ${kToken} 200`, `POST ${kCreate} 200`])
    assert.equal(own[0].grant_type, 'refresh_token')
    assert.ok(own[0].proof.nonce && !own[0].proof.ath && own[1].proof.ath)
    const log = JSON.stringify(own)
    for (const secret of [client.accessToken, client.refreshToken, client.verifier, ...client.nonces.values()]) {
      assert.ok(!log.includes(secret))
    }
  })

  test('secrets are remembered only after they were asked for', async () => {
    const early = await loggedIn()
    assert.deepEqual(await server.captured(), [])
    await server.capture()
    const client = await loggedIn()
    const secrets = await server.captured()
    for (const secret of [client.accessToken, client.refreshToken, client.verifier]) assert.ok(secrets.includes(secret))
    assert.ok(!secrets.includes(early.accessToken))
  })

  test('a dropped answer: the server has refreshed, the client never hears of it', async () => {
    const client = await loggedIn()
    await server.fault({ path: kToken, grant_type: 'refresh_token', action: 'drop_answer' })
    await assert.rejects(client.refresh())
    const again = await client.refresh()
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant'])
  })

  test('closed after reading: the server has seen nothing', async () => {
    const client = await loggedIn()
    await server.fault({ method: 'POST', path: kToken, action: 'close_after_read' })
    await assert.rejects(client.refresh())
    assert.equal((await client.refresh()).status, 200)
  })

  test('a scripted answer and a delay are given once each', async () => {
    const client = await loggedIn()
    await server.fault({ path: kCreate, action: 'answer', status: 429, body: '{"error":"RateLimitExceeded"}' })
    assert.equal((await client.createRecord('limited')).status, 429)
    await server.fault({ path: kCreate, action: 'delay', ms: 300 })
    const started = Date.now()
    assert.equal((await client.createRecord('late')).status, 200)
    assert.ok(Date.now() - started >= 300)
  })

  test('refused tokens answer 401 until there is a new one', async () => {
    const client = await loggedIn()
    await server.refuseIssuedTokens()
    const refused = await client.createRecord('refused')
    assert.deepEqual([refused.status, refused.body.error], [401, 'invalid_token'])
    assert.equal((await client.refresh()).status, 200)
    assert.equal((await client.createRecord('accepted')).status, 200)
  })

  test('tokens expire after the lifetime that was set', async () => {
    await server.tokenLifetime(2000)
    const client = await loggedIn()
    await until(Date.now() + 2000)
    assert.equal((await client.createRecord('late')).status, 401)
    await server.tokenLifetime(3_600_000)
    assert.equal((await client.refresh()).status, 200)
    assert.equal((await client.createRecord('again')).status, 200)
  })

  test('an account ends its sessions', async () => {
    const client = await loggedIn()
    assert.ok((await server.sessionCount(server.alice.did)) > 0)
    await server.revoke(server.alice.did)
    assert.equal(await server.sessionCount(server.alice.did), 0)
    assert.equal((await client.createRecord('revoked')).status, 401)
    assert.equal((await client.refresh()).body.error, 'invalid_grant')
  })
})
