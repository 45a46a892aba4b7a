// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { kPost, onServer, Place, post, Server, stores, until } from './harness.mjs'

const kShort = 2000 // ms that an access token lives in the tests of expiry
const kLong = 3_600_000
const kRefresh = { method: 'POST', path: '/oauth/token', grant_type: 'refresh_token' }

for (const store of stores) {
  describe(onServer(`refresh, sessions kept in ${store}`), () => {
    let server
    before(async () => (server = await Server.start()))
    after(() => server?.stop())

    /** A test with a fresh login on a machine of its own. */
    const loggedIn = (name, body, { lifetime = kLong } = {}) =>
      test(name, async () => {
        const place = new Place(server, store)
        try {
          await server.tokenLifetime(lifetime)
          ;(await place.login(server.alice)).expect(0)
          await server.tokenLifetime(kLong)
          await body(place, await server.mark())
        } finally {
          await server.noFaults()
          place.remove()
        }
      })

    const write = (place, text) => place.run(['record', 'create', kPost, post(text)])
    const state = async (place) => (await place.run(['sessions'])).expect(0).json.map((row) => row.state)

    loggedIn('an expired token is refreshed before the write, without a refused request', async (place, mark) => {
      await until(Date.now() + kShort)
      ;(await write(place, 'after the expiry')).expect(0)
      const seen = (await server.requests(mark, 'pds')).filter((e) => e.proof && e.error !== 'use_dpop_nonce')
      const lines = seen.map((e) => `${e.path.split('/').pop()} ${e.status}`)
      assert.deepEqual(lines, ['token 200', 'com.atproto.repo.createRecord 200'])
    }, { lifetime: kShort })

    loggedIn('refresh tokens rotate: two refreshes in a row, and the session goes on', async (place, mark) => {
      ;(await place.run(['refresh'])).expect(0)
      ;(await place.run(['refresh'])).expect(0)
      ;(await write(place, 'rotated twice')).expect(0)
      const posts = (await server.refreshes(mark)).filter((e) => e.error !== 'use_dpop_nonce')
      assert.deepEqual(posts.map((e) => e.status), [200, 200])
    })

    loggedIn('a refused token is refreshed once, and the write is repeated', async (place, mark) => {
      await server.refuseIssuedTokens()
      ;(await write(place, 'refused first')).expect(0)
      assert.equal((await server.refreshes(mark)).filter((e) => e.status === 200).length, 1)
    })

    loggedIn('a revoked session: asks for a login, leaves a tombstone, and is not tried again', async (place) => {
      await server.revoke(server.alice.did)
      const first = (await write(place, 'revoked')).expect(3)
      assert.match(first.stderr, /log ?in/)
      assert.deepEqual(await state(place), ['dead'])
      const mark = await server.mark()
      ;(await write(place, 'still revoked')).expect(3)
      assert.deepEqual(await server.requests(mark), [])
      ;(await place.login(server.alice)).expect(0)
      assert.deepEqual(await state(place), ['active'])
      ;(await write(place, 'back again')).expect(0)
    })

    loggedIn('a logout is confirmed by the server: a copy of the session is refused afterwards', async (place) => {
      const before = await server.sessionCount(server.alice.did)
      const thief = new Place(server, store)
      execFileSync('cp', ['-a', place.data, thief.data])
      ;(await write(thief, 'the copy works')).expect(0)

      const mark = await server.mark()
      ;(await place.run(['logout'])).expect(0)
      assert.ok((await server.requests(mark, 'pds')).some((e) => e.path === '/oauth/revoke' && e.status === 200))
      assert.equal(await server.sessionCount(server.alice.did), before - 1)
      assert.deepEqual(await state(place), [])
      ;(await write(place, 'logged out')).expect(3)
      ;(await write(thief, 'the copy is refused')).expect(3)
      thief.remove()
    })

    loggedIn('a logout while the server is away is made good later, and the session is not usable', async (place) => {
      await server.fault({ path: '/oauth/revoke', action: 'close_after_read', times: 9 })
      const before = await server.sessionCount(server.alice.did)
      await place.run(['logout'])
      assert.deepEqual(await state(place), ['revoking'])
      ;(await write(place, 'half logged out')).expect(3)
      assert.equal(await server.sessionCount(server.alice.did), before)
      await server.noFaults()
      ;(await place.run(['logout'])).expect(0)
      assert.equal(await server.sessionCount(server.alice.did), before - 1)
      assert.deepEqual(await state(place), [])
    })

    loggedIn('a refresh that the server never saw: sent once, and the next run succeeds', async (place, mark) => {
      await server.fault({ ...kRefresh, action: 'close_after_read' })
      ;(await place.run(['refresh'])).expect(1)
      assert.equal((await server.refreshes(mark)).length, 1)
      await untilSucceeds(() => place.run(['refresh']))
      ;(await write(place, 'recovered')).expect(0)
    })

    loggedIn('a refresh whose answer is lost: sent once, then reported as interrupted', async (place, mark) => {
      await server.fault({ ...kRefresh, action: 'drop_answer' })
      ;(await place.run(['refresh'])).expect(1)
      assert.equal((await server.refreshes(mark)).length, 1)
      let result
      await untilSucceeds(async () => (result = await place.run(['refresh'])), 3)
      assert.match(result.stderr, /interrupted/)
      assert.deepEqual(await state(place), ['dead'])
      ;(await place.login(server.alice)).expect(0)
      ;(await write(place, 'logged in again')).expect(0)
    })

    loggedIn('a server that is down for a refresh costs no session', async (place) => {
      const body = '{"error":"temporarily_unavailable"}'
      await server.fault({ ...kRefresh, action: 'answer', status: 503, times: 9, body })
      ;(await place.run(['refresh'])).expect(1)
      assert.deepEqual(await state(place), ['active'])
      await server.noFaults()
      await untilSucceeds(() => place.run(['refresh']))
    })
  })
}

/** Runs again, up to 20 s (back-off and the age of a claim), until the exit code is the one that is awaited. */
async function untilSucceeds(run, code = 0) {
  const limit = Date.now() + 20_000
  for (;;) {
    const result = await run()
    if (result.code === code || Date.now() > limit) return result.expect(code)
    await until(Date.now() + 500)
  }
}
